package rocketlog

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/connect/rocketlog/remoting"
)

// Properties of a message beside its stamp; see label for those that are for
// readers who know nothing of Towline.
const (
	propKeys = "KEYS"
	propMeta = "twm" // in base64; see appendMeta
)

// Bits of the meta's first byte.
const (
	metaTombstone = 1 << iota // the value is nil
	metaHasKey                // there is a key
	metaKeyIsKeys             // and it is the property KEYS
	metaHeaders               // headers are in the meta
	metaSource                // Source and Seq are there
	metaInBody                // the meta is the beginning of the body, of which twm says the length
)

// maxMeta is the most bytes that the meta may take among the properties.
const maxMeta = 16 << 10

// maxKeys is the most bytes of a key that become KEYS. With the stamp and labels
// that is far from what properties may take, 32 KiB.
const maxKeys = 1 << 10

// appendMeta appends what a message has beside its value:
//
//	flags u8, count varint, time varint,
//	[seq uvarint, source: length uvarint, bytes]  [key: length uvarint, bytes]  [headers: number uvarint, { length uvarint, name, length+1 uvarint (0: nil), bytes }]
func appendMeta(dst []byte, m *connect.Message) []byte {
	var flags byte
	if m.Value == nil {
		flags |= metaTombstone
	}
	if m.Key != nil {
		flags |= metaHasKey
		if canBeKeys(m.Key) {
			flags |= metaKeyIsKeys
		}
	}
	if len(m.Headers) > 0 {
		flags |= metaHeaders
	}
	if m.Source != "" || m.Seq != 0 {
		flags |= metaSource
	}
	dst = binary.AppendVarint(append(dst, flags), int64(m.Count))
	dst = binary.AppendVarint(dst, m.Time)
	if flags&metaSource != 0 {
		dst = binary.AppendUvarint(dst, m.Seq)
		dst = append(binary.AppendUvarint(dst, uint64(len(m.Source))), m.Source...)
	}
	if flags&(metaHasKey|metaKeyIsKeys) == metaHasKey {
		dst = append(binary.AppendUvarint(dst, uint64(len(m.Key))), m.Key...)
	}
	if len(m.Headers) == 0 {
		return dst
	}
	dst = binary.AppendUvarint(dst, uint64(len(m.Headers)))
	for _, h := range m.Headers {
		dst = append(binary.AppendUvarint(dst, uint64(len(h.Key))), h.Key...)
		if h.Value == nil {
			dst = binary.AppendUvarint(dst, 0)
			continue
		}
		dst = append(binary.AppendUvarint(dst, uint64(len(h.Value))+1), h.Value...)
	}
	return dst
}

// canBeKeys reports whether a key can stand as KEYS, which is split at spaces
// and takes no control characters.
func canBeKeys(key []byte) bool {
	if len(key) == 0 || len(key) > maxKeys {
		return false
	}
	for _, c := range key {
		if c <= ' ' || c >= 0x7f {
			return false
		}
	}
	return true
}

var errMeta = errors.New("its properties are damaged")

// takeMessage adds to dst the message whose properties are those of first and
// whose body is in the parts, or in first where there are none. The bytes are copied. source is the Source that is
// expected, and becomes the one that is there.
func takeMessage(dst *connect.Messages, first *remoting.Message, body [][]byte, source *string) (*connect.Message, error) {
	text, ok := first.Property(propMeta)
	if !ok {
		return nil, errMeta
	}
	meta := dst.Alloc(base64.RawStdEncoding.DecodedLen(len(text)))
	n, err := base64.RawStdEncoding.Decode(meta, text)
	if err != nil || n == 0 {
		return nil, errMeta
	}
	meta = meta[:n]
	size := len(first.Body)
	if body != nil {
		size = 0
	}
	for _, b := range body {
		size += len(b)
	}
	value := dst.Alloc(size)[:0]
	if body == nil {
		value = append(value, first.Body...)
	}
	for _, b := range body {
		value = append(value, b...)
	}
	if meta[0] == metaInBody {
		l, k := binary.Uvarint(meta[1:])
		if k <= 0 || l > uint64(len(value)) || l == 0 {
			return nil, errMeta
		}
		meta, value = value[:l:l], value[l:]
	}
	m := dst.Add()
	m.Value = value
	if err := readMeta(dst, m, meta, first, source); err != nil {
		return nil, err
	}
	return m, nil
}

// readMeta is the inverse of appendMeta.
func readMeta(dst *connect.Messages, m *connect.Message, b []byte, first *remoting.Message, source *string) error {
	r := metaReader{b: b[1:]}
	flags := b[0]
	m.Count, m.Time = int32(r.varint()), r.varint()
	if flags&metaTombstone != 0 {
		m.Value = nil
	}
	if flags&metaSource != 0 {
		m.Seq = r.uvarint()
		if name := r.bytes(r.uvarint()); string(name) != *source {
			*source = string(name)
		}
		m.Source = *source
	}
	switch {
	case flags&metaKeyIsKeys != 0:
		keys, ok := first.Property(propKeys)
		if !ok {
			return errMeta
		}
		m.Key = append(dst.Alloc(len(keys))[:0], keys...)
	case flags&metaHasKey != 0:
		m.Key = r.bytes(r.uvarint())
	}
	if flags&metaHeaders != 0 {
		n := r.uvarint()
		if n > uint64(len(b)) {
			return errMeta
		}
		m.Headers = dst.NewHeaders(int(n))
		for i := range m.Headers {
			m.Headers[i].Key = string(r.bytes(r.uvarint()))
			if l := r.uvarint(); l > 0 {
				m.Headers[i].Value = r.bytes(l - 1)
			}
		}
	}
	if r.bad || len(r.b) > 0 {
		return errMeta
	}
	return nil
}

type metaReader struct {
	b   []byte
	bad bool
}

func (r *metaReader) uvarint() uint64 {
	n, k := binary.Uvarint(r.b)
	if k <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[k:]
	return n
}

func (r *metaReader) varint() int64 {
	n, k := binary.Varint(r.b)
	if k <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[k:]
	return n
}

func (r *metaReader) bytes(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.bad, r.b = true, nil
		return nil
	}
	p := r.b[:n:n]
	r.b = r.b[n:]
	return p
}

// damaged says which message cannot be read.
func damaged(topic string, q remoting.Queue, place int64, err error) error {
	return fmt.Errorf("rocketlog: the message at offset %d of queue %s/%d of topic %s: %w", place, q.Broker, q.ID, topic, err)
}
