package rocketlog

import (
	"strconv"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/connect/rocketlog/remoting"
	"github.com/towline/towline/schema"
)

// Labels are properties of messages that hold one record, for readers who know
// nothing of Towline and want to filter or look without reading bodies. TAGS, by
// which brokers filter for everybody, is the op: topics mostly hold one table, so
// that is what there is left to choose by. Where one topic holds all tables, the
// property "table" serves with the filters of SQL that brokers can be told to
// allow.
const (
	labelTags  = "TAGS"
	labelOp    = "op"
	labelDB    = "db"
	labelTable = "table"
	labelTime  = "ts_ms" // of the commit
	labelGTID  = "gtid"
	labelFile  = "file" // of the binary log
	labelPos   = "pos"
)

// labeler makes labels. Those of the message before are kept: the rows of one
// event have all in common.
type labeler struct {
	op     connect.Op
	table  *schema.Table
	origin *connect.Origin
	time   int64
	text   []byte
}

// forget forgets the labels of the message before, whose memory is not its own.
func (l *labeler) forget() { *l = labeler{text: l.text[:0]} }

// append appends the labels of a message.
func (l *labeler) append(dst []byte, m *connect.Message) []byte {
	if m.Op == 0 {
		return dst
	}
	if m.Op != l.op || m.Table != l.table || m.Origin != l.origin || m.Time != l.time {
		l.op, l.table, l.origin, l.time = m.Op, m.Table, m.Origin, m.Time
		l.text = l.make(l.text[:0])
	}
	return append(dst, l.text...)
}

func (l *labeler) make(dst []byte) []byte {
	op := [1]byte{byte(l.op)}
	dst = remoting.AppendProperty(remoting.AppendProperty(dst, labelTags, op[:]), labelOp, op[:])
	var num [32]byte
	dst = remoting.AppendProperty(dst, labelTime, strconv.AppendInt(num[:0], l.time/1000, 10))
	if (l.op.HasRow() || l.op == connect.OpTruncate) && l.table != nil {
		dst = appendLabel(appendLabel(dst, labelDB, l.table.Database), labelTable, l.table.Name)
	}
	if l.origin == nil {
		return dst
	}
	if l.origin.GNO != 0 {
		var gtid [96]byte
		dst = remoting.AppendProperty(dst, labelGTID, l.origin.AppendGTID(gtid[:0]))
	}
	if l.origin.File != "" {
		dst = appendLabel(dst, labelFile, l.origin.File)
		dst = remoting.AppendProperty(dst, labelPos, strconv.AppendUint(num[:0], l.origin.Pos, 10))
	}
	return dst
}

// appendLabel appends a property unless its value cannot be one, since it has
// control characters, or is empty.
func appendLabel(dst []byte, name, value string) []byte {
	for i := range len(value) {
		if value[i] < ' ' {
			return dst
		}
	}
	if value == "" {
		return dst
	}
	return remoting.AppendProperty(dst, name, value)
}
