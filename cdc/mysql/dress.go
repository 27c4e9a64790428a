package mysql

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/schema"
)

// Editor makes of the records of a stream, with its snapshot woven in, what
// the options want to be seen of them: values are masked, rows have the key of
// their messages, operations are skipped, and messages come beside the rows. Until there rows are known by
// the keys of their tables, which only the server's own values can be. It
// belongs to one goroutine.
type Editor struct {
	filter  *filter
	plain   bool      // records are shown as they come
	skipped [256]bool // by op
	sources sources
	drop    func(reason string, n int)
	dresses map[*schema.Table]*dress
	last    *schema.Table
	lastOf  *dress

	// What goes beside the tables.
	metadata         bool // of transactions
	ledger           ledger
	transactionTopic string
	interval         time.Duration // of heartbeats; 0: none
	beat             time.Time
	heartbeatTopic   string
	heartbeatKey     []byte
	seq              uint64
	named            *schema.Table // of which nameOf is the name
	nameOf           string
	asides           []aside
}

// NewEditor returns the Editor of a source's options.
func NewEditor(cfg connect.Config, env connect.Env) (*Editor, error) {
	f, err := newFilter(cfg)
	if err != nil {
		return nil, connect.Permanent(err)
	}
	e := &Editor{filter: f, drop: env.Drop, dresses: map[*schema.Table]*dress{}}
	for _, op := range cfg.List(optSkipped) {
		if op = strings.ToLower(op); op != skipNone {
			e.skipped[op[0]] = true
		}
	}
	prefix, delimiter := cfg.String(optPrefix), cmp.Or(cfg.String(optDelimiter), ".")
	e.metadata, e.transactionTopic = cfg.Bool(optMetadata), prefix+delimiter+cmp.Or(cfg.String(optTransactionTopic), "transaction")
	e.interval, e.heartbeatTopic = cfg.Millis(optHeartbeat), cfg.String(optHeartbeatPrefix)+delimiter+prefix
	e.heartbeatKey = append(appendJSON([]byte(`{"serverName":`), prefix), '}')
	if e.sources, err = newSources(cfg); err != nil {
		return nil, connect.Permanent(err)
	}
	e.plain = !e.sources.rows && len(f.masks)+len(f.keys) == 0 && e.skipped == [256]bool{} && !e.metadata && e.interval == 0
	return e, nil
}

// Reset is called when the stream begins anew, from a position.
func (e *Editor) Reset() { e.ledger.open = false }

// dress is how records of one table are shown.
type dress struct {
	table *schema.Table
	masks []*mask
}

// maxDresses bounds what an Editor remembers.
const maxDresses = 8192

// Edit changes b in place.
func (e *Editor) Edit(b *connect.Batch) error {
	if e.plain {
		return nil
	}
	e.skip(b)
	if e.metadata {
		e.transactions(b)
	}
	for i := range b.Records {
		r := &b.Records[i]
		if r.Op == connect.OpMessage {
			continue
		}
		if r.Table != e.last {
			d, err := e.dress(r.Table)
			if err != nil {
				return connect.Permanent(err)
			}
			e.last, e.lastOf = r.Table, d
		}
		r.Table = e.lastOf.table
		r.Flags &^= connect.Exact // what is skipped, or has another key, may be elsewhere downstream
		for _, m := range e.lastOf.masks {
			m.apply(b, r.Before)
			m.apply(b, r.After)
		}
	}
	e.heartbeat(b)
	return nil
}

// skip takes out the operations that are not wanted, and what is of servers
// that do not count.
func (e *Editor) skip(b *connect.Batch) {
	ops, foreign, kept := 0, 0, 0
	for i := range b.Records {
		if e.skipped[b.Records[i].Op] {
			ops++
		} else if e.sources.leavesOut(&b.Records[i]) {
			foreign++
		}
	}
	if ops+foreign == 0 {
		return
	}
	b.Keep(func(r *connect.Record) bool {
		if !e.skipped[r.Op] && !e.sources.leavesOut(r) {
			kept++
			return true
		}
		if r.Flags&connect.TxEnd != 0 && kept > 0 {
			b.Records[kept-1].Flags |= connect.TxEnd
		}
		return false
	})
	if ops > 0 {
		e.drop(optSkipped, ops)
	}
	if foreign > 0 {
		e.drop(optSourceRows, foreign)
	}
}

func (e *Editor) dress(t *schema.Table) (*dress, error) {
	if d := e.dresses[t]; d != nil {
		return d, nil
	}
	d, err := e.filter.dress(t)
	if err != nil {
		return nil, err
	}
	if len(e.dresses) >= maxDresses {
		clear(e.dresses)
	}
	e.dresses[t] = d
	return d, nil
}

// dress returns how records of a table, a view's, are shown.
func (f *filter) dress(t *schema.Table) (*dress, error) {
	d := &dress{table: t}
	key, err := f.messageKey(t)
	if err != nil {
		return nil, err
	}
	if key != nil {
		n := *t
		n.Key, n.Primary = key, false
		if d.table, err = schema.New(&n); err != nil {
			return nil, err
		}
	}
	if d.masks, err = f.masksOf(d.table); err != nil || len(d.masks) == 0 {
		return d, err
	}
	n := *d.table
	n.Unique = slices.DeleteFunc(slices.Clone(n.Unique), func(u []int) bool {
		return slices.ContainsFunc(d.masks, func(m *mask) bool { return !m.keeps && slices.Contains(u, m.column) })
	})
	if len(n.Unique) < len(d.table.Unique) { // masked values may be equal
		d.table, err = schema.New(&n)
	}
	return d, err
}

// keyRule gives the messages of matching tables a key.
type keyRule struct {
	table   *regexp.Regexp
	columns []string
}

// parseKeys reads message.key.columns: "table:column,column;table:column".
func parseKeys(text string) (rules []keyRule, err error) {
	for part := range strings.SplitSeq(text, ";") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		i := strings.LastIndexByte(part, ':')
		if i < 0 {
			return nil, fmt.Errorf("%q is not of the form database.table:column,column", part)
		}
		r := keyRule{columns: connect.SplitList(part[i+1:])}
		if len(r.columns) == 0 {
			return nil, fmt.Errorf("%q names no column", part)
		}
		list, err := anchored([]string{strings.TrimSpace(part[:i])})
		if err != nil {
			return nil, err
		}
		r.table = list[0]
		rules = append(rules, r)
	}
	return rules, nil
}

// messageKey returns the columns of t that are the key of its messages where
// that is not the table's own; nil if it is.
func (f *filter) messageKey(t *schema.Table) (key []int, err error) {
	for _, r := range f.keys {
		if !r.table.MatchString(t.String()) {
			continue
		}
		if key != nil {
			return nil, fmt.Errorf("%s has two expressions that match table %s; only one can give its key", optKeys, t)
		}
		for _, name := range r.columns {
			i := slices.IndexFunc(t.Columns, func(c schema.Column) bool { return strings.EqualFold(c.Name, name) })
			if i < 0 {
				return nil, fmt.Errorf("%s names column %s of table %s, which is not there", optKeys, name, t)
			}
			if slices.Contains(key, i) {
				return nil, fmt.Errorf("%s names column %s of table %s twice", optKeys, name, t)
			}
			key = append(key, i)
		}
	}
	if slices.Equal(key, t.Key) {
		return nil, nil
	}
	return key, nil
}
