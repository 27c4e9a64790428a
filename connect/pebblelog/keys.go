package pebblelog

import "encoding/binary"

// The key spaces; see the package doc.
const (
	spaceFormat  = 0x01
	spaceTopic   = 0x02
	spaceEnd     = 0x03
	spaceFirst   = 0x04
	spaceSegment = 0x05
	spaceEntry   = 0x06
	spaceAhead   = 0x07
	spaceMessage = 0x10
)

const (
	partitionKeyLen = 1 + 4 + 4
	messageKeyLen   = partitionKeyLen + 8
	partKeyLen      = messageKeyLen + 4
)

func appendPartitionKey(dst []byte, space byte, topic uint32, partition int32) []byte {
	dst = append(dst, space)
	dst = binary.BigEndian.AppendUint32(dst, topic)
	return binary.BigEndian.AppendUint32(dst, uint32(partition))
}

// appendOffsetKey makes keys of segments and messages.
func appendOffsetKey(dst []byte, space byte, p *partition, offset int64) []byte {
	dst = appendPartitionKey(dst, space, p.topic.id, p.index)
	return binary.BigEndian.AppendUint64(dst, uint64(offset))
}

func (p *partition) key(space byte) []byte {
	return appendPartitionKey(nil, space, p.topic.id, p.index)
}

// parsePartitionKey is the inverse of appendPartitionKey; rest is what follows.
func parsePartitionKey(key []byte) (topic uint32, partition int32, rest []byte, ok bool) {
	if len(key) < partitionKeyLen {
		return 0, 0, nil, false
	}
	return binary.BigEndian.Uint32(key[1:]), int32(binary.BigEndian.Uint32(key[5:])), key[partitionKeyLen:], true
}

// u64s packs numbers into dst.
func u64s(dst []byte, v ...uint64) []byte {
	for _, n := range v {
		dst = binary.BigEndian.AppendUint64(dst, n)
	}
	return dst
}

// u64At returns the i-th number of a value made by u64s.
func u64At(v []byte, i int) uint64 { return binary.BigEndian.Uint64(v[8*i:]) }
