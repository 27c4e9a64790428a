package remoting

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"strconv"
	"sync"
)

// maxFrame bounds what a peer can make us allocate.
const maxFrame = 256 << 20

// Bits of a header's flag.
const (
	flagResponse = 1
	flagOneWay   = 2
)

// Command is a request or a response.
type Command struct {
	Code   Code
	Fields map[string]string
	Remark string // of a response: what went wrong
	Body   []byte

	frame []byte // what Body is a part of, where it may be used again
}

// protocolVersion is what we say to speak: 5.x, whose brokers take more than
// one form of header from older clients.
const protocolVersion = 467

// appendFrame appends all of a frame but its body.
func appendFrame(dst []byte, c *Command, opaque int32, flag int) ([]byte, error) {
	begin := len(dst)
	dst = appendHeader(append(dst, 0, 0, 0, 0, 0, 0, 0, 0), c, opaque, flag)
	size := len(dst) - begin - 8
	if size >= 1<<24 || size+len(c.Body) > maxFrame-4 {
		return nil, fmt.Errorf("remoting: a frame with a header of %d bytes and a body of %d is too large", size, len(c.Body))
	}
	binary.BigEndian.PutUint32(dst[begin:], uint32(4+size+len(c.Body)))
	binary.BigEndian.PutUint32(dst[begin+4:], uint32(size))
	return dst, nil
}

// appendHeader appends a header as JSON. It is done by hand since there is one for
// each request, which with encoding/json was a tenth of what reading costs.
func appendHeader(dst []byte, c *Command, opaque int32, flag int) []byte {
	dst = strconv.AppendInt(append(dst, `{"code":`...), int64(c.Code), 10)
	dst = strconv.AppendInt(append(dst, `,"language":"GO","version":`...), protocolVersion, 10)
	dst = strconv.AppendInt(append(dst, `,"opaque":`...), int64(opaque), 10)
	dst = strconv.AppendInt(append(dst, `,"flag":`...), int64(flag), 10)
	if c.Remark != "" {
		dst = appendQuoted(append(dst, `,"remark":`...), c.Remark)
	}
	if len(c.Fields) > 0 {
		dst = append(dst, `,"extFields":{`...)
		for k, v := range c.Fields {
			dst = append(appendQuoted(append(appendQuoted(dst, k), ':'), v), ',')
		}
		dst[len(dst)-1] = '}'
	}
	return append(dst, '}')
}

// appendQuoted appends a string of JSON.
func appendQuoted(dst []byte, s string) []byte {
	if plain(s) {
		return append(append(append(dst, '"'), s...), '"')
	}
	quoted, _ := json.Marshal(s) // no string fails
	return append(dst, quoted...)
}

// plain reports whether a string is in JSON as it is.
func plain[T string | []byte](s T) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

// Large frames are read into memory that is used again where somebody gives it
// back, see Pulled.Release. It comes in powers of two and some more, for headers.
const (
	leastKept = 14 // log2
	mostKept  = 22
	headRoom  = 4 << 10
)

var frames [mostKept + 1]sync.Pool // of *[]byte

// frameRoom returns memory for a frame. What is in it is not defined.
func frameRoom(n int) []byte {
	class := max(leastKept, bits.Len(uint(max(n-headRoom, 1)-1)))
	if n < 1<<leastKept || class > mostKept {
		return make([]byte, n)
	}
	if p, ok := frames[class].Get().(*[]byte); ok {
		return (*p)[:n]
	}
	return make([]byte, n, 1<<class+headRoom)
}

func keepFrame(b []byte) {
	class := bits.Len(uint(max(cap(b)-headRoom, 0))) - 1
	if class >= leastKept && class <= mostKept && cap(b) == 1<<class+headRoom {
		frames[class].Put(&b)
	}
}

// readFrame reads one frame. Its memory is its own.
func readFrame(r io.Reader) (c *Command, opaque int32, flag int, err error) {
	var fixed [8]byte
	if _, err := io.ReadFull(r, fixed[:]); err != nil {
		return nil, 0, 0, err
	}
	total, head := binary.BigEndian.Uint32(fixed[:]), binary.BigEndian.Uint32(fixed[4:])
	length := head & 0xffffff
	if total > maxFrame || total < 4+length {
		return nil, 0, 0, fmt.Errorf("remoting: a frame of %d bytes with a header of %d: the peer speaks another protocol", total, length)
	}
	if head>>24 != 0 {
		return nil, 0, 0, fmt.Errorf("remoting: header is serialized in form %d, which is not JSON", head>>24)
	}
	buf := frameRoom(int(total - 4))
	if _, err := io.ReadFull(r, buf); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, 0, 0, err
	}
	h, err := parseObject(buf[:length])
	if err != nil {
		return nil, 0, 0, fmt.Errorf("remoting: decode header: %w", err)
	}
	fields := h.object("extFields")
	c = &Command{Code: Code(h.number("code")), Remark: h.text("remark"), Body: buf[length:], frame: buf, Fields: make(map[string]string, len(fields))}
	for _, f := range fields {
		k, ok := f.key.(string)
		if !ok {
			return nil, 0, 0, fmt.Errorf("remoting: decode header: field %v has no name", f.key)
		}
		if s, ok := f.value.(string); ok {
			c.Fields[k] = s
		} else {
			c.Fields[k] = fmt.Sprint(f.value)
		}
	}
	return c, int32(h.number("opaque")), int(h.number("flag")), nil
}
