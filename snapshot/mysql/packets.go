package mysql

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/towline/towline/connect"
)

const (
	maxPayload = 1<<24 - 1 // of a packet that another one continues
	firstBlock = 32 << 10  // memory that is read into first: most tables are small
	blockSize  = 128 << 10 // that is read into then
	// minRead is the least room for a read; with less a new block is begun,
	// lest reads become tiny.
	minRead = 16 << 10
)

// packets cuts the packets of one answer of the server out of large blocks of
// memory, which is that of the batch given to into: what next returns stays
// valid for as long as the batch. It reads past the client's own buffer, which
// is empty while no answer is under way.
type packets struct {
	conn  net.Conn
	batch *connect.Batch // owner of block; nil: it is our own
	block []byte
	r, w  int  // block[r:w] was read and is not cut yet
	seq   byte // of the next packet
}

var errSequence = errors.New("the packets of the connection are out of order")

// into makes b own what is read from now on.
func (p *packets) into(b *connect.Batch) {
	if p.batch != b {
		p.batch = b
		p.renew(max(firstBlock, p.w-p.r+minRead))
	}
}

// renew begins another block.
func (p *packets) renew(size int) {
	var fresh []byte
	if p.batch != nil {
		fresh = p.batch.Alloc(size)
	} else {
		fresh = make([]byte, size)
	}
	p.r, p.w, p.block = 0, copy(fresh, p.block[p.r:p.w]), fresh
}

// ready reports whether a whole packet is at hand, so that next will not wait.
func (p *packets) ready() bool {
	if p.w-p.r < 4 {
		return false
	}
	n := p.length()
	return n < maxPayload && p.w-p.r >= 4+n
}

func (p *packets) length() int {
	return int(binary.LittleEndian.Uint32(p.block[p.r:]) & maxPayload)
}

// next returns the payload of the next packet, of whatever length.
func (p *packets) next() ([]byte, error) {
	payload, err := p.cut(0)
	if err != nil || len(payload) < maxPayload {
		return payload, err
	}
	// More packets continue it. The next one is moved up to where this one
	// ends, over its own header.
	for whole := len(payload); ; {
		p.r -= whole
		more, err := p.cut(whole)
		if err != nil {
			return nil, err
		}
		whole += len(more)
		if len(more) < maxPayload {
			end := p.r
			return p.block[end-whole : end : end], nil
		}
	}
}

// cut returns the payload of the next packet, which follows on before bytes of
// payload at p.r and is moved up to them.
func (p *packets) cut(before int) ([]byte, error) {
	if err := p.need(before + 4); err != nil {
		return nil, err
	}
	at := p.r + before
	n := int(binary.LittleEndian.Uint32(p.block[at:]) & maxPayload)
	if seq := p.block[at+3]; seq != p.seq {
		return nil, fmt.Errorf("%w: number %d came where %d was due", errSequence, seq, p.seq)
	}
	p.seq++
	if err := p.need(before + 4 + n); err != nil {
		return nil, err
	}
	at = p.r + before
	if before == 0 {
		p.r = at + 4 + n
		return p.block[at+4 : p.r : p.r], nil
	}
	p.w = at + copy(p.block[at:], p.block[at+4:p.w])
	p.r = at + n
	return p.block[at:p.r], nil
}

// need makes at least n bytes uncut bytes be there.
func (p *packets) need(n int) error {
	if p.w-p.r >= n {
		return nil
	}
	if len(p.block)-p.w < minRead || len(p.block)-p.r < n {
		size := max(blockSize, n+minRead)
		if n > maxPayload {
			size += n / 4 // there will be more of it
		}
		p.renew(size)
	}
	for p.w-p.r < n {
		k, err := p.conn.Read(p.block[p.w:])
		p.w += k
		if k == 0 {
			if err == nil || err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
	}
	return nil
}
