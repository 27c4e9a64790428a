package mysql

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/towline/towline/cdc/gtid"
	"github.com/towline/towline/offsets"
)

// A server that takes over may lack transactions whose changes are delivered.
// Which tables they changed is told by what is kept here: of each captured
// table the last transaction that changed it, one for each server and tag that
// GTIDs are made under. Numbers rise, so a table whose last one is below all
// that are lost was changed by none of them. That names a table too many where
// numbers that are lost have others above them, which costs a copy, never one
// too few.

const (
	keyTouched = "touched/"
	keyTracked = "tracked" // transactions of which it is not known what they changed
	keyPartial = "partial" // an open transaction of which a part is delivered
)

// touches are the tables and what changed them last.
type touches struct {
	byTable map[tableName]*touched
	dirty   []*touched // not yet in the State
	since   *gtid.Set  // of keyTracked; nil: not known
	partial *partial
}

// touched is what changed one table last.
type touched struct {
	name  tableName
	key   string
	last  []origin
	dirty bool
}

type origin struct {
	sid gtid.UUID
	tag string
	gno int64
}

// partial is a transaction that was delivered in part.
type partial struct {
	id     gtid.Set
	tables []tableName
}

// track returns the State that says from where on it is known what changed,
// nil if it is there.
func (t *touches) track(pos *position) []offsets.Entry {
	if t.since != nil || !pos.mode.gtids() {
		return nil
	}
	t.since = pos.passed()
	return []offsets.Entry{{Key: keyTracked, Pos: t.since.AppendBinary(nil)}}
}

// note takes note of a transaction that changed a table.
func (t *touches) note(n tableName, by origin) {
	if by.gno == 0 {
		return
	}
	x := t.byTable[n]
	if x == nil {
		x = &touched{name: n, key: keyOf(keyTouched, n)}
		t.byTable[n] = x
	}
	if !x.dirty {
		x.dirty = true
		t.dirty = append(t.dirty, x)
	}
	for i := range x.last {
		if o := &x.last[i]; o.sid == by.sid && o.tag == by.tag {
			o.gno = max(o.gno, by.gno)
			return
		}
	}
	x.last = append(x.last, by)
}

// save appends the entries of what is not yet saved.
func (t *touches) save(list []offsets.Entry) []offsets.Entry {
	for _, x := range t.dirty {
		x.dirty = false
		set := new(gtid.Set)
		for _, o := range x.last {
			set.Add(o.sid, o.tag, o.gno)
		}
		list = append(list, offsets.Entry{Key: x.key, Pos: appendStrings(nil, x.name.db, x.name.table, string(set.AppendBinary(nil)))})
	}
	clear(t.dirty)
	t.dirty = t.dirty[:0]
	return list
}

// load reads one entry of what was saved.
func (t *touches) load(e offsets.Entry) error {
	switch {
	case e.Key == keyTracked:
		set, err := parseSet(e.Pos)
		t.since = set
		return err
	case e.Key == keyPartial:
		return t.loadPartial(e.Pos)
	}
	l, err := parseStrings(e.Pos, 3)
	if err != nil {
		return err
	}
	set, err := parseSet([]byte(l[2]))
	if err != nil {
		return err
	}
	x := &touched{name: tableName{l[0], l[1]}, key: e.Key}
	for of, iv := range set.All() {
		x.last = append(x.last, origin{of.UUID, of.Tag, iv.Last})
	}
	t.byTable[x.name] = x
	return nil
}

func parseSet(b []byte) (*gtid.Set, error) {
	set, rest, err := gtid.ParseBinary(b)
	if err == nil && len(rest) > 0 {
		err = errors.New("it does not end where its set of GTIDs does")
	}
	return set, err
}

// changedBy returns the tables that transactions of lost may have changed. all
// means that it may be any.
func (t *touches) changedBy(lost *gtid.Set) (list []tableName, all bool) {
	known := lost.Clone()
	if t.since != nil {
		known.Subtract(t.since)
	}
	if t.since == nil || known.Len() != lost.Len() {
		return nil, true
	}
	for n, x := range t.byTable {
		for _, o := range x.last {
			if first, ok := lost.First(o.sid, o.tag); ok && first <= o.gno {
				list = append(list, n)
				break
			}
		}
	}
	slices.SortFunc(list, func(a, b tableName) int { return strings.Compare(a.String(), b.String()) })
	return list, false
}

// partialEntry is the State of a transaction of which a part goes out: on
// another server its changes may come later, or never.
func (x *transaction) partialEntry() offsets.Entry {
	set := new(gtid.Set)
	set.Add(x.gtid.SID, x.gtid.Tag, x.gtid.GNO)
	names := []string{string(set.AppendBinary(nil)), fmt.Sprint(len(x.hit))}
	for _, t := range x.hit {
		names = append(names, t.name.db, t.name.table)
	}
	return offsets.Entry{Key: keyPartial, Pos: appendStrings(nil, names...)}
}

func (t *touches) loadPartial(b []byte) error {
	head, err := parseStrings(b, 2)
	if err != nil {
		return err
	}
	set, err := parseSet([]byte(head[0]))
	if err != nil {
		return err
	}
	var n int
	if _, err := fmt.Sscan(head[1], &n); err != nil || n < 0 || n > len(b) {
		return fmt.Errorf("%q is not a number of tables", head[1])
	}
	l, err := parseStrings(b, 2+2*n)
	if err != nil {
		return err
	}
	t.partial = &partial{id: *set}
	for i := 2; i < len(l); i += 2 {
		t.partial.tables = append(t.partial.tables, tableName{l[i], l[i+1]})
	}
	return nil
}
