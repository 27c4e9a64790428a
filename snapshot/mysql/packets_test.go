package mysql

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"testing"
	"testing/iotest"

	"github.com/towline/towline/connect"
)

// fakeConn is a connection whose other side has said all it will say.
type fakeConn struct {
	net.Conn
	io.Reader
}

func (c fakeConn) Read(p []byte) (int, error) { return c.Reader.Read(p) }

// frames returns payloads as the server sends them.
func frames(payloads ...[]byte) []byte {
	var wire []byte
	seq := byte(1)
	for _, p := range payloads {
		for {
			n := min(len(p), maxPayload)
			wire = append(binary.LittleEndian.AppendUint32(wire, uint32(n)|uint32(seq)<<24), p[:n]...)
			p = p[n:]
			seq++
			if n < maxPayload {
				break
			}
		}
	}
	return wire
}

func cutter(r io.Reader) *packets {
	return &packets{conn: fakeConn{Reader: r}, block: make([]byte, firstBlock), seq: 1}
}

func TestPackets(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	sizes := []int{0, 1, 3, minRead - 4, minRead, blockSize - 4, blockSize - 3, blockSize, 3 * blockSize, maxPayload - 1, maxPayload, maxPayload + 1, 2 * maxPayload, 2*maxPayload + 77, 5}
	for range 2000 {
		sizes = append(sizes, rng.IntN(700))
	}
	var payloads [][]byte
	for _, n := range sizes {
		p := make([]byte, n)
		for i := range p {
			p[i] = byte(rng.Uint32())
		}
		payloads = append(payloads, p)
	}
	p := cutter(iotest.HalfReader(bytes.NewReader(frames(payloads...))))
	var batches [3]connect.Batch
	var got [][]byte
	for i := range payloads {
		p.into(&batches[i%5/2]) // memory changes in between, as it does at the end of a part
		b, err := p.next()
		if err != nil {
			t.Fatalf("packet %d of %d bytes: %v", i, len(payloads[i]), err)
		}
		got = append(got, b)
	}
	for i := range payloads { // all at the end: none may have been overwritten
		if !bytes.Equal(got[i], payloads[i]) {
			t.Fatalf("packet %d of %d bytes came with %d, or others", i, len(payloads[i]), len(got[i]))
		}
	}
	if _, err := p.next(); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatalf("the end: %v", err)
	}
}

func TestPacketsOutOfOrder(t *testing.T) {
	wire := frames([]byte("one"), []byte("two"))
	wire[7+3]++
	p := cutter(bytes.NewReader(wire))
	if b, err := p.next(); err != nil || string(b) != "one" {
		t.Fatal(string(b), err)
	}
	if !p.ready() {
		t.Fatal("a packet is at hand")
	}
	if _, err := p.next(); !errors.Is(err, errSequence) {
		t.Fatal(err)
	}
}

// A cut answer is an error wherever it ends.
func TestPacketsCutOff(t *testing.T) {
	wire := frames([]byte("first"), []byte("second"))
	for n := range wire {
		p := cutter(bytes.NewReader(wire[:n]))
		var err error
		for err == nil {
			_, err = p.next()
		}
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("%d bytes: %v", n, err)
		}
	}
}

// Reading into batches that were used before allocates nothing.
func TestPacketsDoNotAllocate(t *testing.T) {
	payload := bytes.Repeat([]byte("x"), 230)
	wire := frames(slicesRepeat(payload, 5000)...)
	r := bytes.NewReader(wire)
	p := cutter(r)
	own := p.block
	var b connect.Batch
	read := func() {
		b.Reset()
		r.Reset(wire)
		*p = packets{conn: p.conn, block: own, seq: 1}
		p.into(&b)
		for range 5000 {
			if _, err := p.next(); err != nil {
				t.Fatal(err)
			}
		}
	}
	read()
	if n := testing.AllocsPerRun(10, read); n != 0 {
		t.Fatalf("5000 packets allocate %v times", n)
	}
}

func slicesRepeat(p []byte, n int) [][]byte {
	list := make([][]byte, n)
	for i := range list {
		list[i] = p
	}
	return list
}
