package connect

import (
	"encoding/binary"
	"encoding/hex"
	"strconv"

	"github.com/towline/towline/schema"
)

// Op says what a record tells of its row or table. Its values are those of
// the Debezium envelope.
type Op byte

// The operations.
const (
	OpRead     Op = 'r' // the row is so: read by a snapshot. After.
	OpInsert   Op = 'c' // After.
	OpUpdate   Op = 'u' // Before and After, with the same key.
	OpDelete   Op = 'd' // Before.
	OpTruncate Op = 't' // all rows of Table are gone (TRUNCATE, DROP). No rows.
	OpSchema   Op = 's' // from here on the rows of Table look like this. No rows.
	OpMessage  Op = 'm' // no row, but a message for people and programs: see Message.
)

// HasRow reports whether records of this op are about one row.
func (o Op) HasRow() bool {
	return o == OpInsert || o == OpUpdate || o == OpDelete || o == OpRead
}

// Flags of a record.
type Flags uint16

const (
	// TxEnd: the last record of its transaction.
	TxEnd Flags = 1 << iota
	// KeyMoved: this delete or insert is half of an update that changed the
	// row's key. Sources split such updates: the delete of the old key comes
	// directly before the insert of the new one.
	KeyMoved
	// Unwrapped: a transform has made After the whole value (there is no
	// envelope any more). A delete has After where the transform rewrote it,
	// else it is a tombstone.
	Unwrapped
	// Reread: on an OpSchema, the rows of the table as known downstream may
	// be wrong or missing from here on, and are read anew by a snapshot, all of
	// them: whoever has lost his place in the table can begin here with none.
	Reread
	// Exact: whoever took in all records of the table before this one has the
	// row as Before says. Set by a source whose copy of the table is complete,
	// and taken away by whatever changes, drops or may lose records on the way,
	// so without it nothing is known of the row.
	Exact
	// Dropped: on an OpTruncate, the table itself is gone, not its rows alone.
	Dropped
	// Unsettled: on an OpSchema, a copy of the table is under way: rows
	// downstream may be as they were before earlier changes. An OpSchema with
	// none of these three flags says that no copy is, so what a Reread began is
	// complete.
	Unsettled
	// GivenUp: on an OpSchema, the copy that a Reread announced will not be
	// finished; what the stream has told of the table holds as before.
	GivenUp
	// Again: an operator has sent this record once more. It stands where it is
	// sent, and not at its Offset among the others of its partition.
	Again
	// Half: on the delete of a moved row, its change is done only with the insert
	// that follows, which has the same Seq. Set by sources, for who encodes: messages
	// do not carry it.
	Half
)

// Record is one change of one row. Rows, Origin and Headers point into the
// memory of its Batch.
type Record struct {
	Op        Op
	Flags     Flags
	Partition int32 // of Topic, or Home; set by the worker
	// Table is the shape of Before and After as of this change.
	Table *schema.Table
	Topic string
	// CameIn is the topic of the message it came in, where a transform has given
	// it another Topic; see Home.
	CameIn string
	Before schema.Row // nil where the op has none
	After  schema.Row // nil where the op has none
	// Seq counts the row changes of one source: a replayed change has the
	// same Seq, and both halves of a moved row may have one (Half). Its high 16
	// bits are an epoch, which rises when the server behind the source changes. A
	// Read has the Seq of the last change before it, since its row is as of there.
	Seq uint64
	// Time of the commit at the source (of the reading, for a Read), in
	// microseconds since 1970.
	Time    int64
	Origin  *Origin // where in the source; shared by the rows of an event; may be nil
	Row     int32   // number of the row within its event
	Offset  int64   // of the message it came in; set by the worker in sink tasks
	Headers []Header
}

// SeqEpochShift is where the epoch begins in a Seq.
const SeqEpochShift = 48

// Home returns the topic of the message that the record came in: with Partition and
// Offset it names the message, which Topic does not where a transform has changed
// that.
func (r *Record) Home() string {
	if r.CameIn != "" {
		return r.CameIn
	}
	return r.Topic
}

// Reroute gives the record another topic, for transforms.
func (r *Record) Reroute(topic string) {
	r.CameIn, r.Topic = r.Home(), topic
}

// Key returns the row that has the record's key: After, or Before of a delete.
func (r *Record) Key() schema.Row {
	if r.After != nil && r.Op != OpDelete {
		return r.After
	}
	return r.Before
}

// DoneSeq returns the Seq up to which all changes of a source are told once r and
// all before it are.
func (r *Record) DoneSeq() uint64 {
	if r.Flags&Half != 0 && r.Seq > 0 {
		return r.Seq - 1
	}
	return r.Seq
}

// Header is a name and a value that travel beside a record or message.
type Header struct {
	Key   string
	Value []byte
}

// Origin tells where in its source a change was made. Strings are shared and
// may outlive the batch.
type Origin struct {
	ServerID uint32
	Thread   uint32 // connection that made the change, 0 if not known
	SID      [16]byte
	Tag      string // of a tagged GTID; see DomainTag
	GNO      int64  // 0: the transaction has no GTID
	File     string
	Pos      uint64 // where the event begins
	// Time of the statement, in microseconds since 1970; whole seconds from
	// most servers.
	Time     int64
	Snapshot bool
	Copy     uint64 // of a truncation that a snapshot makes: greater than in those before; not in messages
	Query    string // the statement, where the source tells it
}

// DomainTag is the Tag of a GTID of MariaDB, which has the number of a domain
// and of a server in the place of a UUID: they are the first eight bytes of SID,
// big-endian. No server allows it as a tag.
const DomainTag = "-"

// DomainSID returns the SID of a GTID with DomainTag.
func DomainSID(domain, server uint32) (sid [16]byte) {
	binary.BigEndian.PutUint32(sid[:], domain)
	binary.BigEndian.PutUint32(sid[4:], server)
	return sid
}

// AppendGTID appends the transaction's GTID as the server writes it (uuid:gno,
// uuid:tag:gno or domain-server-gno), or nothing if it has none.
func (o *Origin) AppendGTID(dst []byte) []byte {
	if o.GNO == 0 {
		return dst
	}
	if o.Tag == DomainTag {
		for _, n := range [...]uint32{binary.BigEndian.Uint32(o.SID[:]), binary.BigEndian.Uint32(o.SID[4:])} {
			dst = append(strconv.AppendUint(dst, uint64(n), 10), '-')
		}
		return strconv.AppendInt(dst, o.GNO, 10)
	}
	dst = AppendUUID(dst, o.SID)
	if o.Tag != "" {
		dst = append(append(dst, ':'), o.Tag...)
	}
	return strconv.AppendInt(append(dst, ':'), o.GNO, 10)
}

// AppendUUID appends the text form of a UUID.
func AppendUUID(dst []byte, u [16]byte) []byte {
	for i, n := 0, 0; i < 5; i++ {
		if i > 0 {
			dst = append(dst, '-')
		}
		l := [5]int{4, 2, 2, 2, 6}[i]
		dst = hex.AppendEncode(dst, u[n:n+l])
		n += l
	}
	return dst
}
