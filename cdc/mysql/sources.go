package mysql

import (
	"regexp"

	"github.com/towline/towline/cdc/gtid"
	"github.com/towline/towline/connect"
)

// sources say which servers' transactions count, by the UUIDs of their GTIDs.
// What others made need not be there when a source goes on, and its changes of
// rows are not told; what it did to the shapes of tables is. It belongs to one
// goroutine.
type sources struct {
	include, exclude []*regexp.Regexp
	rows             bool // also of the changes that are told
	known            map[gtid.UUID]bool
}

func newSources(cfg connect.Config) (s sources, err error) {
	if s.include, err = anchored(cfg.List(optSourceInclude)); err != nil {
		return s, err
	}
	s.exclude, err = anchored(cfg.List(optSourceExclude))
	s.rows, s.known = cfg.Bool(optSourceRows) && s.some(), map[gtid.UUID]bool{}
	return s, err
}

// some reports whether anything is left out.
func (s *sources) some() bool { return len(s.include)+len(s.exclude) > 0 }

// want reports whether transactions of a server count.
func (s *sources) want(u gtid.UUID) bool {
	if !s.some() {
		return true
	}
	want, ok := s.known[u]
	if !ok {
		text := gtid.FormatUUID(u)
		want = (len(s.include) == 0 || matches(s.include, text)) && !matches(s.exclude, text)
		s.known[u] = want
	}
	return want
}

// part returns what of a set counts, and the rest.
func (s *sources) part(set *gtid.Set) (counts, rest *gtid.Set) {
	counts, rest = new(gtid.Set), new(gtid.Set)
	for of, iv := range set.All() {
		if s.want(of.UUID) {
			counts.AddInterval(of.UUID, of.Tag, iv)
		} else {
			rest.AddInterval(of.UUID, of.Tag, iv)
		}
	}
	return counts, rest
}

// leavesOut reports whether a record is a change that is not told.
func (s *sources) leavesOut(r *connect.Record) bool {
	return s.rows && r.Op.HasRow() && r.Op != connect.OpRead && r.Origin != nil && r.Origin.GNO != 0 && !s.want(r.Origin.SID)
}
