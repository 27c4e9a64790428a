package binlog

// Query is a statement, and the session it ran in. Byte slices alias the
// event.
type Query struct {
	Thread    uint32 // connection id
	Seconds   uint32 // how long it ran
	ErrorCode uint16 // with which it failed half way; 0: it did not
	Database  []byte // the session's default database, may be empty
	Text      []byte // in the charset of CharsetClient
	Status    QueryStatus
}

// QueryStatus is the session's state; what the event does not have is zero.
type QueryStatus struct {
	HasSQLMode bool
	SQLMode    uint64
	// Collation ids of the session.
	HasCharset         bool
	CharsetClient      uint16 // the charset of the statement's text
	CollationSession   uint16
	CollationServer    uint16
	CollationDatabase  uint16 // of the default database, where it is not the server's
	CollationUTF8MB4   uint16 // default_collation_for_utf8mb4
	TimeZone           []byte
	Micros             uint32   // of the time in the header
	UpdatedDatabases   [][]byte // that the statement may change
	TooManyDatabases   bool     // more than the event can list
	DDLXID             uint64   // of an atomic DDL statement
	ExplicitDefaultsTS bool     // explicit_defaults_for_timestamp
	// Unknown is the first code that this build does not know; what follows
	// it was not read. 0: there is none (0 itself is known).
	Unknown uint8
}

// SQL modes that change how a statement reads.
const (
	ModeANSIQuotes         uint64 = 1 << 2
	ModeIgnoreSpace        uint64 = 1 << 3
	ModeNoBackslashEscapes uint64 = 1 << 20
)

// Status variable codes.
const (
	statusFlags2 = iota
	statusSQLMode
	statusCatalog
	statusAutoIncrement
	statusCharset
	statusTimeZone
	statusCatalogNZ
	statusTimeNames
	statusCharsetDatabase
	statusTableMapForUpdate
	statusDataWritten
	statusInvoker
	statusUpdatedDatabases
	statusMicros
	_
	_
	statusExplicitDefaultsTS
	statusDDLXID
	statusCollationUTF8MB4
	statusRequirePrimaryKey
	statusTableEncryption
)

// Those of MariaDB.
const (
	statusMariaMicros = iota + 128
	statusMariaXID
	statusMariaGTIDFlags
	statusMariaCollations
)

// tooManyDatabases stands for a list that did not fit.
const tooManyDatabases = 254

// ParseQueryEvent reads the body of a QUERY event, or of a QUERY_COMPRESSED one,
// whose text then has memory of its own.
func ParseQueryEvent(t EventType, body []byte) (Query, error) {
	if t == QueryCompressedEvent {
		return parseQueryCompressed(body)
	}
	return ParseQuery(body)
}

// ParseQuery reads the body of a QUERY event.
func ParseQuery(body []byte) (Query, error) {
	c := cursor{b: body}
	q := Query{Thread: c.u32(), Seconds: c.u32()}
	database := c.u8()
	q.ErrorCode = c.u16()
	status := cursor{b: c.take(uint64(c.u16()))}
	q.Database = c.take(uint64(database))
	c.zero()
	for !status.bad && len(status.b) > 0 && q.Status.Unknown == 0 {
		q.Status.read(&status)
	}
	if c.bad || status.bad {
		return Query{}, bodyError(QueryEvent, body)
	}
	q.Text = c.b
	return q, nil
}

func (s *QueryStatus) read(c *cursor) {
	switch code := c.u8(); code {
	case statusSQLMode:
		s.HasSQLMode, s.SQLMode = true, c.u64()
	case statusCharset:
		s.HasCharset = true
		s.CharsetClient, s.CollationSession, s.CollationServer = c.u16(), c.u16(), c.u16()
	case statusTimeZone:
		s.TimeZone = c.short()
	case statusCharsetDatabase:
		s.CollationDatabase = c.u16()
	case statusUpdatedDatabases:
		s.databases(c)
	case statusMicros, statusMariaMicros:
		s.Micros = uint32(c.uint(3))
	case statusExplicitDefaultsTS:
		s.ExplicitDefaultsTS = c.u8() != 0
	case statusDDLXID, statusMariaXID:
		s.DDLXID = c.u64()
	case statusCollationUTF8MB4:
		s.CollationUTF8MB4 = c.u16()
	default:
		if !skipStatus(c, code) {
			s.Unknown = code
		}
	}
}

func (s *QueryStatus) databases(c *cursor) {
	n := c.u8()
	if n == tooManyDatabases {
		s.TooManyDatabases = true
		return
	}
	for ; n > 0 && !c.bad; n-- {
		s.UpdatedDatabases = append(s.UpdatedDatabases, c.cstring())
	}
}

// skipStatus passes over a variable that nobody asks for, and reports whether
// it knows its size.
func skipStatus(c *cursor, code uint8) bool {
	switch code {
	case statusFlags2, statusAutoIncrement, statusDataWritten:
		c.take(4)
	case statusTableMapForUpdate:
		c.take(8)
	case statusCatalog:
		c.short()
		c.zero()
	case statusCatalogNZ:
		c.short()
	case statusTimeNames:
		c.take(2)
	case statusInvoker:
		c.short()
		c.short()
	case statusRequirePrimaryKey, statusTableEncryption:
		c.take(1)
	case statusMariaGTIDFlags:
		if c.u8()&(extraCommitAlter|extraRollbackAlter) != 0 {
			c.take(8)
		}
	case statusMariaCollations:
		c.take(4 * uint64(c.u8()))
	default:
		return false
	}
	return true
}
