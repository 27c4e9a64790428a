package mysql

import (
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/e2e/mysqltest"
	"github.com/towline/towline/schema"
	"github.com/towline/towline/schema/catalog"
)

// After each statement the shapes are those of the catalog.
func TestShapesAreTheCatalogs(t *testing.T) {
	r := newRig(t, mysqltest.Shared(t))
	s := r.open(t, nil, nil)
	conn, err := r.srv.DB().Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := catalog.Prepare(t.Context(), conn); err != nil {
		t.Fatal(err)
	}
	r.shapesAreTheCatalogs(t, s, conn, []string{
		"CREATE TABLE t (id INT PRIMARY KEY, ts TIMESTAMP, tn TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, d DATETIME(3), UNIQUE (d))",
		"INSERT INTO t (id) VALUES (1)",
		"ALTER TABLE t ADD COLUMN e ENUM('a','b','ü') CHARACTER SET latin1 AFTER id, ADD g INT GENERATED ALWAYS AS (id + 1) STORED",
		"SET sql_mode = 'ANSI_QUOTES'; ALTER TABLE \"t\" ADD COLUMN \"my col\" CHAR(3)",
		"SET NAMES latin1; CREATE TABLE l (id INT PRIMARY KEY, s SET('x','y') NOT NULL) DEFAULT CHARSET = utf8mb3",
		"CREATE INDEX i ON t (e); CREATE UNIQUE INDEX u ON l (s)",
		"ALTER TABLE t DROP PRIMARY KEY, ADD PRIMARY KEY (id, tn)",
		"ALTER TABLE l CONVERT TO CHARACTER SET utf8mb4",
		"SET sql_generate_invisible_primary_key = ON; CREATE TABLE inv (v VECTOR(3), p POINT SRID 4326, b BIT(5))",
		"ALTER DATABASE `" + r.db + "` CHARACTER SET latin2; CREATE TABLE l2 (id SERIAL, c VARCHAR(10))",
		"CREATE TABLE `a.b``c'd\"e` (`x.``y` INT PRIMARY KEY); INSERT INTO `a.b``c'd\"e` VALUES (1)",
		"CREATE TABLE late LIKE t; INSERT INTO late (id) VALUES (5)",
		"RENAME TABLE late TO later, l TO late, later TO l",
		"INSERT INTO t (id, e, `my col`) VALUES (2, 'ü', 'abc'); INSERT INTO late VALUES (3, 'x,y'); INSERT INTO inv (b) VALUES (3)",
		"/*!50003 CREATE TABLE IF NOT EXISTS t (other INT) */; DROP TABLE IF EXISTS nothing, l2",
		"CREATE TABLE sel SELECT id, e AS renamed FROM t",
	})
}

// shapesAreTheCatalogs executes statements and compares the shapes that s has
// with the server's catalog after each.
func (r *rig) shapesAreTheCatalogs(t *testing.T, s *Source, conn *sql.Conn, statements []string) {
	t.Helper()
	for _, q := range statements {
		r.exec(t, q)
		tp := newTape(nil)
		until(t, s, tp)
		want, err := catalog.Tables(t.Context(), conn, func(db, _ string) bool { return db == r.db })
		if err != nil {
			t.Fatal(err)
		}
		got := s.Tables()
		if !slices.EqualFunc(got, want, func(a, b *schema.Table) bool { return a.ID() == b.ID() }) {
			t.Fatalf("after %s\nhave %s\nwant %s\n%v", q, tablesText(got), tablesText(want), r.reports)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.reports) > 0 {
		t.Errorf("reports %v", r.reports)
	}
}

func tablesText(list []*schema.Table) string {
	var b strings.Builder
	for _, t := range list {
		fmt.Fprintf(&b, "\n\t%+v", *t)
	}
	return b.String()
}

// A table that comes from where nobody looked has no known shape: the log may
// tell it, else the table is stopped.
func TestUnknownShape(t *testing.T) {
	for _, full := range []bool{false, true} {
		t.Run(fmt.Sprintf("full %v", full), func(t *testing.T) {
			flag := map[bool]string{true: "FULL", false: "MINIMAL"}[full]
			r := newRig(t, mysqltest.Start(t, mysqltest.Flags("--binlog-row-metadata="+flag)))
			s := r.open(t, nil, nil)
			r.exec(t, "CREATE TABLE u (id INT PRIMARY KEY); CREATE DATABASE elsewhere; CREATE TABLE elsewhere.t (id INT PRIMARY KEY, v INT); INSERT INTO elsewhere.t VALUES (1, 1); "+
				"RENAME TABLE elsewhere.t TO t; INSERT INTO t VALUES (2, 2); UPDATE t SET v = 3; INSERT INTO u VALUES (1)")
			tp := newTape(nil)
			until(t, s, tp)
			if full {
				diff(t, tp.texts(), []string{"s u id int end", "t t", "s t id int,v int reread", "c t (2,2) end", "u t (1,1) (1,3)", "u t (2,2) (2,3) end", "c u (1) end"})
				return
			}
			diff(t, tp.texts(), []string{"s u id int end", "c u (1) end"})
			if got := r.reason("t"); !strings.Contains(got, "RENAME TABLE elsewhere.t") || !strings.Contains(got, "binlog_row_metadata") {
				t.Errorf("the reason is %q", got)
			}
		})
	}
}

// The log may begin or end to tell shapes at any time.
func TestMetadataToggled(t *testing.T) {
	r := newRig(t, mysqltest.Start(t))
	r.exec(t, "CREATE TABLE t (id INT PRIMARY KEY, v INT)")
	s := r.open(t, nil, nil)
	for i := range 4 {
		r.exec(t, fmt.Sprintf("SET GLOBAL binlog_row_metadata = %s; INSERT INTO t (id) VALUES (%d); ALTER TABLE t ADD COLUMN c%d INT; INSERT INTO t (id) VALUES (%d)",
			[]string{"FULL", "MINIMAL"}[i%2], i, i, 100+i))
	}
	tp := newTape(nil)
	until(t, s, tp)
	if len(tp.records) != 12 || r.reason("t") != "" {
		t.Errorf("%q, %s", tp.texts(), r.reason("t"))
	}
}

func TestTaggedGTIDs(t *testing.T) {
	r := newRig(t, mysqltest.Start(t))
	r.exec(t, "CREATE TABLE t (id INT PRIMARY KEY)")
	s := r.open(t, nil, nil)
	all := newTape(nil)
	for i := range 12 {
		tag := []string{"AUTOMATIC", "AUTOMATIC:blue", "AUTOMATIC:red"}[i%3]
		r.exec(t, fmt.Sprintf("SET gtid_next = '%s'; INSERT INTO t VALUES (%d)", tag, i))
		until(t, s, all)
	}
	s.Close()
	if len(all.stops) < 12 || len(all.records) != 12 {
		t.Fatalf("%d positions, %d records", len(all.stops), len(all.records))
	}
	for _, stop := range all.stops {
		resumeAt(t, r, all, stop)
	}
}

// What cannot be asked for by its position is skipped, in file mode.
func TestPositionBeyond32Bits(t *testing.T) {
	r := newRig(t, mysqltest.Start(t, mysqltest.NoGTID()))
	r.exec(t, "CREATE TABLE t (id INT PRIMARY KEY)")
	s := r.open(t, nil, nil)
	all := newTape(nil)
	for i := range 5 {
		r.exec(t, fmt.Sprintf("INSERT INTO t (id) VALUES (%d); ALTER TABLE t ADD COLUMN c%d INT", i, i))
		if i == 3 {
			r.exec(t, "FLUSH BINARY LOGS")
		}
		until(t, s, all)
	}
	s.Close()
	for _, stop := range all.stops {
		s := r.source(t)
		s.settings.maxPos = 100 // as if 32 bits ended there
		if err := s.Open(t.Context(), stop.pos, stop.state); err != nil {
			t.Fatal(err)
		}
		tp := newTape(stop.state)
		until(t, s, tp)
		s.Close()
		diff(t, tp.texts(), all.texts()[stop.records:])
	}
}

// Rows larger than a packet of the protocol come whole.
func TestLargeRows(t *testing.T) {
	r := newRig(t, mysqltest.Start(t, mysqltest.Flags("--max-allowed-packet=1G")))
	r.exec(t, "CREATE TABLE t (id INT PRIMARY KEY, v LONGBLOB)")
	s := r.open(t, nil, nil)
	sizes := []int{1 << 20, 1<<24 - 100, 1 << 24, 20 << 20, 40 << 20}
	var q strings.Builder
	for i, n := range sizes {
		fmt.Fprintf(&q, "INSERT INTO t VALUES (%d, REPEAT(CHAR(65 + %d), %d));", i, i, n)
	}
	r.exec(t, q.String())
	head, err := s.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var b connect.Batch
	next := 0
	for b.Pos == nil || !Covers(b.Pos, head) {
		b.Reset()
		if err := s.Read(t.Context(), &b); err != nil {
			t.Fatal(err)
		}
		for i := range b.Records {
			v := b.Records[i].After[1].Bytes()
			if len(v) != sizes[next] || strings.Trim(string(v), string(rune('A'+next))) != "" {
				t.Errorf("row %d has %d bytes, want %d", next, len(v), sizes[next])
			}
			next++
		}
	}
	if next != len(sizes) {
		t.Errorf("%d rows, want %d", next, len(sizes))
	}
}

// A replica goes on where its source was, in GTID mode; the epoch tells.
func TestAnotherServer(t *testing.T) {
	a, b := mysqltest.Start(t), mysqltest.Start(t)
	r := newRig(t, a)
	r.exec(t, "CREATE TABLE t (id INT PRIMARY KEY)")
	s := r.open(t, nil, nil)
	tp := newTape(nil)
	r.exec(t, "INSERT INTO t VALUES (1)")
	until(t, s, tp)
	s.Close()
	r.exec(t, "INSERT INTO t VALUES (2); ALTER TABLE t ADD COLUMN v INT; INSERT INTO t VALUES (3, 3)")
	feed(t, a, b, "")
	caughtUp(t, a, b)
	r.moveTo(b)
	last := tp.stops[len(tp.stops)-1]
	s = r.open(t, last.pos, last.state)
	r.exec(t, "INSERT INTO t VALUES (4, 4)")
	until(t, s, tp)
	diff(t, tp.texts(), []string{"c t (1) end", "c t (2) end", "s t id int,v int end", "c t (3,3) end", "c t (4,4) end"})
	if got, want := tp.records[4].seq, uint64(1)<<connect.SeqEpochShift+4; got != want {
		t.Errorf("the last change has seq %x, want %x", got, want)
	}
	s.Close()

	// What only the new server has must not be passed over on the old one.
	r.srv, r.values[optPort] = a, fmt.Sprint(a.Port)
	last = tp.stops[len(tp.stops)-1]
	s = r.source(t)
	s.settings.commitWait = time.Second
	if err := s.Open(t.Context(), last.pos, last.state); !connect.IsPermanent(err) || !strings.Contains(err.Error(), "are not on server") {
		t.Fatal(err)
	}
}

func TestAnotherServerByFile(t *testing.T) {
	a, b := mysqltest.Start(t, mysqltest.NoGTID()), mysqltest.Start(t, mysqltest.NoGTID())
	r := newRig(t, a)
	s := r.open(t, nil, nil)
	tp := newTape(nil)
	until(t, s, tp)
	r.values[optPort] = fmt.Sprint(b.Port)
	if err := r.source(t).Open(t.Context(), tp.stops[0].pos, tp.entries()); err == nil || !connect.IsPermanent(err) || !strings.Contains(err.Error(), "mean nothing on another server") {
		t.Fatal(err)
	}
}
