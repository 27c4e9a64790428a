package jdbc

import (
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"strconv"
	"unicode/utf8"
	"unsafe"
)

// The types of values in a binary JSON document, as MySQL stores it.
const (
	jsonSmallObject = 0x00
	jsonLargeObject = 0x01
	jsonSmallArray  = 0x02
	jsonLargeArray  = 0x03
	jsonLiteral     = 0x04
	jsonInt16       = 0x05
	jsonInt32       = 0x07
	jsonInt64       = 0x09
	jsonUint64      = 0x0a
	jsonDouble      = 0x0b
	jsonString      = 0x0c
)

// The literals.
const (
	jsonNull  = 0
	jsonTrue  = 1
	jsonFalse = 2
)

// maxJSONDepth is how deep the server lets a document nest.
const maxJSONDepth = 100

// errJSON is for text that this encoder leaves to the server: it is no JSON,
// nests too deep, or the members of an object are not in the order in which
// the server has them.
var errJSON = errors.New("not JSON as a server prints it")

// errLarge says that a container does not fit the small form.
var errLarge = errors.New("a JSON document needs the large form")

// jsonEncoder turns JSON text into the binary form. It keeps its memory from
// one document to the next.
type jsonEncoder struct {
	text  []byte
	at    int
	nodes []jsonNode // the document in its order; keys stand before values
	words []byte     // strings that had escapes
}

// jsonNode is a value or key.
type jsonNode struct {
	kind  byte   // as above, objects and arrays as the small ones
	num   uint64 // the number or literal
	str   []byte // of a string or key
	count int    // of members or elements
	end   int    // node after the last one of a container
}

// append appends the binary form of text.
func (e *jsonEncoder) append(dst, text []byte) ([]byte, error) {
	e.text, e.at, e.nodes, e.words = text, 0, e.nodes[:0], e.words[:0]
	if err := e.value(0); err != nil {
		return dst, err
	}
	if e.space(); e.at != len(text) {
		return dst, errJSON
	}
	n := &e.nodes[0]
	if n.kind > jsonLargeArray {
		dst = append(dst, n.kind)
		return appendScalar(dst, n), nil
	}
	return e.typed(dst, 0)
}

// typed appends the type of a container and the container.
func (e *jsonEncoder) typed(dst []byte, i int) ([]byte, error) {
	start := len(dst)
	dst = append(dst, e.nodes[i].kind)
	dst, err := e.container(dst, i, false)
	if errors.Is(err, errLarge) {
		dst = append(dst[:start], e.nodes[i].kind|1)
		return e.container(dst, i, true)
	}
	return dst, err
}

func (e *jsonEncoder) space() {
	for e.at < len(e.text) {
		switch e.text[e.at] {
		case ' ', '\t', '\n', '\r':
			e.at++
		default:
			return
		}
	}
}

// value reads a value.
func (e *jsonEncoder) value(depth int) error {
	e.space()
	if e.at >= len(e.text) || depth > maxJSONDepth {
		return errJSON
	}
	switch c := e.text[e.at]; c {
	case '{', '[':
		return e.members(depth, c)
	case '"':
		s, err := e.string()
		e.nodes = append(e.nodes, jsonNode{kind: jsonString, str: s})
		return err
	case 't':
		return e.literal("true", jsonTrue)
	case 'f':
		return e.literal("false", jsonFalse)
	case 'n':
		return e.literal("null", jsonNull)
	}
	return e.number()
}

func (e *jsonEncoder) literal(word string, n uint64) error {
	if len(e.text)-e.at < len(word) || string(e.text[e.at:e.at+len(word)]) != word {
		return errJSON
	}
	e.at += len(word)
	e.nodes = append(e.nodes, jsonNode{kind: jsonLiteral, num: n})
	return nil
}

// members reads an object or array.
func (e *jsonEncoder) members(depth int, open byte) error {
	self, kind, closing := len(e.nodes), byte(jsonSmallArray), byte(']')
	if open == '{' {
		kind, closing = jsonSmallObject, '}'
	}
	e.nodes = append(e.nodes, jsonNode{kind: kind})
	e.at++
	count := 0
	var last []byte
	for {
		e.space()
		if e.at < len(e.text) && e.text[e.at] == closing && count == 0 {
			break
		}
		if open == '{' {
			key, err := e.key()
			if err != nil || count > 0 && !keyBefore(last, key) {
				return errJSON
			}
			last = key
		}
		if err := e.value(depth + 1); err != nil {
			return err
		}
		count++
		if e.space(); e.at >= len(e.text) {
			return errJSON
		}
		if e.text[e.at] == closing {
			break
		}
		if e.text[e.at] != ',' {
			return errJSON
		}
		e.at++
	}
	e.at++
	e.nodes[self].count, e.nodes[self].end = count, len(e.nodes)
	return nil
}

// keyBefore reports whether a server has a before b: short ones first.
func keyBefore(a, b []byte) bool {
	if len(a) != len(b) {
		return len(a) < len(b)
	}
	return slices.Compare(a, b) < 0
}

// key reads a key and the colon.
func (e *jsonEncoder) key() ([]byte, error) {
	if e.at >= len(e.text) || e.text[e.at] != '"' {
		return nil, errJSON
	}
	s, err := e.string()
	if err != nil || len(s) > math.MaxUint16 {
		return nil, errJSON
	}
	e.nodes = append(e.nodes, jsonNode{kind: jsonString, str: s})
	if e.space(); e.at >= len(e.text) || e.text[e.at] != ':' {
		return nil, errJSON
	}
	e.at++
	return s, nil
}

// string reads a string.
func (e *jsonEncoder) string() ([]byte, error) {
	e.at++
	begin := e.at
	for e.at < len(e.text) {
		switch c := e.text[e.at]; {
		case c == '"':
			s := e.text[begin:e.at]
			e.at++
			if !utf8.Valid(s) {
				return nil, errJSON
			}
			return s, nil
		case c == '\\':
			return e.escaped(begin)
		case c < ' ':
			return nil, errJSON
		}
		e.at++
	}
	return nil, errJSON
}

// escaped reads on from the first backslash of a string.
func (e *jsonEncoder) escaped(begin int) ([]byte, error) {
	start := len(e.words)
	e.words = append(e.words, e.text[begin:e.at]...)
	for e.at < len(e.text) {
		switch c := e.text[e.at]; {
		case c == '"':
			e.at++
			s := e.words[start:len(e.words):len(e.words)]
			if !utf8.Valid(s) {
				return nil, errJSON
			}
			return s, nil
		case c < ' ':
			return nil, errJSON
		case c != '\\':
			e.words = append(e.words, c)
			e.at++
		default:
			if err := e.escape(); err != nil {
				return nil, err
			}
		}
	}
	return nil, errJSON
}

// escape reads one escape.
func (e *jsonEncoder) escape() error {
	if e.at+1 >= len(e.text) {
		return errJSON
	}
	c := e.text[e.at+1]
	e.at += 2
	switch c {
	case '"', '\\', '/':
	case 'b':
		c = '\b'
	case 'f':
		c = '\f'
	case 'n':
		c = '\n'
	case 'r':
		c = '\r'
	case 't':
		c = '\t'
	case 'u':
		return e.unicode()
	default:
		return errJSON
	}
	e.words = append(e.words, c)
	return nil
}

// unicode reads the digits of \u, and a second one where they are the first
// half of a pair.
func (e *jsonEncoder) unicode() error {
	r, ok := e.hex()
	if ok && r >= 0xd800 && r < 0xdc00 {
		if e.at+2 > len(e.text) || e.text[e.at] != '\\' || e.text[e.at+1] != 'u' {
			return errJSON
		}
		e.at += 2
		var low rune
		if low, ok = e.hex(); low < 0xdc00 || low > 0xdfff {
			return errJSON
		}
		r = 0x10000 + (r-0xd800)<<10 + (low - 0xdc00)
	} else if r >= 0xdc00 && r <= 0xdfff {
		return errJSON
	}
	if !ok {
		return errJSON
	}
	e.words = utf8.AppendRune(e.words, r)
	return nil
}

func (e *jsonEncoder) hex() (r rune, ok bool) {
	if e.at+4 > len(e.text) {
		return 0, false
	}
	for _, c := range e.text[e.at : e.at+4] {
		switch {
		case c >= '0' && c <= '9':
			r = r<<4 | rune(c-'0')
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			r = r<<4 | rune(c|0x20-'a'+10)
		default:
			return 0, false
		}
	}
	e.at += 4
	return r, true
}

// number reads a number: an integer where it is spelled as one and fits 64
// bits, else a double. One that 32 bits do not hold is unsigned, as the server
// reads it from text.
func (e *jsonEncoder) number() error {
	begin := e.at
	neg := e.text[e.at] == '-'
	if neg {
		e.at++
	}
	first := e.at
	n, whole := e.digits()
	digits := e.at - first
	if digits == 0 || digits > 1 && e.text[first] == '0' {
		return errJSON
	}
	if e.at < len(e.text) && e.text[e.at] == '.' {
		whole = false
		e.at++
		if p := e.at; func() bool { e.digits(); return e.at == p }() {
			return errJSON
		}
	}
	if e.at < len(e.text) && e.text[e.at]|0x20 == 'e' {
		whole = false
		if e.at++; e.at < len(e.text) && (e.text[e.at] == '+' || e.text[e.at] == '-') {
			e.at++
		}
		if p := e.at; func() bool { e.digits(); return e.at == p }() {
			return errJSON
		}
	}
	switch {
	case whole && !neg && n > math.MaxUint32:
		e.nodes = append(e.nodes, jsonNode{kind: jsonUint64, num: n})
	case whole && (!neg || n <= 1<<63):
		if neg {
			n = -n
		}
		e.nodes = append(e.nodes, jsonNode{kind: intKind(int64(n)), num: n})
	default:
		text := e.text[begin:e.at]
		f, err := strconv.ParseFloat(unsafe.String(unsafe.SliceData(text), len(text)), 64)
		if err != nil {
			return errJSON
		}
		e.nodes = append(e.nodes, jsonNode{kind: jsonDouble, num: math.Float64bits(f)})
	}
	return nil
}

// digits reads digits; fits is false where they are too many.
func (e *jsonEncoder) digits() (n uint64, fits bool) {
	fits = true
	for ; e.at < len(e.text) && e.text[e.at] >= '0' && e.text[e.at] <= '9'; e.at++ {
		d := uint64(e.text[e.at] - '0')
		if n > (math.MaxUint64-d)/10 {
			fits = false
		}
		n = n*10 + d
	}
	return n, fits
}

func intKind(n int64) byte {
	switch {
	case n >= math.MinInt16 && n <= math.MaxInt16:
		return jsonInt16
	case n >= math.MinInt32 && n <= math.MaxInt32:
		return jsonInt32
	}
	return jsonInt64
}

// appendScalar appends the value of a scalar without its type.
func appendScalar(dst []byte, n *jsonNode) []byte {
	switch n.kind {
	case jsonLiteral:
		return append(dst, byte(n.num))
	case jsonInt16:
		return binary.LittleEndian.AppendUint16(dst, uint16(n.num))
	case jsonInt32:
		return binary.LittleEndian.AppendUint32(dst, uint32(n.num))
	case jsonString:
		size := len(n.str)
		for ; size > 0x7f; size >>= 7 {
			dst = append(dst, byte(size)|0x80)
		}
		return append(append(dst, byte(size)), n.str...)
	}
	return binary.LittleEndian.AppendUint64(dst, n.num)
}

// container appends an object or array without its type: the number of
// elements, the size, an entry for each key, one for each value, the keys, the
// values. Offsets count from its beginning.
func (e *jsonEncoder) container(dst []byte, i int, large bool) ([]byte, error) {
	n := e.nodes[i]
	object := n.kind == jsonSmallObject
	width := 2
	if large {
		width = 4
	}
	start := len(dst)
	entries := start + 2*width
	values := entries
	if object {
		values += n.count * (width + 2)
	}
	if !large && n.count > math.MaxUint16 {
		return dst, errLarge
	}
	dst = grow(dst, values+n.count*(1+width)-start)
	put(dst[start:], uint64(n.count), width)
	if object {
		for k, j := 0, i+1; k < n.count; k, j = k+1, e.after(j+1) {
			at := entries + k*(width+2)
			put(dst[at:], uint64(len(dst)-start), width)
			binary.LittleEndian.PutUint16(dst[at+width:], uint16(len(e.nodes[j].str)))
			dst = append(dst, e.nodes[j].str...)
		}
	}
	for k, j := 0, i+1; k < n.count; k++ {
		if object {
			j++
		}
		var err error
		if dst, err = e.element(dst, start, values+k*(1+width), j, large); err != nil {
			return dst, err
		}
		if !large && len(dst)-start > math.MaxUint16 {
			return dst, errLarge
		}
		j = e.after(j)
	}
	if size := len(dst) - start; !large && size > math.MaxUint16 {
		return dst, errLarge
	}
	put(dst[start+width:], uint64(len(dst)-start), width)
	return dst, nil
}

// after returns the node behind a value.
func (e *jsonEncoder) after(j int) int {
	if e.nodes[j].kind <= jsonLargeArray {
		return e.nodes[j].end
	}
	return j + 1
}

// element writes the entry at place entry and appends what does not fit it.
func (e *jsonEncoder) element(dst []byte, start, entry, j int, large bool) ([]byte, error) {
	n := &e.nodes[j]
	width := 2
	if large {
		width = 4
	}
	dst[entry] = n.kind
	switch {
	case n.kind == jsonLiteral:
		put(dst[entry+1:], n.num, width)
		return dst, nil
	case n.kind == jsonInt16, large && n.kind == jsonInt32:
		put(dst[entry+1:], n.num, width)
		if n.kind == jsonInt16 && large { // sign and all
			put(dst[entry+1:], uint64(uint32(int32(int16(n.num)))), width)
		}
		return dst, nil
	}
	put(dst[entry+1:], uint64(len(dst)-start), width)
	if n.kind > jsonLargeArray {
		return appendScalar(dst, n), nil
	}
	here := len(dst)
	dst, err := e.container(dst, j, false)
	if errors.Is(err, errLarge) {
		if !large {
			return dst, err // this one is larger still
		}
		dst[entry] = n.kind | 1
		return e.container(dst[:here], j, true)
	}
	return dst, err
}

func put(dst []byte, n uint64, width int) {
	if width == 2 {
		binary.LittleEndian.PutUint16(dst, uint16(n))
		return
	}
	binary.LittleEndian.PutUint32(dst, uint32(n))
}

// grow appends n bytes of zero.
func grow(dst []byte, n int) []byte {
	dst = slices.Grow(dst, n)
	end := len(dst)
	dst = dst[:end+n]
	clear(dst[end:])
	return dst
}
