package mysql

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/towline/towline/cdc/gtid"
	"github.com/towline/towline/connect"
	"github.com/towline/towline/offsets"
)

// A source whose operator wants it to be elsewhere needs the shapes of its tables
// as of there, and all that it knows is as of where it is. So the log between the
// two is read. Forward the State follows, as ever, and only the changes are
// dropped. Backward the State can stay only if nothing changes it on the way: read
// from there by the shapes of here, a statement that changed a table, or rows that
// do not fit, show as a change of State. Where it changes the place is refused.

// Seek returns the position at a place, by the names of Fields, and what of the
// State changes with it, for a source that is at from with state and is not open.
// Changes behind it are counted on from those that were delivered, so none is taken
// for one of them. A place that cannot be had is a permanent error. The Source is of
// no other use afterwards.
func (s *Source) Seek(ctx context.Context, from offsets.Position, state []offsets.Entry, to map[string]any) (offsets.Position, []offsets.Entry, error) {
	p, err := parsePosition(from)
	if err != nil {
		return nil, nil, connect.Permanent(fmt.Errorf("saved position %x: %w", []byte(from), err))
	}
	x, err := placeOf(&p, to)
	if err == nil {
		err = steady(state)
	}
	if err == nil {
		err = s.exists(ctx, &x)
	}
	if err != nil {
		return nil, nil, err
	}
	s.settings.action, s.settings.single = "", true // nothing is done at the server for a look at its log
	switch {
	case x.covers(&p) && p.covers(&x):
		return from, nil, nil
	case x.covers(&p):
		return s.forward(ctx, from, state, &x)
	case p.covers(&x):
		pos, err := s.backward(ctx, &p, from, state, x)
		return pos, nil, err
	}
	return nil, nil, connect.Permanent(fmt.Errorf("the GTIDs %s are neither all before those that the source is at, %s, nor all of them and more; add or take away so that one has the other", x.done(), p.done()))
}

// placeOf reads a place by the names of Fields, for a source that is at p.
func placeOf(p *position, to map[string]any) (position, error) {
	x := position{mode: p.mode, server: p.server, gtids: new(gtid.Set)}
	bad := func(format string, args ...any) (position, error) {
		return x, connect.Permanent(fmt.Errorf(format, args...))
	}
	for key := range to {
		if !slices.Contains([]string{"file", "pos", "gtids", "server_uuid"}, key) {
			return bad("%q is not part of a place; it has gtids or, where the server has none, file and pos", key)
		}
	}
	if id, ok := to["server_uuid"]; ok && !strings.EqualFold(fmt.Sprint(id), gtid.FormatUUID(p.server)) {
		return bad("the source reads server %s, and a place of server %v means nothing there", gtid.FormatUUID(p.server), id)
	}
	switch p.mode {
	case byDomain, byGTID:
		text, ok := to["gtids"].(string)
		if !ok {
			return bad(`the source counts by GTIDs, so a place of it is {"gtids": "%s"}`, p.mode.example())
		}
		if err := x.parseDone(text); err != nil {
			return bad("gtids: %v", err)
		}
		return x, nil
	}
	file, ok := to["file"].(string)
	num, ok2 := to["pos"].(json.Number)
	pos, err := num.Int64()
	if !ok || !ok2 || err != nil || pos < 4 || to["gtids"] != nil {
		return bad(`the server has no GTIDs, so a place of the source is {"file": "binlog.000001", "pos": 157}`)
	}
	x.file, x.pos = file, uint64(pos)
	return x, nil
}

// steady returns an error if a State has something that the log has to decide yet.
func steady(state []offsets.Entry) error {
	for _, e := range state {
		what := ""
		switch {
		case strings.HasPrefix(e.Key, keyPrepared):
			what = "an XA transaction is neither committed nor rolled back"
		case strings.HasPrefix(e.Key, keyTemporary):
			what = "a session has temporary tables that the log tells of"
		case strings.HasPrefix(e.Key, keyLost):
			what = "a table is to be read anew with its next change"
		case e.Key == keyPartial:
			what = "a transaction is delivered in part"
		default:
			continue
		}
		return connect.Permanent(fmt.Errorf("the source cannot be moved now, since %s where it is; let it run on for a while first", what))
	}
	return nil
}

// exists returns an error if a place is none of the server's log, or not between
// two transactions.
func (s *Source) exists(ctx context.Context, x *position) error {
	db, err := s.settings.openDB()
	if err != nil {
		return err
	}
	defer db.Close()
	switch x.mode {
	case byDomain:
		return s.existsMaria(ctx, db, x)
	case byGTID:
		executed, err := readSet(ctx, db, "gtid_executed")
		if err != nil {
			return s.settings.explain("ask for the transactions of", err)
		}
		if !x.gtids.SubsetOf(executed) {
			more := x.gtids.Clone()
			more.Subtract(executed)
			return connect.Permanent(fmt.Errorf("the server does not have the transactions %s", more))
		}
		return nil
	}
	if err := hasFile(ctx, db, x); err != nil {
		return connect.Permanent(fmt.Errorf("the server's log has no place %s:%d", x.file, x.pos))
	}
	row, err := firstRow(ctx, db, fmt.Sprintf("SHOW BINLOG EVENTS IN '%s' FROM %d LIMIT 1", x.file, x.pos))
	if err == nil && row == nil {
		return nil // the end of the log
	}
	if n, _ := code(err); err != nil && n == 0 {
		return s.settings.explain("look into the log of", err)
	}
	switch kind := row["Event_type"]; kind {
	case "Gtid", "Anonymous_Gtid", "Format_desc", "Rotate", "Stop":
		return nil
	default:
		return connect.Permanent(fmt.Errorf("%s:%d is no place between two transactions (SHOW BINLOG EVENTS says %q there)", x.file, x.pos, kind))
	}
}

// tellsShape reports whether an entry says what a change is read by.
func tellsShape(e offsets.Entry) bool {
	return slices.ContainsFunc([]string{keyShape, keyDatabase, keyStopped, keyLost, keyPrepared, keyTemporary}, func(prefix string) bool { return strings.HasPrefix(e.Key, prefix) })
}

// escapes are what a key has for letters of a name that it cannot have.
var escapes = regexp.MustCompile(`_x[0-9A-F]{4,6}_`)

// errReshaped says why a place cannot be had.
func errReshaped(e offsets.Entry) error {
	what, name, _ := strings.Cut(e.Key, "/")
	name = escapes.ReplaceAllStringFunc(strings.Replace(name, "/", ".", 1), func(x string) string {
		n, _ := strconv.ParseUint(x[2:len(x)-1], 16, 32) // that it is a number is known
		return string(rune(n))
	})
	if what == "shape" {
		what = "table"
	}
	return connect.Permanent(fmt.Errorf("between that place and where the source is a statement, or an XA transaction, changes what is known of the tables (%s %s); choose one that has none in between, or have single tables read again by a signal (towline snapshot start)", what, name))
}

// walk reads the log from a place on and gives look each batch, until it says that
// it has seen enough.
func (s *Source) walk(ctx context.Context, from offsets.Position, state []offsets.Entry, look func(b *connect.Batch) (enough bool, err error)) (err error) {
	if err := s.Open(ctx, from, state); err != nil {
		if errors.Is(err, connect.ErrPositionLost) {
			err = connect.Permanent(err)
		}
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	var b connect.Batch
	defer b.Reset()
	for enough := false; !enough && err == nil; {
		b.Reset()
		if err = s.Read(ctx, &b); err == nil {
			enough, err = look(&b)
		}
	}
	return err
}

// backward returns the position at x, which is before p; the State stays.
func (s *Source) backward(ctx context.Context, p *position, from offsets.Position, state []offsets.Entry, x position) (offsets.Position, error) {
	x.seq, x.ordinal = nextEpoch(p.seq), p.ordinal+1
	pos := x.append(nil)
	err := s.walk(ctx, pos, state, func(b *connect.Batch) (bool, error) {
		if i := slices.IndexFunc(b.State, tellsShape); i >= 0 {
			return true, errReshaped(b.State[i])
		}
		return b.Pos != nil && Covers(b.Pos, from), nil
	})
	return pos, err
}

// forward returns the position at x, which is behind where the source is, and what
// of the State changes on the way.
func (s *Source) forward(ctx context.Context, from offsets.Position, state []offsets.Entry, x *position) (offsets.Position, []offsets.Entry, error) {
	at := map[string]offsets.Position{}
	goal := x.append(nil)
	var pending []offsets.Entry // since the last position
	beyond := false
	err := s.walk(ctx, from, state, func(b *connect.Batch) (bool, error) {
		pending = append(pending, cloned(b.State)...)
		if b.Pos == nil {
			return false, nil
		}
		now, err := parsePosition(b.Pos)
		if err != nil {
			return false, err
		}
		// A set of GTIDs may have gaps. From the first of them on nothing may change
		// a table: it may come before x, or behind.
		beyond = beyond || !x.covers(&now)
		for _, e := range pending {
			if beyond && tellsShape(e) {
				return false, errReshaped(e)
			}
			at[e.Key] = e.Pos
		}
		pending = pending[:0]
		x.seq, x.ordinal, x.server = now.seq, now.ordinal, now.server
		return Covers(b.Pos, goal), nil
	})
	if err != nil {
		return nil, nil, err
	}
	x.ordinal++
	after := make([]offsets.Entry, 0, len(at))
	for key, pos := range at {
		after = append(after, offsets.Entry{Key: key, Pos: pos})
	}
	slices.SortFunc(after, func(a, b offsets.Entry) int { return strings.Compare(a.Key, b.Key) })
	return x.append(nil), after, nil
}

// cloned returns entries that are no batch's.
func cloned(list []offsets.Entry) []offsets.Entry {
	out := make([]offsets.Entry, len(list))
	for i, e := range list {
		out[i] = offsets.Entry{Key: strings.Clone(e.Key), Pos: slices.Clone(e.Pos)}
	}
	return out
}
