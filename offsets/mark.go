package offsets

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
)

// Mark is the Position that sinks keep: all records before it, in one
// partition of one topic, are in the target.
type Mark struct {
	// Offset of the message that comes next.
	Offset int64
	// Index of the first record in that message which is not yet in the
	// target; 0 but in the middle of a message.
	Index int
}

// Position returns m in the form that a Store keeps.
func (m Mark) Position() Position {
	b := binary.AppendUvarint(make([]byte, 0, 12), uint64(m.Offset))
	return binary.AppendUvarint(b, uint64(m.Index))
}

// ParseMark is the inverse of Mark.Position.
func ParseMark(p Position) (Mark, error) {
	off, n := binary.Uvarint(p)
	if n > 0 {
		if idx, k := binary.Uvarint(p[n:]); k > 0 && n+k == len(p) {
			return Mark{Offset: int64(off), Index: int(idx)}, nil
		}
	}
	return Mark{}, fmt.Errorf("offsets: %x is not the position of a sink", []byte(p))
}

// Before reports whether m lies before o.
func (m Mark) Before(o Mark) bool {
	return m.Offset < o.Offset || m.Offset == o.Offset && m.Index < o.Index
}

// MarkKey returns the key of a sink's Mark for one partition: "topic/partition".
func MarkKey(topic string, partition int32) string {
	return topic + "/" + strconv.Itoa(int(partition))
}

// ParseMarkKey is the inverse of MarkKey.
func ParseMarkKey(key string) (topic string, partition int32, err error) {
	if i := strings.LastIndexByte(key, '/'); i > 0 {
		if p, err := strconv.ParseInt(key[i+1:], 10, 32); err == nil && p >= 0 {
			return key[:i], int32(p), nil
		}
	}
	return "", 0, fmt.Errorf("offsets: %q is not topic/partition", key)
}
