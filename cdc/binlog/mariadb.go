package binlog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"sync"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/zlib"

	"github.com/towline/towline/cdc/gtid"
	"github.com/towline/towline/connect"
)

// MariaGTID is what MariaDB's GTID event says of its transaction beside the
// GTID itself. That event also stands for BEGIN and XA START.
type MariaGTID struct {
	Domain uint32
	// Standalone: one statement follows, and no COMMIT.
	Standalone bool
	DDL        bool
	Prepared   bool // an XA transaction up to its XA_PREPARE event
	Completed  bool // XA COMMIT or XA ROLLBACK of one that was prepared
	// Of an ALTER that is logged in two steps (binlog_alter_two_phase): the
	// statement is only begun, or was given up.
	StartAlter, RollbackAlter bool
}

// Bits of the flags in MariaDB's GTID event.
const (
	flagStandalone     = 1
	flagGroupCommit    = 2
	flagDDL            = 32
	flagPreparedXA     = 64
	flagCompletedXA    = 128
	extraMultiEngine   = 1
	extraStartAlter    = 2
	extraCommitAlter   = 4
	extraRollbackAlter = 8
)

// ParseMariaGTID reads the body of MariaDB's GTID event. The result has memory
// of its own.
func ParseMariaGTID(h Header, body []byte) (GTID, error) {
	c := cursor{b: body}
	gno := c.u64()
	g := GTID{Tag: connect.DomainTag, GNO: int64(gno)}
	g.Maria.Domain = c.u32()
	flags := c.u8()
	g.SID = connect.DomainSID(g.Maria.Domain, h.ServerID)
	g.Maria.Standalone = flags&flagStandalone != 0
	g.Maria.DDL = flags&flagDDL != 0
	g.Maria.Prepared, g.Maria.Completed = flags&flagPreparedXA != 0, flags&flagCompletedXA != 0
	if flags&flagGroupCommit != 0 {
		c.u64()
	}
	if flags&(flagPreparedXA|flagCompletedXA) != 0 {
		c.u32()
		c.take(uint64(c.u8()) + uint64(c.u8()))
	}
	if len(c.b) > 0 { // zeros where there is none, up to the size that old servers had
		extra := c.u8()
		g.Maria.StartAlter, g.Maria.RollbackAlter = extra&extraStartAlter != 0, extra&extraRollbackAlter != 0
	}
	if c.bad || gno == 0 || gno > math.MaxInt64 {
		return GTID{}, bodyError(MariaGTIDEvent, body)
	}
	return g, nil
}

// Last returns the GTID as gtid.Domains has it.
func (g *GTID) Last() gtid.Last {
	return gtid.Last{Domain: binary.BigEndian.Uint32(g.SID[:]), Server: binary.BigEndian.Uint32(g.SID[4:]), GNO: uint64(g.GNO)}
}

// ParseMariaGTIDList reads the body of a GTID_LIST event: the last transactions
// before the log file that it stands in, of each domain and server; those of a
// domain end with its last.
func ParseMariaGTIDList(body []byte) ([]gtid.Last, error) {
	c := cursor{b: body}
	n := c.u32() & (1<<28 - 1) // flags above
	if uint64(n)*16 > uint64(len(c.b)) {
		return nil, bodyError(MariaGTIDListEvent, body)
	}
	list := make([]gtid.Last, n)
	for i := range list {
		list[i] = gtid.Last{Domain: c.u32(), Server: c.u32(), GNO: c.u64()}
	}
	return list, nil
}

func parseQueryCompressed(body []byte) (Query, error) {
	q, err := ParseQuery(body)
	if err != nil {
		return q, err
	}
	n, err := unpackedSize(q.Text)
	if err == nil {
		text := make([]byte, n)
		err = unpack(text, q.Text)
		q.Text = text
	}
	if err != nil {
		return Query{}, fmt.Errorf("binlog: %s event: %w", QueryCompressedEvent, err)
	}
	return q, nil
}

var errPacked = errors.New("its compressed part is damaged")

// maxRatio is more than zlib ever gains.
const maxRatio = 1100

// unpackedSize returns the size that the header of a compressed part claims: a
// bit that is always set, three of the algorithm, three of how many bytes of
// size follow, highest first.
func unpackedSize(b []byte) (int, error) {
	if len(b) == 0 || b[0]&0x80 == 0 {
		return 0, errPacked
	}
	if a := b[0] >> 4 & 7; a != 0 {
		return 0, fmt.Errorf("it is compressed by algorithm %d, only zlib (0) is supported", a)
	}
	k := int(b[0] & 7)
	if k < 1 || k > 4 || len(b) < 1+k {
		return 0, errPacked
	}
	n := 0
	for _, x := range b[1 : 1+k] {
		n = n<<8 | int(x)
	}
	if n > maxRatio*len(b) {
		return 0, errPacked
	}
	return n, nil
}

// unpack fills dst with what b, header and zlib data, holds.
func unpack(dst, b []byte) error { return inflate(dst, b[1+b[0]&7:], false) }

// unpackImages returns the images of an event, in memory that lives as long as
// the batch.
func unpackImages(b *connect.Batch, ev *RowsEvent) ([]byte, error) {
	var dst []byte
	if ev.unpacked > maxScratch {
		dst = make([]byte, ev.unpacked)
	} else {
		dst = b.Alloc(ev.unpacked)
	}
	return dst, unpack(dst, ev.images)
}

// inflater is a zlib or deflate reader with its source.
type inflater struct {
	src bytes.Reader
	out io.ReadCloser
	end [1]byte
}

var zlibs, deflates = sync.Pool{New: func() any { return new(inflater) }}, sync.Pool{New: func() any { return new(inflater) }}

// inflate fills dst with what src holds, to its last byte.
func inflate(dst, src []byte, raw bool) error {
	pool := &zlibs
	if raw {
		pool = &deflates
	}
	z := pool.Get().(*inflater)
	defer pool.Put(z)
	z.src.Reset(src)
	defer z.src.Reset(nil)
	if err := z.reset(raw); err != nil {
		return fmt.Errorf("%w: %w", errPacked, err)
	}
	if _, err := io.ReadFull(z.out, dst); err != nil {
		return fmt.Errorf("%w: %w", errPacked, err)
	}
	if n, err := z.out.Read(z.end[:]); n != 0 || err != io.EOF {
		return errPacked
	}
	return nil
}

func (z *inflater) reset(raw bool) (err error) {
	switch {
	case z.out == nil && raw:
		z.out = flate.NewReader(&z.src)
	case z.out == nil:
		if z.out, err = zlib.NewReader(&z.src); err != nil {
			z.out = nil
		}
	case raw:
		err = z.out.(flate.Resetter).Reset(&z.src, nil)
	default:
		err = z.out.(zlib.Resetter).Reset(&z.src, nil)
	}
	return err
}

// Compressed columns (the COLUMN attribute COMPRESSED) are in the log as they
// are stored: a byte of method, wrapping and size of the length, the length, the
// data. Method 0 is not compressed.
func unpackValue(d *decoder, b []byte) ([]byte, error) {
	if len(b) == 0 {
		return nil, nil
	}
	head := b[0]
	switch method := head >> 4; method {
	case 0:
		return b[1:], nil
	case 8:
	default:
		return nil, fmt.Errorf("a compressed column has method %d, only zlib (8) is supported", method)
	}
	k := int(head & 7)
	if k > 4 || len(b) < 1+k {
		return nil, errPacked
	}
	var size [8]byte
	copy(size[8-k:], b[1:1+k])
	n := binary.BigEndian.Uint64(size[:])
	if n > uint64(maxRatio*len(b)) {
		return nil, errPacked
	}
	var dst []byte
	if n > maxScratch {
		dst = make([]byte, n)
	} else {
		dst = d.batch.Alloc(int(n))
	}
	d.rendered += len(dst)
	return dst, inflate(dst, b[1+k:], head&8 != 0)
}
