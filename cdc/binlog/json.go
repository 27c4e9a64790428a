package binlog

import (
	"encoding/binary"
	"errors"
	"strconv"
)

// Types of the values in a binary JSON document.
const (
	jsonSmallObject = iota
	jsonLargeObject
	jsonSmallArray
	jsonLargeArray
	jsonLiteral
	jsonInt16
	jsonUint16
	jsonInt32
	jsonUint32
	jsonInt64
	jsonUint64
	jsonDouble
	jsonString
	jsonOpaque = 15
)

// maxJSONDepth is one more than the depth the server allows.
const maxJSONDepth = 101

var (
	errJSON      = errors.New("not a binary JSON document")
	errJSONDepth = errors.New("a JSON document nested deeper than the server allows")
)

// AppendJSON appends the text of a binary JSON document, byte for byte as the
// server prints it in CAST(column AS CHAR). An empty document, which old
// servers left behind where a column was added to rows, is null.
func AppendJSON(dst, doc []byte) ([]byte, error) {
	if len(doc) == 0 {
		return append(dst, "null"...), nil
	}
	w := jsonWriter{out: dst, budget: len(doc)}
	if err := w.value(doc[0], doc[1:], 0); err != nil {
		return dst, err
	}
	return w.out, nil
}

// jsonWriter renders one document.
type jsonWriter struct {
	out []byte
	// budget is what is left of the document's bytes. Each value takes its
	// share, so that a broken document whose values overlap cannot become
	// many times its size.
	budget int
}

// value renders the value whose bytes begin at b[0].
func (w *jsonWriter) value(t byte, b []byte, depth int) error {
	switch t {
	case jsonSmallObject, jsonLargeObject, jsonSmallArray, jsonLargeArray:
		return w.container(t, b, depth+1)
	case jsonString:
		s, _, ok := jsonBytes(b)
		if w.budget -= len(s); !ok || w.budget < 0 {
			return errJSON
		}
		w.out = appendJSONString(w.out, s)
		return nil
	case jsonOpaque:
		return w.opaque(b)
	}
	return w.scalar(t, b)
}

// scalar renders a value of fixed size.
func (w *jsonWriter) scalar(t byte, b []byte) error {
	size := 2
	switch t {
	case jsonLiteral:
		size = 1
	case jsonInt16, jsonUint16:
	case jsonInt32, jsonUint32:
		size = 4
	case jsonInt64, jsonUint64, jsonDouble:
		size = 8
	default:
		return errJSON
	}
	if len(b) < size {
		return errJSON
	}
	switch t {
	case jsonLiteral:
		return w.literal(b[0])
	case jsonInt16:
		w.out = strconv.AppendInt(w.out, int64(int16(binary.LittleEndian.Uint16(b))), 10)
	case jsonUint16:
		w.out = strconv.AppendUint(w.out, uint64(binary.LittleEndian.Uint16(b)), 10)
	case jsonInt32:
		w.out = strconv.AppendInt(w.out, int64(int32(binary.LittleEndian.Uint32(b))), 10)
	case jsonUint32:
		w.out = strconv.AppendUint(w.out, uint64(binary.LittleEndian.Uint32(b)), 10)
	case jsonInt64:
		w.out = strconv.AppendInt(w.out, int64(binary.LittleEndian.Uint64(b)), 10)
	case jsonUint64:
		w.out = strconv.AppendUint(w.out, binary.LittleEndian.Uint64(b), 10)
	default:
		return w.double(binary.LittleEndian.Uint64(b))
	}
	return nil
}

func (w *jsonWriter) literal(b byte) error {
	switch b {
	case 0:
		w.out = append(w.out, "null"...)
	case 1:
		w.out = append(w.out, "true"...)
	case 2:
		w.out = append(w.out, "false"...)
	default:
		return errJSON
	}
	return nil
}

// container renders an object or array.
func (w *jsonWriter) container(t byte, b []byte, depth int) error {
	if depth >= maxJSONDepth {
		return errJSONDepth
	}
	c, err := w.open(t, b)
	if err != nil {
		return err
	}
	if t == jsonSmallObject || t == jsonLargeObject {
		return w.object(&c, depth)
	}
	return w.array(&c, depth)
}

// open takes apart an object or array: the number of its elements, its size,
// for each key its offset and length, for each value its type and either
// itself or its offset; then keys and values.
func (w *jsonWriter) open(t byte, b []byte) (jsonContainer, error) {
	word := 2
	if t == jsonLargeObject || t == jsonLargeArray {
		word = 4
	}
	if len(b) < 2*word {
		return jsonContainer{}, errJSON
	}
	count, size := jsonWord(b, word), jsonWord(b[word:], word)
	entry, keyEntry := 1+word, 0
	if t == jsonSmallObject || t == jsonLargeObject {
		keyEntry = word + 2
	}
	if size > len(b) || count > size/entry || 2*word+count*(entry+keyEntry) > size {
		return jsonContainer{}, errJSON
	}
	if w.budget -= count * (entry + keyEntry); w.budget < 0 {
		return jsonContainer{}, errJSON
	}
	return jsonContainer{b: b[:size], word: word, keys: 2 * word, values: 2*word + count*keyEntry, count: count}, nil
}

// jsonContainer is an object or array taken apart.
type jsonContainer struct {
	b            []byte
	word         int // size of a number: 2 or 4
	keys, values int // where the entries begin
	count        int
}

// value returns the type of value i and the bytes that it begins at, which
// are in its entry if it is small; nil if it lies beyond the container.
func (c *jsonContainer) value(i int) (t byte, b []byte) {
	entry := c.b[c.values+i*(1+c.word):]
	t, in := entry[0], entry[1:1+c.word]
	switch t {
	case jsonLiteral, jsonInt16, jsonUint16:
		return t, in
	case jsonInt32, jsonUint32:
		if c.word == 4 {
			return t, in
		}
	}
	at := jsonWord(in, c.word)
	if at >= len(c.b) {
		return t, nil
	}
	return t, c.b[at:]
}

// key returns key i, nil if it lies beyond the container.
func (c *jsonContainer) key(i int) []byte {
	entry := c.b[c.keys+i*(c.word+2):]
	at, n := jsonWord(entry, c.word), int(binary.LittleEndian.Uint16(entry[c.word:]))
	if at+n > len(c.b) {
		return nil
	}
	return c.b[at : at+n]
}

func jsonWord(b []byte, word int) int {
	if word == 2 {
		return int(binary.LittleEndian.Uint16(b))
	}
	return int(binary.LittleEndian.Uint32(b))
}

func (w *jsonWriter) array(c *jsonContainer, depth int) error {
	w.out = append(w.out, '[')
	for i := range c.count {
		if i > 0 {
			w.out = append(w.out, ", "...)
		}
		if err := w.element(c, i, depth); err != nil {
			return err
		}
	}
	w.out = append(w.out, ']')
	return nil
}

func (w *jsonWriter) object(c *jsonContainer, depth int) error {
	w.out = append(w.out, '{')
	entry := c.b[c.keys:c.values]
	for i := range c.count {
		if i > 0 {
			w.out = append(w.out, ", "...)
		}
		at, n := jsonWord(entry, c.word), int(binary.LittleEndian.Uint16(entry[c.word:]))
		entry = entry[c.word+2:]
		if w.budget -= n; at+n > len(c.b) || w.budget < 0 {
			return errJSON
		}
		w.out = appendJSONString(w.out, c.b[at:at+n])
		w.out = append(w.out, ": "...)
		if err := w.element(c, i, depth); err != nil {
			return err
		}
	}
	w.out = append(w.out, '}')
	return nil
}

// element renders value i, which is in its entry if it is small.
func (w *jsonWriter) element(c *jsonContainer, i, depth int) error {
	entry := c.b[c.values+i*(1+c.word):]
	t, in := entry[0], entry[1:1+c.word]
	switch t {
	case jsonLiteral:
		return w.literal(in[0])
	case jsonInt16:
		w.out = strconv.AppendInt(w.out, int64(int16(binary.LittleEndian.Uint16(in))), 10)
		return nil
	case jsonUint16:
		w.out = strconv.AppendUint(w.out, uint64(binary.LittleEndian.Uint16(in)), 10)
		return nil
	case jsonInt32, jsonUint32:
		if c.word == 4 {
			return w.scalar(t, in)
		}
	}
	at := jsonWord(in, c.word)
	if at >= len(c.b) {
		return errJSON
	}
	return w.value(t, c.b[at:], depth)
}

// jsonBytes reads a length, 7 bits to a byte, and as many bytes.
func jsonBytes(b []byte) (s, rest []byte, ok bool) {
	n := 0
	for i := 0; i < len(b) && i < 5; i++ {
		n |= int(b[i]&0x7f) << (7 * i)
		if b[i] < 0x80 {
			b = b[i+1:]
			if n > len(b) {
				return nil, nil, false
			}
			return b[:n], b[n:], true
		}
	}
	return nil, nil, false
}
