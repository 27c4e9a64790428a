package mysql

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-mysql-org/go-mysql/mysql"
	"github.com/go-mysql-org/go-mysql/replication"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/e2e/mysqltest"
	"github.com/towline/towline/offsets"
	"github.com/towline/towline/schema"
	"github.com/towline/towline/snapshot"
)

// testChanges follows tables of two BIGINT columns, just well enough for a
// test. Its positions are "file:pos:gtids".
type testChanges struct {
	srv    *mysqltest.Server
	uuid   string
	gtids  bool
	id     uint32
	tables map[string]*schema.Table

	syncer *replication.BinlogSyncer
	stream *replication.BinlogStreamer
	set    mysql.GTIDSet
	next   string // GTID of the transaction that is being read
	file   string
	seq    uint64
	cancel context.CancelFunc
}

func (c *testChanges) Open(ctx context.Context, from offsets.Position, _ []offsets.Entry) (err error) {
	file, pos, gtids := parsePos(from)
	if from == nil {
		rows, err := c.status(ctx)
		if err != nil {
			return err
		}
		file, pos, gtids = rows[0], atoi(rows[1]), strings.ReplaceAll(rows[4], "\n", "")
	}
	c.syncer = replication.NewBinlogSyncer(replication.BinlogSyncerConfig{ServerID: c.id, Flavor: "mysql", Host: c.srv.Host,
		Port: uint16(c.srv.Port), User: c.srv.User, Password: c.srv.Password, Logger: slog.New(slog.DiscardHandler)})
	c.file = file
	if c.set, err = mysql.ParseMysqlGTIDSet(gtids); err != nil {
		return err
	}
	if c.gtids {
		c.stream, err = c.syncer.StartSyncGTID(c.set.Clone())
	} else {
		c.stream, err = c.syncer.StartSync(mysql.Position{Name: file, Pos: uint32(pos)})
	}
	return err
}

func (c *testChanges) status(ctx context.Context) ([5]string, error) {
	var s [5]string
	err := c.srv.DB().QueryRowContext(ctx, "SHOW BINARY LOG STATUS").Scan(&s[0], &s[1], &s[2], &s[3], &s[4])
	return s, err
}

func atoi(s string) uint64 {
	n, _ := strconv.ParseUint(s, 10, 64)
	return n
}

func parsePos(p offsets.Position) (file string, pos uint64, gtids string) {
	f := strings.SplitN(string(p), ":", 3)
	if len(f) < 3 {
		return "", 0, ""
	}
	return f[0], atoi(f[1]), f[2]
}

func (c *testChanges) Read(ctx context.Context, b *connect.Batch) error {
	for {
		e, err := c.stream.GetEvent(ctx)
		if err != nil {
			return err
		}
		switch ev := e.Event.(type) {
		case *replication.RotateEvent:
			c.file = string(ev.NextLogName)
		case *replication.GTIDEvent:
			next, err := ev.GTIDNext()
			if err != nil {
				return err
			}
			if c.next = ""; c.gtids {
				c.next = next.String()
			}
		case *replication.RowsEvent:
			c.rows(b, e.Header, ev)
		case *replication.XIDEvent, *replication.QueryEvent:
			if q, ok := ev.(*replication.QueryEvent); ok && string(q.Query) == "BEGIN" {
				continue
			}
			if c.next != "" {
				if err := c.set.Update(c.next); err != nil {
					return err
				}
			}
			b.Pos = offsets.Position(fmt.Sprintf("%s:%d:%s", c.file, e.Header.LogPos, c.set))
			return nil
		case *replication.GenericEvent:
			if e.Header.EventType == replication.HEARTBEAT_EVENT || e.Header.EventType == replication.HEARTBEAT_LOG_EVENT_V2 {
				continue
			}
		}
	}
}

func (c *testChanges) rows(b *connect.Batch, h *replication.EventHeader, ev *replication.RowsEvent) {
	t := c.tables[string(ev.Table.Table)]
	if t == nil {
		return
	}
	row := func(i int) schema.Row {
		r := b.NewRow(2)
		for n, v := range ev.Rows[i] {
			r[n] = schema.MakeInt(v.(int64))
		}
		return r
	}
	add := func(op connect.Op, before, after schema.Row) {
		c.seq++
		r := b.Add()
		r.Op, r.Table, r.Before, r.After, r.Seq = op, t, before, after, c.seq
		r.Origin = b.NewOrigin()
		r.Origin.File, r.Origin.Pos = c.file, uint64(h.LogPos-h.EventSize)
	}
	for i := 0; i < len(ev.Rows); i++ {
		switch h.EventType {
		case replication.WRITE_ROWS_EVENTv2:
			add(connect.OpInsert, nil, row(i))
		case replication.DELETE_ROWS_EVENTv2:
			add(connect.OpDelete, row(i), nil)
		default:
			before, after := row(i), row(i+1)
			i++
			if before[0].Equal(after[0]) && len(t.Key) > 0 {
				add(connect.OpUpdate, before, after)
				continue
			}
			add(connect.OpDelete, before, nil)
			add(connect.OpInsert, nil, after)
		}
	}
}

func (c *testChanges) OpenAnew(context.Context, offsets.Position, []offsets.Entry) error {
	panic("no position is lost")
}

func (c *testChanges) Commit(context.Context, offsets.Position) error { return nil }
func (c *testChanges) Head(context.Context) (offsets.Position, error) { return nil, nil }
func (c *testChanges) Close() error                                   { c.syncer.Close(); return nil }
func (c *testChanges) Stop(t *schema.Table, reason error)             { panic(reason) }
func (c *testChanges) Topic(t *schema.Table) string                   { return t.Name }
func (c *testChanges) Halted() [][2]string                            { return nil }
func (c *testChanges) Resume(context.Context, string, string) error   { return nil }
func (c *testChanges) Stopped(string, string) (string, bool)          { return "", false }

func (c *testChanges) Reached(p offsets.Position, h snapshot.High) bool {
	file, pos, _ := parsePos(p)
	return file > h.File || file == h.File && pos >= h.Pos // few files: their names sort
}

func (c *testChanges) Anchor(p offsets.Position) snapshot.Anchor {
	a := snapshot.Anchor{ServerUUID: c.uuid}
	if c.gtids {
		_, _, a.GTIDs = parsePos(p)
	}
	return a
}

func (c *testChanges) Tables() (list []*schema.Table) {
	for _, t := range c.tables {
		list = append(list, t)
	}
	return list
}

// storm writes to both tables until stop is closed.
func storm(t *testing.T, srv *mysqltest.Server, db string, rows int, stop chan struct{}) *sync.WaitGroup {
	var writers sync.WaitGroup
	var version atomic.Int64
	version.Store(1 << 20)
	for n := range 4 {
		rng := rand.New(rand.NewPCG(uint64(n), 7))
		writers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				time.Sleep(time.Millisecond) // the log must be read as fast as it grows
				k, v := rng.IntN(2*rows), version.Add(1)
				q := fmt.Sprintf("UPDATE %s.keyed SET v = %d WHERE id = %d", db, v, k)
				switch rng.IntN(6) {
				case 0:
					q = fmt.Sprintf("REPLACE INTO %s.keyed VALUES (%d, %d)", db, k, v)
				case 1:
					q = fmt.Sprintf("DELETE FROM %s.keyed WHERE id = %d", db, k)
				case 2:
					q = fmt.Sprintf("UPDATE IGNORE %s.keyed SET id = %d, v = %d WHERE id = %d", db, rng.IntN(2*rows), v, k)
				case 3:
					q = fmt.Sprintf("INSERT INTO %s.bag VALUES (%d, %d)", db, k, v)
				case 4:
					q = fmt.Sprintf("DELETE FROM %s.bag WHERE id = %d", db, k)
				}
				if _, err := srv.DB().Exec(q); err != nil && !strings.Contains(err.Error(), "Deadlock") && !strings.Contains(err.Error(), "Lock wait timeout") {
					t.Error(err)
					return
				}
			}
		})
	}
	return &writers
}

// copies applies what a Source delivers.
type copies struct {
	keyed map[int64]int64
	bag   map[[2]int64]int
	reads int
	pos   offsets.Position
	state map[string]offsets.Position
}

func (c *copies) apply(b *connect.Batch) {
	for i := range b.Records {
		r := &b.Records[i]
		if r.Op == connect.OpTruncate {
			clear(c.bag)
		}
		if !r.Op.HasRow() {
			continue
		}
		k, v := r.Key()[0].Int(), r.Key()[1].Int()
		switch {
		case r.Table.Name == "keyed" && r.Op == connect.OpDelete:
			delete(c.keyed, k)
		case r.Table.Name == "keyed":
			c.keyed[k] = v
		case r.Op == connect.OpDelete:
			c.bag[[2]int64{k, v}]--
		default:
			c.bag[[2]int64{k, v}]++
		}
		if r.Op == connect.OpRead {
			c.reads++
		}
	}
	if b.Pos != nil {
		c.pos = append(offsets.Position(nil), b.Pos...)
	}
	for _, e := range b.State {
		c.state[e.Key] = append(offsets.Position(nil), e.Pos...)
	}
}

func (c *copies) entries() (list []offsets.Entry) {
	for k, p := range c.state {
		list = append(list, offsets.Entry{Key: k, Pos: p})
	}
	return list
}

func TestCopyUnderWrites(t *testing.T) {
	t.Run("gtid", func(t *testing.T) { copyUnderWrites(t, mysqltest.Start(t), true) })
	t.Run("without gtid", func(t *testing.T) { copyUnderWrites(t, mysqltest.Start(t, mysqltest.NoGTID()), false) })
}

func copyUnderWrites(t *testing.T, srv *mysqltest.Server, gtids bool) {
	const rows = 5000
	db := srv.CreateDB(t)
	srv.Exec(t, "CREATE TABLE "+db+".keyed (id BIGINT PRIMARY KEY, v BIGINT)")
	srv.Exec(t, "CREATE TABLE "+db+".bag (id BIGINT, v BIGINT)")
	for _, name := range []string{"keyed", "bag"} {
		srv.Exec(t, "INSERT INTO "+db+"."+name+" WITH RECURSIVE seq AS (SELECT 1 n UNION ALL SELECT n + 1 FROM seq WHERE n < 1000) SELECT a.n - 1 + 1000 * (b.n - 1), a.n FROM seq a, seq b WHERE b.n <= "+strconv.Itoa(rows/1000))
	}
	ch := &testChanges{srv: srv, gtids: gtids, id: 4711, uuid: srv.Query(t, "SELECT @@server_uuid")[0][0],
		tables: map[string]*schema.Table{"keyed": shapeOf(t, srv, db, "keyed"), "bag": shapeOf(t, srv, db, "bag")}}
	stop := make(chan struct{})
	writers := storm(t, srv, db, rows, stop)
	dst := &copies{keyed: map[int64]int64{}, bag: map[[2]int64]int{}, state: map[string]offsets.Position{}}
	newReader := func() snapshot.Reader {
		return New(Config{Dial: Dial(srv.Addr(), srv.User, srv.Password), Text: testText})
	}
	var mu sync.Mutex
	following := map[string]bool{}
	env := connect.Env{Report: func(s connect.TableStatus) {
		mu.Lock()
		defer mu.Unlock()
		following[s.Table] = s.State == connect.TableFollowing
	}}
	copied := func() bool {
		mu.Lock()
		defer mu.Unlock()
		return following[db+".keyed"] && following[db+".bag"]
	}
	for run := 0; !copied(); run++ {
		src := snapshot.New(ch, newReader, snapshot.Config{FetchRows: 300, Threads: 3, ChunkBytes: 32 << 10}, env)
		if err := src.Open(t.Context(), dst.pos, dst.entries()); err != nil {
			t.Fatal(err)
		}
		for n := 0; !copied() && (run > 1 || n < 25); n++ {
			read(t, src, dst)
		}
		if copied() {
			close(stop)
			writers.Wait()
			end, err := ch.status(t.Context())
			for err == nil && !ch.Reached(dst.pos, snapshot.High{File: end[0], Pos: atoi(end[1])}) {
				read(t, src, dst)
			}
		}
		if err := src.Close(); err != nil {
			t.Fatal(err)
		}
	}
	compare(t, srv, db, dst)
}

func read(t *testing.T, src *snapshot.Source, dst *copies) {
	t.Helper()
	var b connect.Batch
	if err := src.Read(t.Context(), &b); err != nil {
		t.Fatal(errors.Join(err, src.Close()))
	}
	dst.apply(&b)
	if b.Pos != nil {
		if err := src.Commit(t.Context(), b.Pos); err != nil {
			t.Fatal(err)
		}
	}
}

func compare(t *testing.T, srv *mysqltest.Server, db string, dst *copies) {
	t.Helper()
	keyed, bag := map[int64]int64{}, map[[2]int64]int{}
	for _, r := range srv.Query(t, "SELECT id, v FROM "+db+".keyed") {
		keyed[int64(atoi(r[0]))] = int64(atoi(r[1]))
	}
	for _, r := range srv.Query(t, "SELECT id, v FROM "+db+".bag") {
		bag[[2]int64{int64(atoi(r[0])), int64(atoi(r[1]))}]++
	}
	maps.DeleteFunc(dst.bag, func(_ [2]int64, n int) bool { return n == 0 })
	if !maps.Equal(keyed, dst.keyed) || !maps.Equal(bag, dst.bag) {
		wrong := 0
		for k, v := range keyed {
			if dst.keyed[k] != v {
				wrong++
			}
		}
		t.Fatalf("keyed: %d rows, want %d, %d of them wrong or missing; bag: %d rows, want %d", len(dst.keyed), len(keyed), wrong, len(dst.bag), len(bag))
	}
	t.Logf("%d rows copied, %d and %d rows at the end", dst.reads, len(keyed), len(bag))
}
