package mysql

import (
	"context"
	"database/sql/driver"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/e2e/mysqltest"
	"github.com/towline/towline/offsets"
	"github.com/towline/towline/schema"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(mysqltest.Main(m)) }

// rig makes sources of one server and database.
type rig struct {
	srv    *mysqltest.Server
	db     string
	values map[string]string

	mu      sync.Mutex
	reports []connect.TableStatus
}

func newRig(t testing.TB, srv *mysqltest.Server) *rig {
	r := &rig{srv: srv, db: srv.CreateDB(t), values: map[string]string{}}
	r.values[optHost], r.values[optPort] = srv.Host, strconv.Itoa(srv.Port)
	r.values[optUser], r.values[optPassword] = srv.User, srv.Password
	r.values[optPrefix] = "p"
	r.values[optDBInclude] = r.db
	r.values[optServerID] = strconv.Itoa(1000 + int(nextID()))
	return r
}

var ids struct {
	sync.Mutex
	n int
}

func nextID() int { ids.Lock(); defer ids.Unlock(); ids.n++; return ids.n }

func (r *rig) config() connect.Config { return connect.NewConfig("test-"+r.db, Options(), r.values) }

func (r *rig) env() connect.Env {
	return connect.Env{Connector: "test", Logger: slog.Default(), Report: func(s connect.TableStatus) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.reports = append(r.reports, s)
	}, Gauge: func(string, float64, ...string) {}, Drop: func(string, int) {}}
}

func (r *rig) reason(table string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.reports {
		if s.Table == r.db+"."+table && s.State == connect.TableStopped {
			return s.Reason
		}
	}
	return ""
}

func (r *rig) source(t testing.TB) *Source {
	t.Helper()
	s, err := New(r.config(), r.env())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// open opens a source and closes it at the test's end.
func (r *rig) open(t testing.TB, from offsets.Position, state []offsets.Entry) *Source {
	t.Helper()
	s := r.source(t)
	if err := s.Open(t.Context(), from, state); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// exec runs statements in a session of their own.
func (r *rig) exec(t testing.TB, q string) {
	t.Helper()
	conn, err := r.srv.DB().Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.ExecContext(t.Context(), "USE "+quoteName(r.db)+"; "+q); err != nil {
		t.Fatalf("%v in %s", err, q)
	}
	_ = conn.Raw(func(any) error { return driver.ErrBadConn }) // its settings are not for others
	conn.Close()
}

// purge has the server remove all files of its log but the last one. It only warns
// of those that the thread of a dump still reads, which may not have noticed yet
// that its connection has ended.
func (r *rig) purge(t *testing.T) {
	t.Helper()
	for {
		files := r.srv.Query(t, "SHOW BINARY LOGS")
		if len(files) == 1 {
			return
		}
		r.exec(t, "PURGE BINARY LOGS TO '"+files[len(files)-1][0]+"'")
	}
}

func quoteName(s string) string { return "`" + strings.ReplaceAll(s, "`", "``") + "`" }

// seen is a record, written down.
type seen struct {
	text string
	seq  uint64
}

// stop is a place to go on from, and how many records came before it.
type stopAt struct {
	pos     offsets.Position
	state   []offsets.Entry
	records int
}

// tape is all that was read.
type tape struct {
	records []seen
	stops   []stopAt
	state   map[string]offsets.Position
}

func newTape(state []offsets.Entry) *tape {
	tp := &tape{state: map[string]offsets.Position{}}
	for _, e := range state {
		tp.state[e.Key] = e.Pos
	}
	return tp
}

func (tp *tape) entries() []offsets.Entry {
	var list []offsets.Entry
	for k, p := range tp.state {
		if p != nil {
			list = append(list, offsets.Entry{Key: k, Pos: slices.Clone(p)})
		}
	}
	slices.SortFunc(list, func(a, b offsets.Entry) int { return strings.Compare(a.Key, b.Key) })
	return list
}

func (tp *tape) add(b *connect.Batch) {
	for i := range b.Records {
		tp.records = append(tp.records, seen{recordText(&b.Records[i]), b.Records[i].Seq})
	}
	for _, e := range b.State {
		tp.state[e.Key] = slices.Clone(e.Pos)
	}
	if b.Pos != nil {
		tp.stops = append(tp.stops, stopAt{slices.Clone(b.Pos), tp.entries(), len(tp.records)})
	}
}

func (tp *tape) texts() []string {
	var list []string
	for _, s := range tp.records {
		list = append(list, s.text)
	}
	return list
}

func recordText(r *connect.Record) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%c %s", r.Op, r.Table.Name)
	row := func(row schema.Row) {
		if row == nil {
			return
		}
		b.WriteString(" (")
		for i, v := range row {
			if i > 0 {
				b.WriteString(",")
			}
			if v.IsNull() {
				b.WriteString("NULL")
			} else {
				b.Write(v.AppendText(nil, &r.Table.Columns[i]))
			}
		}
		b.WriteString(")")
	}
	row(r.Before)
	row(r.After)
	if r.Op == connect.OpSchema {
		for i, c := range r.Table.Columns {
			fmt.Fprintf(&b, "%s%s %s", map[bool]string{true: " ", false: ","}[i == 0], c.Name, c.Type)
		}
	}
	for f, name := range map[connect.Flags]string{connect.KeyMoved: " moved", connect.Reread: " reread"} {
		if r.Flags&f != 0 {
			b.WriteString(name)
		}
	}
	if r.Flags&connect.TxEnd != 0 {
		b.WriteString(" end")
	}
	return b.String()
}

// patience ends what hangs, however slow the machine is.
const patience = 10 * time.Minute

// until reads up to where the server is now.
func until(t testing.TB, s *Source, tp *tape) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := untilErr(ctx, s, tp); err != nil {
		t.Fatal(err)
	}
}

func untilErr(ctx context.Context, s *Source, tp *tape) error {
	head, err := s.Head(ctx)
	if err != nil {
		return err
	}
	var b connect.Batch
	for {
		b.Reset()
		if err := s.Read(ctx, &b); err != nil {
			return err
		}
		if len(b.Records) == 0 && b.Pos == nil {
			return fmt.Errorf("an empty batch")
		}
		tp.add(&b)
		if b.Pos != nil && Covers(b.Pos, head) {
			return nil
		}
	}
}

func diff(t testing.TB, got, want []string) {
	t.Helper()
	if slices.Equal(got, want) {
		return
	}
	t.Fatalf("got\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
}
