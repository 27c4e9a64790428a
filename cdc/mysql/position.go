package mysql

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/towline/towline/cdc/gtid"
	"github.com/towline/towline/connect"
	"github.com/towline/towline/offsets"
)

// mode is the scheme of a position.
type mode byte

const (
	byGTID mode = 1
	byFile mode = 2
	// byDomain is MariaDB's: the last GTID of each domain.
	byDomain mode = 3
)

// gtids reports whether the server finds the position by GTIDs.
func (m mode) gtids() bool { return m != byFile }

// example is a place of that mode in the server's syntax.
func (m mode) example() string {
	if m == byDomain {
		return "0-1-100"
	}
	return "uuid:1-100"
}

// position is what a Position holds.
type position struct {
	mode   mode
	server gtid.UUID
	seq    uint64 // epoch and count of the last change
	// ordinal counts transactions and statements: the time of the history.
	ordinal uint64
	file    string
	pos     uint64 // in file, of the end of the last transaction
	gtids   *gtid.Set
	domains *gtid.Domains // not nil in the mode byDomain alone, where gtids is empty
}

const (
	positionFormat = 1
	seqOffset      = 18
	fixedSize      = 42
)

// append appends the binary form of p:
//
//	format(1) mode(1) server(16) seq(8) ordinal(8) pos(8) #file file gtids
//
// Fixed numbers are little-endian. In the mode byDomain gtids are domains.
func (p *position) append(dst []byte) []byte {
	dst = append(dst, positionFormat, byte(p.mode))
	dst = append(dst, p.server[:]...)
	dst = binary.LittleEndian.AppendUint64(dst, p.seq)
	dst = binary.LittleEndian.AppendUint64(dst, p.ordinal)
	dst = binary.LittleEndian.AppendUint64(dst, p.pos)
	dst = binary.AppendUvarint(dst, uint64(len(p.file)))
	dst = append(dst, p.file...)
	if p.mode == byDomain {
		return p.domains.AppendBinary(dst)
	}
	return p.gtids.AppendBinary(dst)
}

// putSeq sets the seq of a position that append wrote.
func putSeq(b offsets.Position, seq uint64) { binary.LittleEndian.PutUint64(b[seqOffset:], seq) }

var errPosition = errors.New("not a position of a MySQL source")

func parsePosition(b offsets.Position) (position, error) {
	var p position
	if len(b) < fixedSize || b[0] != positionFormat || b[1] < byte(byGTID) || b[1] > byte(byDomain) {
		return p, errPosition
	}
	p.mode = mode(b[1])
	copy(p.server[:], b[2:])
	p.seq = binary.LittleEndian.Uint64(b[seqOffset:])
	p.ordinal = binary.LittleEndian.Uint64(b[26:])
	p.pos = binary.LittleEndian.Uint64(b[34:])
	n, k := binary.Uvarint(b[fixedSize:])
	if k <= 0 || n > uint64(len(b)-fixedSize-k) {
		return p, errPosition
	}
	rest := b[fixedSize+k:]
	p.file, rest = string(rest[:n]), rest[n:]
	var err error
	if p.mode == byDomain {
		p.gtids = new(gtid.Set)
		p.domains, rest, err = gtid.ParseDomainsBinary(rest)
	} else {
		p.gtids, rest, err = gtid.ParseBinary(rest)
	}
	if err != nil || len(rest) > 0 {
		return p, errPosition
	}
	return p, nil
}

func (p *position) String() string {
	var b strings.Builder
	if p.mode.gtids() {
		fmt.Fprintf(&b, "GTIDs %s", p.done())
		if p.file != "" {
			fmt.Fprintf(&b, " (%s:%d)", p.file, p.pos)
		}
	} else {
		fmt.Fprintf(&b, "%s:%d", p.file, p.pos)
	}
	fmt.Fprintf(&b, " of server %s, change %d", gtid.FormatUUID(p.server), p.seq&(1<<connect.SeqEpochShift-1))
	if epoch := p.seq >> connect.SeqEpochShift; epoch > 0 {
		fmt.Fprintf(&b, " of epoch %d", epoch)
	}
	return b.String()
}

// done returns the GTIDs of all transactions up to p, or the last ones, in the
// server's syntax.
func (p *position) done() string {
	if p.mode == byDomain {
		return p.domains.String()
	}
	return p.gtids.String()
}

// parseDone sets the GTIDs of p to those of a text as done returns it.
func (p *position) parseDone(text string) (err error) {
	if p.mode == byDomain {
		p.domains, err = gtid.ParseDomains(text)
	} else {
		p.gtids, err = gtid.Parse(text)
	}
	return err
}

// covers reports whether p is at or beyond head.
func (p *position) covers(head *position) bool {
	if p.mode != head.mode {
		return false
	}
	switch p.mode {
	case byGTID:
		return head.gtids.SubsetOf(p.gtids)
	case byDomain:
		return head.domains.Within(p.domains)
	}
	return p.server == head.server && !before(p.file, p.pos, head.file, head.pos)
}

// before reports whether place a lies before place b of one server's log.
// Files go by the number at their name's end, since 999999 is followed by
// 1000000.
func before(aFile string, aPos uint64, bFile string, bPos uint64) bool {
	if aFile == bFile {
		return aPos < bPos
	}
	if aFile == "" || bFile == "" {
		return aFile == ""
	}
	return fileNumber(aFile) < fileNumber(bFile)
}

func fileNumber(name string) uint64 {
	n, _ := strconv.ParseUint(name[strings.LastIndexByte(name, '.')+1:], 10, 64)
	return n
}

// Covers reports whether a saved position is at or beyond a Head.
func Covers(pos, head offsets.Position) bool {
	p, err := parsePosition(pos)
	if err != nil {
		return false
	}
	h, err := parsePosition(head)
	return err == nil && p.covers(&h)
}

// Describe returns a position in words.
func Describe(pos offsets.Position) string {
	p, err := parsePosition(pos)
	if err != nil {
		return fmt.Sprintf("%v (%x)", err, []byte(pos))
	}
	return p.String()
}

// Fields returns a position by the names that Debezium gives its parts.
func Fields(cfg connect.Config, pos offsets.Position) (in, at map[string]any) {
	in = map[string]any{"server": cfg.String("topic.prefix")}
	p, err := parsePosition(pos)
	if err != nil {
		return in, nil
	}
	at = map[string]any{"file": p.file, "pos": p.pos, "server_uuid": gtid.FormatUUID(p.server)}
	if p.mode.gtids() {
		at["gtids"] = p.done()
	}
	return in, at
}

// Anchor returns the GTIDs of all transactions up to a position of this
// source, in the server's syntax, and the UUID of the server that it is of.
// gtids is "" for a server without GTIDs, and for MariaDB, which has no
// statement that waits until a transaction is visible. It depends on pos alone and may be
// called beside Read.
func (*Source) Anchor(pos offsets.Position) (gtids, serverUUID string) {
	p, err := parsePosition(pos)
	if err != nil {
		return "", ""
	}
	if p.mode == byGTID {
		gtids = p.gtids.String()
	}
	return gtids, gtid.FormatUUID(p.server)
}

// Place returns the place in its server's log where a position is. It depends on
// pos alone and may be called beside Read.
func (*Source) Place(pos offsets.Position) (file string, filePos uint64) {
	p, err := parsePosition(pos)
	if err != nil {
		return "", 0
	}
	return p.file, p.pos
}

// SeqAt returns the Seq of the last change up to a position of this source. It
// depends on pos alone and may be called beside Read.
func (*Source) SeqAt(pos offsets.Position) uint64 {
	p, err := parsePosition(pos)
	if err != nil {
		return 0
	}
	return p.seq
}

// nextEpoch returns seq in the epoch after its own.
func nextEpoch(seq uint64) uint64 { return seq + 1<<connect.SeqEpochShift }

// Reached reports whether a position is at or beyond a place in the log of
// its server. What lies behind a rotation counts. It depends on its arguments
// alone and may be called beside Read.
func (*Source) Reached(pos offsets.Position, file string, filePos uint64) bool {
	p, err := parsePosition(pos)
	return err == nil && !before(p.file, p.pos, file, filePos)
}
