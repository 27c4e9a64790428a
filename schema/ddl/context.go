package ddl

import "strings"

// Context is what the meaning of a statement depends on beside its text. The
// log carries it with each statement. The zero Context stands for a server of
// this package's newest version with all settings at their defaults.
type Context struct {
	// Database is the default database of the session.
	Database string
	SQLMode  SQLMode
	// MariaDB says that the server is one of MariaDB.
	MariaDB bool
	// Version is the server's version as executable comments count,
	// 80402 for 8.4.2; 0 for the newest.
	Version int
	// DatabaseCollation is the default collation of Database and
	// ServerCollation that of the server; "" when not known. Databases that
	// the Model knows need neither.
	DatabaseCollation, ServerCollation string
	// UTF8MB4Collation is default_collation_for_utf8mb4, "" for
	// utf8mb4_0900_ai_ci.
	UTF8MB4Collation string
	// ImplicitTimestamps says that explicit_defaults_for_timestamp is OFF.
	ImplicitTimestamps bool
	// GeneratePrimaryKey says that sql_generate_invisible_primary_key was ON
	// where the text came from a client. In the log servers spell the
	// generated key out, and this must stay false.
	GeneratePrimaryKey bool
	// LowerCaseNames says that lower_case_table_names is 1: names of
	// databases and tables are folded.
	LowerCaseNames bool
	// CanEncode reports whether a charset, by its name, has the character.
	// The server puts a question mark for what the charset of an ENUM or SET
	// has not. nil: every charset has every character, which is wrong at most
	// for the elements of a column that the server gave a warning on.
	CanEncode func(charset string, r rune) bool
	// Engine is default_storage_engine, "" for InnoDB.
	Engine string
}

// SQLMode holds the parts of sql_mode that change what DDL means.
type SQLMode uint8

// The modes.
const (
	ANSIQuotes         SQLMode = 1 << iota // "x" is a name
	NoBackslashEscapes                     // a backslash in a string is itself
	RealAsFloat                            // REAL is FLOAT
	Strict                                 // values that do not fit are errors
)

// ParseSQLMode reads the text of a server's sql_mode variable.
func ParseSQLMode(text string) SQLMode {
	var m SQLMode
	for f := range strings.SplitSeq(strings.ToUpper(text), ",") {
		switch strings.TrimSpace(f) {
		case "ANSI":
			m |= ANSIQuotes | RealAsFloat
		case "ANSI_QUOTES":
			m |= ANSIQuotes
		case "NO_BACKSLASH_ESCAPES":
			m |= NoBackslashEscapes
		case "REAL_AS_FLOAT":
			m |= RealAsFloat
		case "STRICT_TRANS_TABLES", "STRICT_ALL_TABLES", "TRADITIONAL":
			m |= Strict
		}
	}
	return m
}

// SQLModeFromBits reads sql_mode as the log carries it, a bit set.
func SQLModeFromBits(bits uint64) SQLMode {
	var m SQLMode
	for _, x := range [...]struct {
		bits uint64
		mode SQLMode
	}{{1 << 0, RealAsFloat}, {1 << 2, ANSIQuotes}, {1 << 20, NoBackslashEscapes}, {1<<21 | 1<<22, Strict}} {
		if bits&x.bits != 0 {
			m |= x.mode
		}
	}
	return m
}

const newestVersion = 90799

func (c *Context) version() int {
	if c.Version == 0 {
		return newestVersion
	}
	return c.Version
}
