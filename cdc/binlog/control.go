package binlog

import (
	"fmt"
)

// Rotate says in which file and where the log goes on.
type Rotate struct {
	File string
	Pos  uint64
}

// ParseRotate reads the body of a ROTATE event.
func ParseRotate(body []byte) (Rotate, error) {
	c := cursor{b: body}
	r := Rotate{Pos: c.u64()}
	r.File = string(c.b)
	if c.bad || r.File == "" {
		return Rotate{}, bodyError(RotateEvent, body)
	}
	return r, nil
}

// ParseHeartbeat reads the body of a HEARTBEAT of either version: how far the
// server has sent its log. Version 1 has the position in its header.
func ParseHeartbeat(h Header, body []byte) (Rotate, error) {
	if h.Type == HeartbeatEvent {
		if len(body) == 0 {
			return Rotate{}, bodyError(h.Type, body)
		}
		return Rotate{File: string(body), Pos: uint64(h.LogPos)}, nil
	}
	c := cursor{b: body}
	var r Rotate
	for !c.bad {
		switch field := c.packed(); field {
		case 0:
			if c.bad || r.File == "" {
				return Rotate{}, bodyError(h.Type, body)
			}
			return r, nil
		case 1:
			r.File = string(c.packedBytes())
		case 2:
			in := cursor{b: c.packedBytes()}
			r.Pos = in.packed()
			c.bad = c.bad || in.bad
		default:
			c.packedBytes()
		}
	}
	return Rotate{}, bodyError(h.Type, body)
}

// ParseXID reads the body of an XID event, which commits a transaction.
func ParseXID(body []byte) (uint64, error) {
	c := cursor{b: body}
	xid := c.u64()
	if c.bad {
		return 0, bodyError(XIDEvent, body)
	}
	return xid, nil
}

// ParseRowsQuery reads the body of a ROWS_QUERY event: the statement that the
// row events after it come from. The text aliases body.
func ParseRowsQuery(body []byte) ([]byte, error) {
	if len(body) == 0 {
		return nil, bodyError(RowsQueryEvent, body)
	}
	return body[1:], nil // the length byte holds the length modulo 256 only
}

// XATransaction names a transaction of the XA protocol.
type XATransaction struct {
	FormatID int32
	Global   string // gtrid
	Branch   string // bqual
	OnePhase bool   // of an XA_PREPARE event: committed right here
}

// Key returns the form that the server prints in its statements:
// X'gtrid',X'bqual',format.
func (x XATransaction) Key() string {
	return fmt.Sprintf("X'%x',X'%x',%d", x.Global, x.Branch, x.FormatID)
}

// ParseXAPrepare reads the body of an XA_PREPARE event, which ends the rows of
// a transaction whose outcome comes later, in a statement of its own (unless
// it says OnePhase). The result has memory of its own.
func ParseXAPrepare(body []byte) (XATransaction, error) {
	c := cursor{b: body}
	x := XATransaction{OnePhase: c.u8() != 0, FormatID: int32(c.u32())}
	g, b := c.u32(), c.u32()
	if g > 64 || b > 64 { // the limits of the standard
		c.fail()
	}
	x.Global = string(c.take(uint64(g)))
	x.Branch = string(c.take(uint64(b)))
	if c.bad {
		return XATransaction{}, bodyError(XAPrepareEvent, body)
	}
	return x, nil
}

// Incident is the server's word that its log has a gap.
type Incident struct {
	Number  uint16 // 1: events were lost
	Message string
}

// ParseIncident reads the body of an INCIDENT event.
func ParseIncident(body []byte) (Incident, error) {
	c := cursor{b: body}
	i := Incident{Number: c.u16(), Message: string(c.short())}
	if c.bad {
		return Incident{}, bodyError(IncidentEvent, body)
	}
	return i, nil
}
