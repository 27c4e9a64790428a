package binlog

import (
	"fmt"

	"github.com/towline/towline/connect"
)

// GTID is what the first event of a transaction says about it.
type GTID struct {
	SID [16]byte
	Tag string
	GNO int64 // 0: anonymous, the transaction has no GTID
	// MayHaveStatements says that the transaction may hold statements besides
	// rows (the server clears it only for transactions of rows alone).
	MayHaveStatements bool
	LastCommitted     int64 // logical clock: the transaction this one depends on
	Sequence          int64 // logical clock: this transaction
	// CommitTime is when the transaction was committed on the server that
	// sends it, OriginalTime on the server where it was first made; in
	// microseconds since 1970, 0 if not known.
	CommitTime, OriginalTime uint64
	// Length of the whole transaction in the log, this event included; 0 if
	// not known.
	Length uint64
	// ServerVersion is that of the immediate server (90704 for 9.7.4).
	ServerVersion uint32
	// Maria is what an event of MariaDB says beside.
	Maria MariaGTID
}

// AppendText appends the GTID as its server writes it, or nothing if anonymous.
func (g *GTID) AppendText(dst []byte) []byte {
	o := connect.Origin{SID: g.SID, Tag: g.Tag, GNO: g.GNO}
	return o.AppendGTID(dst)
}

// ParseGTID reads the body of a GTID, ANONYMOUS_GTID or GTID_TAGGED event.
// The result has memory of its own.
func ParseGTID(t EventType, body []byte) (GTID, error) {
	switch t {
	case GTIDTaggedEvent:
		return parseTaggedGTID(body)
	case GTIDEvent, AnonymousGTIDEvent:
	default:
		return GTID{}, fmt.Errorf("binlog: a %s event has no GTID", t)
	}
	var g GTID
	c := cursor{b: body}
	g.MayHaveStatements = c.u8()&1 != 0
	copy(g.SID[:], c.take(16))
	g.GNO = int64(c.u64())
	if t == AnonymousGTIDEvent {
		g.GNO = 0
	} else if g.GNO <= 0 {
		c.fail()
	}
	if c.bad {
		return GTID{}, bodyError(t, body)
	}
	g.tail(&c)
	if c.bad {
		return GTID{}, bodyError(t, body)
	}
	return g, nil
}

// tail reads what later versions added; each part is there or the body ends.
func (g *GTID) tail(c *cursor) {
	if len(c.b) == 0 || c.b[0] != 2 { // type of the logical clock
		return
	}
	c.u8()
	g.LastCommitted, g.Sequence = int64(c.u64()), int64(c.u64())
	if len(c.b) == 0 {
		return
	}
	const original = 1 << 55
	g.CommitTime = c.uint(7)
	g.OriginalTime = g.CommitTime
	if g.CommitTime&original != 0 {
		g.CommitTime &^= original
		g.OriginalTime = c.uint(7)
	}
	if len(c.b) == 0 {
		return
	}
	g.Length = c.packed()
	if len(c.b) == 0 {
		return
	}
	g.ServerVersion = c.u32() &^ (1 << 31) // the original server's follows if the bit is set
}

// Fields of a GTID_TAGGED event.
const (
	gtidFlags = iota
	gtidSID
	gtidGNO
	gtidTag
	gtidLastCommitted
	gtidSequence
	gtidCommitTime
	gtidOriginalTime
	gtidLength
	gtidServerVersion
	gtidOriginalVersion
	gtidTicket
)

func parseTaggedGTID(body []byte) (GTID, error) {
	c := cursor{b: body}
	var g GTID
	if v := c.varint(); v != 1 && !c.bad {
		return g, fmt.Errorf("binlog: GTID_TAGGED event in serialization version %d, only 1 is supported", v)
	}
	c.varint() // size of the message
	last := c.varint()
	for !c.bad && len(c.b) > 0 {
		id := c.varint()
		if id > gtidTicket {
			if id <= last {
				return g, fmt.Errorf("binlog: GTID_TAGGED event has field %d, which must not be ignored", id)
			}
			break // fields are in order, so only unknown ones follow
		}
		g.field(&c, id)
	}
	if g.OriginalTime == 0 {
		g.OriginalTime = g.CommitTime
	}
	if c.bad || g.GNO <= 0 {
		return GTID{}, bodyError(GTIDTaggedEvent, body)
	}
	return g, nil
}

func (g *GTID) field(c *cursor, id uint64) {
	switch id {
	case gtidFlags:
		g.MayHaveStatements = c.varint()&1 != 0
	case gtidSID:
		for i := range g.SID {
			g.SID[i] = byte(c.varint())
		}
	case gtidGNO:
		g.GNO = c.signed()
	case gtidTag:
		g.Tag = string(c.take(c.varint()))
	case gtidLastCommitted:
		g.LastCommitted = c.signed()
	case gtidSequence:
		g.Sequence = c.signed()
	case gtidCommitTime:
		g.CommitTime = c.varint()
	case gtidOriginalTime:
		g.OriginalTime = c.varint()
	case gtidLength:
		g.Length = c.varint()
	case gtidServerVersion:
		g.ServerVersion = uint32(c.varint())
	default:
		c.varint()
	}
}

// GTIDInterval is a run of transaction numbers, both ends included.
type GTIDInterval struct{ First, Last int64 }

// GTIDRange holds the transactions of one source and tag.
type GTIDRange struct {
	SID       [16]byte
	Tag       string
	Intervals []GTIDInterval
}

// ParsePreviousGTIDs reads the body of a PREVIOUS_GTIDS event: what the log
// files before this one hold. The result has memory of its own.
func ParsePreviousGTIDs(body []byte) ([]GTIDRange, error) {
	c := cursor{b: body}
	n := c.u64()
	tagged := false
	switch n >> 56 { // the format is in the outermost bytes, if it is not 0
	case 0:
	case 1:
		tagged, n = true, n<<8>>16
	default:
		return nil, fmt.Errorf("binlog: PREVIOUS_GTIDS event in format %d, only 0 and 1 are supported", n>>56)
	}
	var set []GTIDRange
	for ; n > 0 && !c.bad; n-- {
		var r GTIDRange
		copy(r.SID[:], c.take(16))
		if tagged {
			r.Tag = string(c.take(c.varint()))
		}
		for k := c.u64(); k > 0 && !c.bad; k-- {
			i := GTIDInterval{First: int64(c.u64()), Last: int64(c.u64()) - 1}
			if i.First < 1 || i.Last < i.First {
				c.fail()
			}
			r.Intervals = append(r.Intervals, i)
		}
		set = append(set, r)
	}
	if c.bad || len(c.b) > 0 {
		return nil, bodyError(PreviousGTIDsEvent, body)
	}
	return set, nil
}
