package mysql

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/offsets"
	"github.com/towline/towline/schema"
)

// What records show depends on options, which may be changed between two runs.
// Rows that were read before then lack columns, or are masked otherwise, and
// no change will ever tell. So the State has the options that are in force,
// and tables that show more or something else now are read anew.

const keyShown = "shown"

// shownOptions are those that are saved: their values, and last the masks.
var shownOptions = [...]string{optColumnInclude, optColumnExclude, optKeys}

// shownEntry returns the State of the options in cfg.
func shownEntry(cfg connect.Config, f *filter) offsets.Entry {
	var list []string
	for _, o := range shownOptions {
		list = append(list, cfg.String(o))
	}
	var masks []string
	for i := range f.masks {
		masks = append(masks, f.masks[i].fingerprint()+" "+f.masks[i].text)
	}
	return offsets.Entry{Key: keyShown, Pos: appendStrings(nil, append(list, strings.Join(masks, "\n"))...)}
}

// fingerprint tells rules apart, without the salt.
func (r *maskRule) fingerprint() string {
	sum := sha256.Sum256(append([]byte(r.option+"\x00"), r.salt...))
	return r.option + ":" + hex.EncodeToString(sum[:4])
}

// parseShown returns the filter of saved options, whose masks are known by
// their fingerprints. Without an entry it is one that shows all.
func parseShown(p offsets.Position) (*filter, error) {
	if p == nil {
		return &filter{}, nil
	}
	list, err := parseStrings(p, len(shownOptions)+1)
	if err != nil {
		return nil, err
	}
	values := map[string]string{}
	for i, o := range shownOptions {
		values[o] = list[i]
	}
	f, err := newFilter(connect.NewConfig("saved", Options(), values))
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(list[len(shownOptions)]) {
		print, patterns, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		if !ok {
			return nil, fmt.Errorf("%q is not a mask", line)
		}
		r := maskRule{option: print}
		if r.columns, err = anchored(connect.SplitList(patterns)); err != nil {
			return nil, err
		}
		f.masks = append(f.masks, r)
	}
	return f, nil
}

// shows returns the columns of t that records show, each with the mask that it
// has. print names a mask.
func (f *filter) shows(t *schema.Table, print func(*maskRule) string) map[string]string {
	columns := map[string]string{}
	keep, err := f.columns(t)
	if err != nil {
		return columns // nothing was shown of it
	}
	for _, i := range keep {
		name, mask := t.Columns[i].Name, ""
		for j := range f.masks {
			if matches(f.masks[j].columns, t.String()+"."+name) {
				mask = print(&f.masks[j])
			}
		}
		columns[name] = mask
	}
	return columns
}

// widened returns the captured tables that show more than, or something else
// than, they did by the saved options.
func (s *shapes) widened(saved *filter) (list []*schema.Table) {
	saved.whole = s.filter.whole
	for _, n := range s.names(func(n tableName) bool { return s.filter.table(n.db, n.table) && !s.stopped(n) }) {
		t, shown := s.table(n), s.shown(n)
		if t == nil || shown == nil {
			continue
		}
		before := saved.shows(t, func(r *maskRule) string { return r.option })
		for column, mask := range s.filter.shows(t, (*maskRule).fingerprint) {
			if was, ok := before[column]; !ok || was != mask {
				list = append(list, shown)
				break
			}
		}
	}
	return list
}

// reread marks tables to be read anew, at the very start.
func (q *sequencer) reread(tables []*schema.Table) {
	for _, t := range tables {
		if q.s.noReread {
			q.s.log.Warn("mysql: options show more of a table than before, and snapshot.mode=no_data reads no rows again: those of before stay as they are", "table", t.String())
			continue
		}
		q.cur.tasks = append(q.cur.tasks, task{op: connect.OpSchema, flags: connect.Reread, table: t, topic: q.s.topics.of(t.Database, t.Name),
			at: place{file: q.file, pos: q.offset}, last: true})
	}
	q.cur.end = len(q.cur.tasks)
}
