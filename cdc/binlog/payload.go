package binlog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
)

// Payload is a whole transaction, compressed, but for its GTID event.
type Payload struct {
	Compression  uint64 // see the constants
	Uncompressed uint64 // size of the events inside, as the header claims
	Data         []byte // aliases the event
}

// The kinds of compression of a Payload.
const (
	PayloadZstd uint64 = 0
	PayloadNone uint64 = 255
)

// ParsePayload reads the body of a TRANSACTION_PAYLOAD event. The events
// inside come from a PayloadReader.
func ParsePayload(body []byte) (Payload, error) {
	p := Payload{Compression: PayloadNone}
	c := cursor{b: body}
	size := uint64(0)
	for !c.bad {
		field := c.packed()
		if field == 0 {
			break
		}
		in := cursor{b: c.packedBytes()}
		switch field {
		case 1:
			size = in.packed()
		case 2:
			p.Compression = in.packed()
		case 3:
			p.Uncompressed = in.packed()
		}
		c.bad = c.bad || in.bad
	}
	p.Data = c.take(size)
	if c.bad || len(c.b) > 0 {
		return Payload{}, bodyError(TransactionPayload, body)
	}
	return p, nil
}

// innerSlab is how much memory inner events are carved from at a time.
const innerSlab = 256 << 10

// PayloadReader yields the events inside payloads, one by one. It holds at
// most the window of the compression (maxWindow), one event, and a slab. It
// can be used for one payload after the other.
type PayloadReader struct {
	zstd *zstd.Decoder
	data bytes.Reader
	src  io.Reader
	slab []byte
	head [HeaderSize]byte
	left uint64 // bytes that the header promised and that are not yet read
	// MaxEvent is the largest inner event that Next returns; NewPayloadReader
	// sets it to the 1 GiB that a packet can have.
	MaxEvent uint32
}

// NewPayloadReader returns a reader that refuses payloads whose compression
// needs a window of more than maxWindow bytes (the server's highest level
// takes 128 MiB, its default 2 MiB). Close frees it.
func NewPayloadReader(maxWindow uint64) (*PayloadReader, error) {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderMaxMemory(1<<63))
	if err != nil {
		return nil, fmt.Errorf("binlog: open payload reader: %w", err)
	}
	return &PayloadReader{zstd: d, MaxEvent: 1 << 30}, nil
}

// Reset begins to read p.
func (r *PayloadReader) Reset(p Payload) error {
	r.data.Reset(p.Data)
	r.left = p.Uncompressed
	switch p.Compression {
	case PayloadNone:
		r.src, r.left = &r.data, uint64(len(p.Data))
		return nil
	case PayloadZstd:
		if err := r.zstd.Reset(&r.data); err != nil {
			return fmt.Errorf("binlog: read transaction payload: %w", err)
		}
		r.src = r.zstd
		return nil
	}
	return fmt.Errorf("binlog: transaction payload is compressed by algorithm %d, only zstd (0) and none (255) are supported", p.Compression)
}

// Next returns the next event, which has no checksum (Format.Inner), or
// io.EOF after the last. Its memory is never used again by the reader, so that
// Values may alias it.
func (r *PayloadReader) Next() ([]byte, error) {
	if r.src == nil {
		return nil, io.EOF
	}
	switch _, err := io.ReadFull(r.src, r.head[:]); {
	case err == io.EOF && r.left == 0:
		return nil, io.EOF
	case err == io.EOF:
		return nil, fmt.Errorf("binlog: transaction payload ends %d bytes early", r.left)
	case err != nil:
		return nil, r.fault(err)
	}
	size := binary.LittleEndian.Uint32(r.head[9:])
	if size < HeaderSize || size > r.MaxEvent || uint64(size) > r.left {
		return nil, fmt.Errorf("binlog: transaction payload has an event of %d bytes where %d bytes are left", size, r.left)
	}
	r.left -= uint64(size)
	event := r.carve(int(size))
	copy(event, r.head[:])
	if _, err := io.ReadFull(r.src, event[HeaderSize:]); err != nil {
		return nil, r.fault(err)
	}
	return event, nil
}

func (r *PayloadReader) fault(err error) error {
	if errors.Is(err, zstd.ErrWindowSizeExceeded) || errors.Is(err, zstd.ErrDecoderSizeExceeded) {
		return fmt.Errorf("binlog: transaction payload needs more memory than allowed: lower "+
			"binlog_transaction_compression_level_zstd on the server or allow more: %w", err)
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("binlog: read transaction payload: %w", err)
}

func (r *PayloadReader) carve(n int) []byte {
	if n > innerSlab/4 {
		return make([]byte, n)
	}
	if n > len(r.slab) {
		r.slab = make([]byte, innerSlab)
	}
	p := r.slab[:n:n]
	r.slab = r.slab[n:]
	return p
}

// Close frees the reader.
func (r *PayloadReader) Close() {
	r.zstd.Close()
	r.src = nil
}
