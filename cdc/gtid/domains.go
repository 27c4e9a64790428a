package gtid

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/towline/towline/schema/wire"
)

// Last is the last transaction of one domain of MariaDB: its number, and the
// server that made it.
type Last struct {
	Domain, Server uint32
	GNO            uint64
}

// Domains is a place in the log as MariaDB counts it: the last transaction of
// each domain. Within a domain transactions have one order, and the server that
// gives them numbers that rise. The zero Domains is the place before all.
type Domains struct {
	list []Last // sorted by domain
}

// Set notes the last transaction of a domain.
func (d *Domains) Set(l Last) {
	i, ok := d.find(l.Domain)
	if !ok {
		d.list = slices.Insert(d.list, i, l)
	}
	d.list[i] = l
}

func (d *Domains) find(domain uint32) (int, bool) {
	if len(d.list) == 1 && d.list[0].Domain == domain { // by far the most
		return 0, true
	}
	return slices.BinarySearchFunc(d.list, domain, func(l Last, domain uint32) int { return cmp.Compare(l.Domain, domain) })
}

// All returns the last transactions, by domain. The caller must not change them.
func (d *Domains) All() []Last { return d.list }

// Clone returns a Domains of its own memory with the same content.
func (d *Domains) Clone() *Domains { return &Domains{slices.Clone(d.list)} }

// Empty reports whether d is the place before all.
func (d *Domains) Empty() bool { return len(d.list) == 0 }

// Missing returns what of d lies beyond o: the domains whose last transaction
// has a higher number than in o, or that o has not.
func (d *Domains) Missing(o *Domains) *Domains {
	var out Domains
	for _, l := range d.list {
		if i, ok := o.find(l.Domain); !ok || o.list[i].GNO < l.GNO {
			out.list = append(out.list, l)
		}
	}
	return &out
}

// Within reports whether o is at or beyond d in every domain of d.
func (d *Domains) Within(o *Domains) bool { return d.Missing(o).Empty() }

// String returns d in the server's syntax, domain-server-number and commas.
func (d *Domains) String() string {
	var b []byte
	for i, l := range d.list {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(strconv.AppendUint(b, uint64(l.Domain), 10), '-')
		b = append(strconv.AppendUint(b, uint64(l.Server), 10), '-')
		b = strconv.AppendUint(b, l.GNO, 10)
	}
	return string(b)
}

// ParseDomains reads the server's syntax.
func ParseDomains(text string) (*Domains, error) {
	list, err := ParseLasts(text)
	if err != nil {
		return nil, err
	}
	d := new(Domains)
	for _, l := range list {
		d.Set(l)
	}
	return d, nil
}

// ParseLasts reads transactions in the server's syntax, of which several may be
// of one domain.
func ParseLasts(text string) (list []Last, err error) {
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		fields := strings.Split(part, "-")
		var n [3]uint64
		for i, f := range fields {
			if i > 2 {
				return nil, fmt.Errorf("gtid: %q is not domain-server-number", part)
			}
			if n[i], err = strconv.ParseUint(f, 10, [3]int{32, 32, 64}[i]); err != nil {
				return nil, fmt.Errorf("gtid: %q is not domain-server-number", part)
			}
		}
		if len(fields) != 3 {
			return nil, fmt.Errorf("gtid: %q is not domain-server-number", part)
		}
		list = append(list, Last{uint32(n[0]), uint32(n[1]), n[2]})
	}
	return list, nil
}

// AppendBinary appends the compact form of d, which delimits itself:
//
//	#domains { domain server number }...
//
// All numbers are unsigned varints.
func (d *Domains) AppendBinary(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(d.list)))
	for _, l := range d.list {
		dst = binary.AppendUvarint(dst, uint64(l.Domain))
		dst = binary.AppendUvarint(dst, uint64(l.Server))
		dst = binary.AppendUvarint(dst, l.GNO)
	}
	return dst
}

// ParseDomainsBinary reads what AppendBinary wrote and returns the rest of src.
func ParseDomainsBinary(src []byte) (*Domains, []byte, error) {
	r := wire.NewReader(src)
	d := &Domains{list: make([]Last, 0, r.Count(3))}
	for range cap(d.list) {
		domain, server, gno := r.Uvarint(), r.Uvarint(), r.Uvarint()
		n := len(d.list)
		if !r.OK() || domain > math.MaxUint32 || server > math.MaxUint32 || n > 0 && uint64(d.list[n-1].Domain) >= domain {
			return nil, nil, errBinary
		}
		d.list = append(d.list, Last{uint32(domain), uint32(server), gno})
	}
	if !r.OK() {
		return nil, nil, errBinary
	}
	return d, r.Rest(), nil
}
