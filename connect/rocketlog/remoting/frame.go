package remoting

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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

// header is what the JSON in a frame holds.
type header struct {
	Code     Code           `json:"code"`
	Language string         `json:"language"`
	Version  int            `json:"version"`
	Opaque   int32          `json:"opaque"`
	Flag     int            `json:"flag"`
	Remark   string         `json:"remark,omitempty"`
	Fields   map[string]any `json:"extFields,omitempty"`
}

// protocolVersion is what we say to speak: 5.x, whose brokers take more than
// one form of header from older clients.
const protocolVersion = 467

// appendFrame appends all of a frame but its body.
func appendFrame(dst []byte, c *Command, opaque int32, flag int) ([]byte, error) {
	fields := make(map[string]any, len(c.Fields))
	for k, v := range c.Fields {
		fields[k] = v
	}
	h, err := json.Marshal(header{Code: c.Code, Language: "GO", Version: protocolVersion, Opaque: opaque, Flag: flag, Remark: c.Remark, Fields: fields})
	if err != nil {
		return nil, fmt.Errorf("remoting: encode header: %w", err)
	}
	if len(h) >= 1<<24 || len(h)+len(c.Body) > maxFrame-4 {
		return nil, fmt.Errorf("remoting: a frame with a header of %d bytes and a body of %d is too large", len(h), len(c.Body))
	}
	dst = binary.BigEndian.AppendUint32(dst, uint32(4+len(h)+len(c.Body)))
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(h)))
	return append(dst, h...), nil
}

// Large frames are read into memory that is used again where somebody gives it
// back, see Pulled.Release.
const (
	leastKept = 16 << 10
	mostKept  = 4 << 20
)

var frames sync.Pool // of *[]byte

// frameRoom returns memory for a frame. What is in it is not defined.
func frameRoom(n int) []byte {
	if n < leastKept {
		return make([]byte, n)
	}
	if p, ok := frames.Get().(*[]byte); ok && cap(*p) >= n {
		return (*p)[:n]
	}
	return make([]byte, n, max(n, 256<<10))
}

func keepFrame(b []byte) {
	if cap(b) >= leastKept && cap(b) <= mostKept {
		frames.Put(&b)
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
	var h header
	if err := json.Unmarshal(buf[:length], &h); err != nil {
		return nil, 0, 0, fmt.Errorf("remoting: decode header: %w", err)
	}
	c = &Command{Code: h.Code, Remark: h.Remark, Body: buf[length:], frame: buf, Fields: make(map[string]string, len(h.Fields))}
	for k, v := range h.Fields {
		if s, ok := v.(string); ok {
			c.Fields[k] = s
		} else {
			c.Fields[k] = fmt.Sprint(v)
		}
	}
	return c, h.Opaque, h.Flag, nil
}
