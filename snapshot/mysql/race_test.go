package mysql

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/towline/towline/cdc/charset"
	cdcmysql "github.com/towline/towline/cdc/mysql"
	"github.com/towline/towline/connect"
	"github.com/towline/towline/e2e/mysqltest"
	"github.com/towline/towline/offsets"
	"github.com/towline/towline/schema"
	"github.com/towline/towline/snapshot"
)

// The race is between writers of a few hot rows, the real stream of changes and
// the real reader of chunks: tables are copied over and over, a few rows a
// window, and each window is judged at its close, row by row.
const (
	raceWriters = 16
	raceTables  = 8
	raceRows    = 16 // of one table
	raceChunk   = 4  // rows of one window
	raceReaders = 16
)

// raceWindows is how many windows are judged; TOWLINE_WINDOWS sets another
// number.
func raceWindows(t *testing.T, n int) int {
	if s := os.Getenv("TOWLINE_WINDOWS"); s != "" {
		v, err := strconv.Atoi(s)
		if err != nil {
			t.Fatalf("TOWLINE_WINDOWS=%s is not a number", s)
		}
		return v
	}
	return n
}

// gaps are ways of the server to commit. They differ in how long a transaction
// is in the log before it can be seen, and whether the order is the same.
var gaps = []struct{ name, settings string }{
	{"durable", "sync_binlog = 1, GLOBAL binlog_group_commit_sync_delay = 0, GLOBAL binlog_order_commits = ON"},
	{"late", "sync_binlog = 0, GLOBAL binlog_group_commit_sync_delay = 1500, GLOBAL binlog_order_commits = ON"},
	{"late and in any order", "sync_binlog = 0, GLOBAL binlog_group_commit_sync_delay = 1500, GLOBAL binlog_order_commits = OFF"},
}

func setGap(t *testing.T, srv *mysqltest.Server, settings string) {
	t.Helper()
	srv.Exec(t, "SET GLOBAL "+settings)
}

func TestNoWindowIsUnsound(t *testing.T) {
	for name, options := range map[string][]mysqltest.Option{"gtid": nil, "without gtid": {mysqltest.NoGTID()}} {
		t.Run(name, func(t *testing.T) {
			srv := mysqltest.Start(t, options...)
			for i, g := range gaps {
				setGap(t, srv, g.settings)
				n := raceWindows(t, 600)
				if j := race(t, srv, noBreach, n/len(gaps)+i, math.MaxInt); len(j.unsound) > 0 {
					t.Errorf("%s: %d of %d windows are unsound:\n%s", g.name, len(j.unsound), j.windows, strings.Join(j.unsound[:min(5, len(j.unsound))], "\n"))
				}
			}
		})
	}
}

// What the proof of package snapshot needs is needed: without it the judge
// finds windows that are unsound, soon.
func TestUnsoundWindowsAreFound(t *testing.T) {
	for name, options := range map[string][]mysqltest.Option{"gtid": nil, "without gtid": {mysqltest.NoGTID()}} {
		srv := mysqltest.Start(t, options...)
		setGap(t, srv, gaps[2].settings)
		for _, b := range []breach{noAnchor, earlyHigh} {
			t.Run(name+", "+string(b), func(t *testing.T) {
				if j := race(t, srv, b, 50000, 1); len(j.unsound) == 0 {
					t.Errorf("none of %d windows is unsound", j.windows)
				} else {
					t.Log(j.unsound[0])
				}
			})
		}
	}
}

// race judges windows until there were enough, or enough that are unsound.
func race(t *testing.T, srv *mysqltest.Server, b breach, windows, unsound int) *judge {
	db := srv.CreateDB(t)
	j := &judge{read: map[int64]*judged{}, rows: map[string]map[int64]*hotRow{}}
	for i := range raceTables {
		srv.Exec(t, fmt.Sprintf("CREATE TABLE %s.t%d (id BIGINT PRIMARY KEY, v BIGINT NOT NULL)", db, i))
		j.rows[fmt.Sprint("t", i)] = map[int64]*hotRow{}
	}
	src := raceSource(t, srv, db, j, b)
	if err := src.Open(t.Context(), nil, nil); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var others sync.WaitGroup
	defer func() { // in this order: a signal waits for the source
		cancel()
		if err := src.Close(); err != nil {
			t.Error(err)
		}
		others.Wait()
	}()
	began, transactions := time.Now(), new(atomic.Int64)
	for i := range raceWriters {
		w := &hotWriter{srv: srv, db: db, rng: rand.New(rand.NewPCG(rand.Uint64(), uint64(i))), done: transactions}
		others.Go(func() { w.run(t, ctx, int64(i)) })
	}
	again := func(table string) {
		others.Go(func() {
			data := json.RawMessage(fmt.Sprintf(`{"data-collections": [%q]}`, table))
			if _, err := src.Signal(ctx, connect.Signal{ID: "again", Type: "execute-snapshot", Data: data}); err != nil && ctx.Err() == nil {
				t.Error(err)
			}
		})
	}
	var batch connect.Batch
	for j.windows < windows && len(j.unsound) < unsound && !t.Failed() {
		batch.Reset()
		if err := src.Read(ctx, &batch); err != nil {
			t.Fatal(err)
		}
		j.take(&batch)
		if batch.Pos != nil {
			if err := src.Commit(ctx, batch.Pos); err != nil {
				t.Fatal(err)
			}
		}
		for _, table := range j.copied() {
			again(table)
		}
	}
	took := time.Since(began)
	t.Logf("%d windows, %d unsound: %d rows went out, %d were dropped, %d windows gave none; %d transactions, %.0f a second",
		j.windows, len(j.unsound), j.out, j.dropped, j.empty, transactions.Load(), float64(transactions.Load())/took.Seconds())
	return j
}

// raceSource joins stream and copies as the program does.
func raceSource(t *testing.T, srv *mysqltest.Server, db string, j *judge, b breach) *snapshot.Source {
	t.Helper()
	values := map[string]string{"database.hostname": srv.Host, "database.port": strconv.Itoa(srv.Port), "database.user": srv.User,
		"database.password": srv.Password, "database.include.list": db, "topic.prefix": "race"}
	cfg := connect.NewConfig("race", cdcmysql.Options(), values)
	env := connect.Env{Connector: "race", Report: j.report, Gauge: func(string, float64, ...string) {}, Drop: func(string, int) {}}
	stream, err := cdcmysql.New(cfg, env)
	if err != nil {
		t.Fatal(err)
	}
	text := func(name string) (func(dst, src []byte) ([]byte, bool), bool) {
		c, err := charset.ByName(name)
		if err != nil {
			return nil, false
		}
		return c.Decode, c.Name() == "utf8mb4"
	}
	reader := func() snapshot.Reader {
		return &racingReader{New(Config{Dial: Dial(srv.Addr(), srv.User, srv.Password), Text: text}), j, b}
	}
	return snapshot.New(&racingStream{Source: stream, seqs: map[string]uint64{}}, reader, snapshot.Config{Threads: raceReaders, FetchRows: raceChunk, ChunkBytes: 64 << 10}, env)
}

// racingStream is the stream, and knows what Seq each of its positions has: an
// Anchor tells by it where its window was opened.
type racingStream struct {
	*cdcmysql.Source
	mu          sync.Mutex
	seqs, older map[string]uint64
	last        uint64
}

func (s *racingStream) Read(ctx context.Context, b *connect.Batch) error {
	err := s.Source.Read(ctx, b)
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range b.Records {
		s.last = max(s.last, b.Records[i].Seq)
	}
	if b.Pos != nil {
		if len(s.seqs) > 1<<16 { // only the last few are asked for
			s.older, s.seqs = s.seqs, map[string]uint64{}
		}
		s.seqs[string(b.Pos)] = s.last
	}
	return err
}

func (s *racingStream) Anchor(pos offsets.Position) snapshot.Anchor {
	gtids, server := s.Source.Anchor(pos)
	s.mu.Lock()
	defer s.mu.Unlock()
	seq, ok := s.seqs[string(pos)]
	if !ok {
		seq = s.older[string(pos)] // 0 if it is a position that Read has not given
	}
	return snapshot.Anchor{GTIDs: gtids, ServerUUID: server, Seq: seq}
}

func (s *racingStream) Reached(pos offsets.Position, high snapshot.High) bool {
	return s.Source.Reached(pos, high.File, high.Pos)
}

// breach is a step of the window that is left out.
type breach string

const (
	noBreach  breach = ""
	noAnchor  breach = "no anchor"
	earlyHigh breach = "high before the read"
)

// racingReader is the reader, and shows its chunks to the judge.
type racingReader struct {
	*Reader
	judge  *judge
	breach breach
}

func (r *racingReader) ReadChunk(ctx context.Context, c *snapshot.Chunk) error {
	var high snapshot.High
	switch r.breach {
	case noAnchor: // as if it had waited already
		if c.Anchor.GTIDs == "" {
			c.Anchor.GTIDs = "none" // or the read would lock
		}
		r.waited, r.uuid = c.Anchor.GTIDs, c.Anchor.ServerUUID
	case earlyHigh:
		var err error
		if high, err = r.High(ctx); err != nil {
			return err
		}
	}
	if err := r.Reader.ReadChunk(ctx, c); err != nil {
		return err
	}
	if r.breach == earlyHigh {
		c.High = high
	}
	return r.judge.see(c)
}

// hotRow is a row as the stream has it.
type hotRow struct {
	version int64
	there   bool
	seq     uint64 // of its last change
}

// judged is a window between READ and its judgement.
type judged struct {
	table  string
	opened uint64 // the Seq where it was opened
	lo, hi int64  // it has the keys in (lo, hi]
	rows   int
}

// judge follows the stream and compares with it what windows give out.
type judge struct {
	mu   sync.Mutex
	read map[int64]*judged
	next int64
	done []string // tables, with their database, whose copy has ended

	rows                         map[string]map[int64]*hotRow
	windows, empty, out, dropped int
	unsound                      []string
}

// see notes a chunk that was read, and marks its rows.
func (j *judge) see(c *snapshot.Chunk) error {
	w := &judged{table: c.Table.Name, opened: c.Anchor.Seq, lo: math.MinInt64, hi: math.MaxInt64, rows: int(c.Rows)}
	var errs [2]error
	if c.Lo != nil {
		w.lo, errs[0] = strconv.ParseInt(string(c.Lo), 10, 64)
	}
	if c.End != nil {
		w.hi, errs[1] = strconv.ParseInt(string(c.End), 10, 64)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.next++
	j.read[j.next] = w
	for _, p := range c.Parts {
		for i := range p.Records {
			p.Records[i].Time = j.next
		}
	}
	return errors.Join(errs[:]...)
}

func (j *judge) report(s connect.TableStatus) {
	if s.State == connect.TableFollowing {
		j.mu.Lock()
		defer j.mu.Unlock()
		j.done = append(j.done, s.Table)
	}
}

// copied returns the tables whose copy has ended. Of their windows those that
// gave nothing out are judged late: a row that nothing touched until now was
// not touched at their close either.
func (j *judge) copied() []string {
	j.mu.Lock()
	list := j.done
	j.done = nil
	var rest []*judged
	for id, w := range j.read {
		for _, name := range list {
			if strings.HasSuffix(name, "."+w.table) {
				rest = append(rest, w)
				delete(j.read, id)
			}
		}
	}
	j.mu.Unlock()
	for _, w := range rest {
		j.empty++
		j.close(w, nil)
	}
	return list
}

// take applies changes, and judges the window that rows come from.
func (j *judge) take(b *connect.Batch) {
	out := map[int64]int64{}
	id := int64(0)
	for i := range b.Records {
		r := &b.Records[i]
		switch {
		case !r.Op.HasRow():
		case r.Op == connect.OpRead:
			id = r.Time
			out[r.After[0].Int()] = r.After[1].Int()
		default:
			if r.Before != nil {
				j.touch(r, r.Before, false)
			}
			if r.After != nil {
				j.touch(r, r.After, true)
			}
		}
	}
	if id == 0 {
		return
	}
	j.mu.Lock()
	w := j.read[id]
	delete(j.read, id)
	j.mu.Unlock()
	if w == nil {
		j.unsound = append(j.unsound, fmt.Sprintf("window %d is closed twice", id))
		return
	}
	j.close(w, out)
}

func (j *judge) touch(r *connect.Record, row schema.Row, there bool) {
	table := j.rows[r.Table.Name]
	k := row[0].Int()
	if table[k] == nil {
		table[k] = &hotRow{}
	}
	*table[k] = hotRow{version: row[1].Int(), there: there, seq: r.Seq}
}

// close judges a window: what it gives out is what the stream has, and what it
// does not give out is not there or was touched since it was opened.
func (j *judge) close(w *judged, out map[int64]int64) {
	j.windows++
	j.out += len(out)
	j.dropped += w.rows - len(out)
	table := j.rows[w.table]
	for k, v := range out {
		switch row := table[k]; {
		case k <= w.lo || k > w.hi:
			j.fault(w, "gives out row %d, which is not one of its own", k)
		case row == nil || !row.there:
			j.fault(w, "gives out row %d with version %d, which is not there", k, v)
		case row.version != v:
			j.fault(w, "gives out row %d with version %d, where the stream has %d since change %d", k, v, row.version, row.seq)
		}
	}
	for k, row := range table {
		if _, ok := out[k]; !ok && k > w.lo && k <= w.hi && row.there && row.seq <= w.opened {
			j.fault(w, "does not give out row %d, which nothing has touched since change %d", k, row.seq)
		}
	}
}

func (j *judge) fault(w *judged, format string, args ...any) {
	j.unsound = append(j.unsound, fmt.Sprintf("the window (%d, %d] of %s, opened at change %d, ", w.lo, w.hi, w.table, w.opened)+fmt.Sprintf(format, args...))
}

// hotWriter changes rows, each time to a version that none has had.
type hotWriter struct {
	srv  *mysqltest.Server
	db   string
	rng  *rand.Rand
	done *atomic.Int64
}

func (w *hotWriter) run(t *testing.T, ctx context.Context, number int64) {
	conn, err := w.srv.DB().Conn(context.WithoutCancel(ctx))
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close()
	for version := number; ctx.Err() == nil; version += raceWriters {
		_, err := conn.ExecContext(context.WithoutCancel(ctx), w.statement(version))
		var refused *mysql.MySQLError
		switch {
		case err == nil:
			w.done.Add(1)
		case errors.As(err, &refused) && (refused.Number == errDeadlock || refused.Number == errLockTimeout):
		default:
			t.Error(err)
			return
		}
	}
}

// statement returns a transaction.
func (w *hotWriter) statement(version int64) string {
	table := fmt.Sprintf("%s.t%d", w.db, w.rng.IntN(raceTables))
	k, other := w.rng.IntN(raceRows), w.rng.IntN(raceRows)
	switch w.rng.IntN(12) {
	case 0:
		return fmt.Sprintf("DELETE FROM %s WHERE id = %d", table, k)
	case 1:
		return fmt.Sprintf("UPDATE IGNORE %s SET id = %d, v = %d WHERE id = %d", table, other, version, k)
	case 2:
		return fmt.Sprintf("UPDATE %s SET v = %d WHERE id IN (%d, %d)", table, version, k, other)
	case 3, 4, 5, 6:
		return fmt.Sprintf("INSERT INTO %s VALUES (%d, %d) ON DUPLICATE KEY UPDATE v = VALUES(v)", table, k, version)
	}
	return fmt.Sprintf("UPDATE %s SET v = %d WHERE id = %d", table, version, k)
}
