package mysql

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/towline/towline/connect"
)

const (
	slabSize  = 1 << 20
	slabLeast = 64 << 10  // for a log in which little happens
	maxPacket = 1<<24 - 1 // payload of a packet that another one continues
	maxEvent  = 1<<30 + 1<<20
	// minRead is the least room for a read from the socket; with less a new
	// slab is begun, lest reads become tiny.
	minRead = 32 << 10
)

// packets cuts the packets of a dump out of large slabs. What next returns is
// not overwritten while in, the slab that it lies in, is held.
type packets struct {
	conn    net.Conn
	timeout time.Duration
	in      *connect.Buffer // nil before the first packet
	slab    []byte          // of in
	size    int             // of the next slab: what comes in a burst is cut out of large ones
	r, w    int             // slab[r:w] was read and is not yet cut
	seq     byte            // of the next packet
	renewed time.Time       // when the deadline of reads was set
}

var errSequence = errors.New("the packets of the connection are out of order")

// ready reports whether a whole packet is at hand, so that next will not wait.
func (p *packets) ready() bool {
	if p.w-p.r < 4 {
		return false
	}
	n := p.length()
	return n < maxPacket && p.w-p.r >= 4+n
}

func (p *packets) length() int {
	return int(binary.LittleEndian.Uint32(p.slab[p.r:]) & maxPacket)
}

// next returns the payload of the next packet, however long it is.
func (p *packets) next() ([]byte, error) {
	if err := p.need(4); err != nil {
		return nil, err
	}
	n := p.length()
	if err := p.sequence(p.slab[p.r+3]); err != nil {
		return nil, err
	}
	if n == maxPacket {
		return p.long()
	}
	if err := p.need(4 + n); err != nil {
		return nil, err
	}
	payload := p.slab[p.r+4 : p.r+4+n : p.r+4+n]
	p.r += 4 + n
	return payload, nil
}

func (p *packets) sequence(got byte) error {
	if got != p.seq {
		return fmt.Errorf("%w: number %d came where %d was due", errSequence, got, p.seq)
	}
	p.seq++
	return nil
}

// need makes at least n bytes uncut bytes be there.
func (p *packets) need(n int) error {
	have := p.w - p.r
	if have >= n {
		return nil
	}
	quiet := have == 0 && len(p.slab) > slabLeast && p.size == slabLeast // nothing holds the rest of a large one
	if free := len(p.slab) - p.w; free < minRead || len(p.slab)-p.r < n || quiet {
		fresh := connect.NewBuffer(max(p.size, slabLeast, n+minRead))
		copy(fresh.Bytes, p.slab[p.r:p.w])
		if p.in != nil {
			p.in.Release()
		}
		p.in, p.slab, p.r, p.w = fresh, fresh.Bytes, 0, have
	}
	for p.w-p.r < n {
		k, err := p.read(p.slab[p.w:])
		p.w += k
		if p.size = max(p.size/2, slabLeast); k >= minRead {
			p.size = slabSize
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// read reads once, and waits no longer than the server may be silent. Reads
// may be many, and a deadline is dear, so one may be a little early.
func (p *packets) read(b []byte) (int, error) {
	if now := time.Now(); now.Sub(p.renewed) > p.timeout/16 {
		if err := p.conn.SetReadDeadline(now.Add(p.timeout)); err != nil {
			return 0, err
		}
		p.renewed = now
	}
	n, err := p.conn.Read(b)
	if n > 0 {
		return n, nil // what is wrong comes up again with the next read
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return 0, err
}

// long reads an event that comes in several packets, into memory of its own.
// The event's header says how long it is in all.
func (p *packets) long() ([]byte, error) {
	const head = 4 + 1 + 19
	if err := p.need(head); err != nil {
		return nil, err
	}
	size := 1 + int(binary.LittleEndian.Uint32(p.slab[p.r+4+1+9:]))
	if p.slab[p.r+4] != 0 || size < maxPacket || size > maxEvent {
		return nil, fmt.Errorf("a packet of %d bytes or more holds no event of that size (%d)", maxPacket, size)
	}
	out := make([]byte, 0, size)
	for n := maxPacket; n == maxPacket; {
		if len(out) > 0 {
			if err := p.need(4); err != nil {
				return nil, err
			}
			n = p.length()
			if err := p.sequence(p.slab[p.r+3]); err != nil {
				return nil, err
			}
		}
		p.r += 4
		if len(out)+n > size {
			return nil, fmt.Errorf("an event of %d bytes comes in packets of more", size)
		}
		k := copy(out[len(out):len(out)+n], p.slab[p.r:p.w])
		p.r += k
		for k < n {
			m, err := p.read(out[len(out)+k : len(out)+n])
			if err != nil {
				return nil, err
			}
			k += m
		}
		out = out[:len(out)+n]
	}
	if len(out) != size {
		return nil, fmt.Errorf("an event of %d bytes comes in packets of %d", size, len(out))
	}
	return out, nil
}
