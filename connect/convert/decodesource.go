package convert

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strconv"

	"github.com/towline/towline/connect"
)

// source is what the block of that name tells.
type source struct {
	rec       *connect.Record
	db, table string
	origin    connect.Origin
}

func (d *decoder) source(dst *connect.Batch, src *source, raw []byte) error {
	s := scanner{b: raw}
	if s.peek() != '{' {
		return errors.New("it is not an object")
	}
	precise := false
	err := s.object(func(name []byte) error {
		v, err := s.raw()
		if err != nil || string(v) == "null" {
			return err
		}
		switch string(name) {
		case "ts_us":
			precise = true
			src.rec.Time, err = integer(v, 64)
		case "ts_ms":
			if !precise {
				src.rec.Time, err = integer(v, 54)
				src.rec.Time *= 1000
			}
		case "row":
			var n int64
			n, err = integer(v, 32)
			src.rec.Row = int32(n)
		default:
			err = d.origin(dst, src, name, v)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		return nil
	})
	if err == nil {
		src.setOrigin(dst)
	}
	return err
}

// setOrigin gives the record its origin, if the block tells of one.
func (src *source) setOrigin(dst *connect.Batch) {
	o := src.origin
	if o.ServerID != 0 || o.Thread != 0 || o.GNO != 0 || o.Pos != 0 || o.File != "" {
		src.rec.Origin = dst.NewOrigin()
		*src.rec.Origin = o
		src.rec.Origin.Time = src.rec.Time
	}
}

// origin takes one member of the block.
func (d *decoder) origin(dst *connect.Batch, src *source, name, v []byte) (err error) {
	o := &src.origin
	var n int64
	switch string(name) {
	case "db":
		src.db, err = d.string(dst, v)
	case "table":
		src.table, err = d.string(dst, v)
	case "file":
		o.File, err = d.string(dst, v)
	case "snapshot":
		o.Snapshot = string(v) != `"false"`
	case "server_id":
		n, err = integer(v, 64)
		if o.ServerID = uint32(n); int64(o.ServerID) != n && err == nil {
			err = fmt.Errorf("%d is not a server id", n)
		}
	case "thread":
		n, err = integer(v, 64)
		o.Thread = uint32(n)
	case "pos":
		n, err = integer(v, 64)
		o.Pos = uint64(n)
	case "query":
		var b []byte
		s := scanner{b: v}
		b, err = s.text(dst)
		o.Query = string(b)
	case "gtid":
		var b []byte
		s := scanner{b: v}
		if b, err = s.text(dst); err == nil {
			err = d.gtid(o, b)
		}
	}
	return err
}

// gtid reads uuid:gno, uuid:tag:gno or domain-server-gno.
func (d *decoder) gtid(o *connect.Origin, b []byte) error {
	if bytes.IndexByte(b, ':') < 0 {
		return domainGTID(o, b)
	}
	last := bytes.LastIndexByte(b, ':')
	if len(b) < 37 || b[36] != ':' || last < 0 {
		return fmt.Errorf("%q is not a GTID", b)
	}
	var digits [32]byte
	n := 0
	for _, c := range b[:36] {
		if c != '-' && n < len(digits) {
			digits[n] = c
			n++
		}
	}
	if _, err := hex.Decode(o.SID[:], digits[:n]); err != nil || n != len(digits) {
		return fmt.Errorf("%q is not a GTID", b)
	}
	if last > 36 {
		o.Tag = d.intern(b[37:last])
	}
	gno, err := integer(b[last+1:], 64)
	if err != nil || gno <= 0 {
		return fmt.Errorf("%q is not a GTID", b)
	}
	o.GNO = gno
	return nil
}

// domainGTID reads domain-server-gno.
func domainGTID(o *connect.Origin, b []byte) error {
	var n [3]int64
	parts := bytes.SplitN(b, []byte{'-'}, 3)
	for i, p := range parts {
		var err error
		if n[i], err = integer(p, 64); err != nil || n[i] < 0 || i < 2 && n[i] > math.MaxUint32 {
			return fmt.Errorf("%q is not a GTID", b)
		}
	}
	if len(parts) != 3 || n[2] == 0 {
		return fmt.Errorf("%q is not a GTID", b)
	}
	o.SID, o.Tag, o.GNO = connect.DomainSID(uint32(n[0]), uint32(n[1])), connect.DomainTag, n[2]
	return nil
}

// string reads a string whose memory may outlive the message.
func (d *decoder) string(dst *connect.Batch, v []byte) (string, error) {
	s := scanner{b: v}
	b, err := s.text(dst)
	if err != nil {
		return "", err
	}
	return d.intern(b), nil
}

func (d *decoder) intern(b []byte) string {
	if s, ok := d.strings[string(b)]; ok {
		return s
	}
	if len(d.strings) >= d.max {
		clear(d.strings)
	}
	s := string(b)
	d.strings[s] = s
	return s
}

// integer reads a number of at most so many bits.
func integer(b []byte, bits int) (int64, error) {
	n, err := strconv.ParseInt(text(b), 10, bits)
	if err != nil {
		return 0, fmt.Errorf("%q is not a whole number of %d bits", b, bits)
	}
	if bits == 54 && (n > math.MaxInt64/1000 || n < math.MinInt64/1000) {
		return 0, fmt.Errorf("%q is out of range", b)
	}
	return n, nil
}
