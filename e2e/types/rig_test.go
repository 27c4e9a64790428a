package pairs

import (
	"context"
	"errors"
	"log/slog"
	"reflect"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/towline/towline/cdc/charset"
	cdcmysql "github.com/towline/towline/cdc/mysql"
	"github.com/towline/towline/connect"
	"github.com/towline/towline/connect/frame"
	"github.com/towline/towline/e2e/mysqltest"
	"github.com/towline/towline/offsets"
	"github.com/towline/towline/sinks/jdbc"
	"github.com/towline/towline/snapshot"
	snapshotmysql "github.com/towline/towline/snapshot/mysql"
)

// patience ends a test that would hang, however slow the machine is.
const patience = 10 * time.Minute

// rig is a source of one database, and the way to a second server.
type rig struct {
	src, dst *mysqltest.Server
	db       string
	source   connect.Source
	convert  connect.Converter
	sink     connect.Sink
	offset   int64

	mu      sync.Mutex
	stopped map[string]string // tables, and why
}

func newRig(t *testing.T, src, dst *mysqltest.Server, values map[string]string) *rig {
	t.Helper()
	r := &rig{src: src, dst: dst, db: src.CreateDB(t), stopped: map[string]string{}}
	all := map[string]string{
		"database.hostname": src.Host, "database.port": strconv.Itoa(src.Port), "database.user": src.User, "database.password": src.Password,
		"database.include.list": r.db, "topic.prefix": "w", "topic.layout": "single",
	}
	for k, v := range values {
		all[k] = v
	}
	r.source = r.newSource(t, connect.NewConfig("pairs-"+r.db, slices.Concat(cdcmysql.Options(), snapshot.Options()), all))
	p := frame.Plugin()
	var err error
	if r.convert, err = p.Converter(connect.NewConfig("frame", p.Options, nil), r.env()); err != nil {
		t.Fatal(err)
	}
	if dst == nil {
		return r
	}
	p = jdbc.Plugin()
	if r.sink, err = p.Sink(connect.NewConfig("jdbc", p.Options, map[string]string{"connection.url": dst.DSN(""), "offsets.table": r.db + ".done"}), r.env()); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *rig) env() connect.Env {
	return connect.Env{Connector: r.db, Lanes: 1, Logger: slog.New(slog.DiscardHandler), Gauge: func(string, float64, ...string) {}, Drop: func(string, int) {},
		Report: func(s connect.TableStatus) {
			r.mu.Lock()
			defer r.mu.Unlock()
			if s.State == connect.TableStopped {
				r.stopped[s.Table] = s.Reason
			}
		}}
}

// newSource makes the source as the program does.
func (r *rig) newSource(t *testing.T, cfg connect.Config) connect.Source {
	t.Helper()
	stream, err := cdcmysql.New(cfg, r.env())
	if err != nil {
		t.Fatal(err)
	}
	dial, err := cdcmysql.Dialer(cfg)
	if err != nil {
		t.Fatal(err)
	}
	reader := func() snapshot.Reader { return snapshotmysql.New(snapshotmysql.Config{Dial: dial, Text: textDecoder}) }
	editor, err := cdcmysql.NewEditor(cfg, r.env())
	if err != nil {
		t.Fatal(err)
	}
	how := snapshot.ParseConfig(cfg)
	how.Editor = editor
	return snapshot.New(changes{stream}, reader, how, r.env())
}

type changes struct{ *cdcmysql.Source }

func (c changes) Anchor(pos offsets.Position) snapshot.Anchor {
	gtids, server := c.Source.Anchor(pos)
	return snapshot.Anchor{GTIDs: gtids, ServerUUID: server}
}

func (c changes) Reached(pos offsets.Position, high snapshot.High) bool {
	return c.Source.Reached(pos, high.File, high.Pos)
}

func textDecoder(name string) (func(dst, src []byte) ([]byte, bool), bool) {
	c, err := charset.ByName(name)
	if err != nil {
		return nil, false
	}
	return c.Decode, c.Name() == "utf8mb4"
}

func (r *rig) open(t *testing.T) {
	t.Helper()
	if err := r.source.Open(t.Context(), nil, nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.source.Close(); err != nil {
			t.Error(err)
		}
	})
	if r.sink == nil {
		return
	}
	if _, err := r.sink.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.sink.Close(); err != nil {
			t.Error(err)
		}
	})
}

// read reads until done says so, and returns all records as they come out of
// the frame converter.
func (r *rig) read(t *testing.T, done func(b *connect.Batch, rows int) bool) []connect.Record {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var all []connect.Record
	var b connect.Batch
	rows := 0
	for {
		b.Reset()
		if err := r.source.Read(ctx, &b); err != nil {
			r.reasons(t)
			t.Errorf("after %d records: %v", len(all), err)
			return all
		}
		for i := range b.Records {
			if b.Records[i].Op.HasRow() {
				rows++
			}
		}
		all = append(all, r.passed(t, &b)...)
		if b.Pos != nil {
			if err := r.source.Commit(ctx, b.Pos); err != nil {
				t.Fatal(err)
			}
		}
		if done(&b, rows) {
			return all
		}
		if r.reasons(t) {
			t.FailNow()
		}
	}
}

// head reads up to where the server is now.
func (r *rig) head(t *testing.T) []connect.Record {
	t.Helper()
	head, err := r.source.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return r.read(t, func(b *connect.Batch, _ int) bool { return b.Pos != nil && cdcmysql.Covers(b.Pos, head) })
}

// reasons reports the tables that have been stopped.
func (r *rig) reasons(t *testing.T) bool {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for table, reason := range r.stopped {
		t.Errorf("%s is stopped: %s", table, reason)
	}
	return len(r.stopped) > 0
}

// passed sends a batch through the frame converter and compares what comes
// out.
func (r *rig) passed(t *testing.T, b *connect.Batch) []connect.Record {
	t.Helper()
	var m connect.Messages
	var out connect.Batch
	if err := r.convert.Encode(&m, b); err != nil {
		t.Fatal(err)
	}
	if err := r.convert.Decode(&out, m.List); err != nil {
		t.Fatal(err)
	}
	if len(out.Records) != len(b.Records) {
		t.Fatalf("%d records are %d after the frame converter", len(b.Records), len(out.Records))
	}
	for i := range out.Records {
		got, want := &out.Records[i], &b.Records[i]
		if want.Origin != nil {
			want.Origin.Copy = 0 // numbers a truncation for who routes it, which is before
		}
		if got.Op != want.Op || got.Flags != want.Flags&^connect.Half || got.Table.ID() != want.Table.ID() || !reflect.DeepEqual(got.Table, want.Table) ||
			got.Seq != want.Seq || got.Time != want.Time || got.Row != want.Row || !reflect.DeepEqual(got.Origin, want.Origin) {
			t.Errorf("table %s: the frame converter makes %+v of %+v", want.Table, got, want)
		}
		if !got.Before.Equal(want.Before) || !got.After.Equal(want.After) {
			t.Errorf("table %s: the frame converter changes a row: %s", want.Table, describe(got.Table, want.Key(), got.Key()))
		}
	}
	return out.Records
}

// write sends records to the second server, those of fixtures that it can
// hold.
func (r *rig) write(t *testing.T, set map[string]*fixture, records []connect.Record) {
	t.Helper()
	b := &connect.Batch{}
	for _, rec := range records {
		if f := set[rec.Table.Name]; f == nil || f.sourceOnly {
			continue
		}
		rec.Topic, rec.Offset = "w", r.offset
		r.offset++
		b.Records = append(b.Records, rec)
	}
	b.State = []offsets.Entry{{Key: offsets.MarkKey("w", 0), Pos: offsets.Mark{Offset: r.offset}.Position()}}
	err := r.sink.Write(t.Context(), b)
	var bad *connect.BatchError
	if errors.As(err, &bad) {
		shown := map[string]bool{}
		for _, f := range bad.Failed {
			if rec := &b.Records[f.Index]; !shown[rec.Table.Name] {
				shown[rec.Table.Name] = true
				t.Errorf("the sink refuses %c of %s, %s: %v", rec.Op, rec.Table, describe(rec.Table, rec.Key(), nil), f.Err)
			}
		}
	}
	if err != nil {
		t.Fatalf("write to the target: %.500v", err)
	}
}

// trimmed cuts what would fill the screen.
func trimmed(s string) string {
	if len(s) > 160 {
		return s[:160] + "..."
	}
	return s
}
