package jdbc

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/connect/connecttest"
	"github.com/towline/towline/e2e/mysqltest"
	"github.com/towline/towline/offsets"
	"github.com/towline/towline/schema"
)

func mustTable(t testing.TB, x *schema.Table) *schema.Table {
	t.Helper()
	out, err := schema.New(x)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// users is a table with a unique key beside its key.
func users(t testing.TB) *schema.Table {
	return mustTable(t, &schema.Table{Database: "shop", Name: "users", Columns: []schema.Column{
		{Name: "id", Type: schema.TypeInt}, {Name: "mail", Type: schema.TypeVarchar, Length: 20, Charset: "utf8mb4", Collation: "utf8mb4_0900_ai_ci", Nullable: true},
		{Name: "n", Type: schema.TypeInt, Nullable: true},
	}, Key: []int{0}, Primary: true, Unique: [][]int{{1}}})
}

func dump(t testing.TB, srv *mysqltest.Server, query string) string {
	t.Helper()
	var lines []string
	for _, r := range srv.Query(t, query) {
		lines = append(lines, strings.Join(r, ","))
	}
	return strings.Join(lines, " ")
}

func expect(t testing.TB, srv *mysqltest.Server, query, want string) {
	t.Helper()
	if got := dump(t, srv, query); got != want {
		t.Errorf("%s:\n got %s\nwant %s", query, got, want)
	}
}

func TestUniqueValuesMoveBetweenRows(t *testing.T) {
	srv := mysqltest.Shared(t)
	db := srv.CreateDB(t)
	s := openTest(t, srv.DSN(db))
	u := users(t)
	var f feed
	f.write(t, s, insert(u, 1, "a", 0), insert(u, 2, "b", 0), insert(u, 3, "c", 0))
	srv.Exec(t, "ALTER TABLE "+db+".users ADD own INT DEFAULT 5")
	f.write(t, s, // a ring of three by way of a fourth value, a value freed by a delete, a move of the key
		update(u, 1, "a", 0, 1, "x", 0), update(u, 2, "b", 0, 2, "a", 1), update(u, 3, "c", 0, 3, "b", 2), update(u, 1, "x", 0, 1, "c", 3))
	expect(t, srv, "SELECT id, mail, n FROM "+db+".users ORDER BY id", "1,c,3 2,a,1 3,b,2")
	f.write(t, s, remove(u, 1, "c", 3), insert(u, 9, "c", 3), insert(u, 10, "z", 1), update(u, 2, "a", 1, 2, "a", 7))
	expect(t, srv, "SELECT id, mail, n FROM "+db+".users ORDER BY id", "2,a,7 3,b,2 9,c,3 10,z,1")
	expect(t, srv, "SELECT `offset`, idx, lanes, lane, epoch FROM "+db+"._towline_offsets WHERE topic = 'topic'", "11,0,1,0,3")
}

func TestTrueConflictNamesItsRecord(t *testing.T) {
	srv := mysqltest.Shared(t)
	db := srv.CreateDB(t)
	s := openTest(t, srv.DSN(db))
	u := users(t)
	var f feed
	f.write(t, s, insert(u, 1, "a", 0), insert(u, 2, "b", 0))
	srv.Exec(t, "INSERT INTO "+db+".users VALUES (50, 'taken', 1)")
	err := f.try(s, insert(u, 3, "c", 0), insert(u, 4, "taken", 0), update(u, 1, "a", 0, 1, "b", 0), update(u, 2, "b", 0, 2, "taken", 0), update(u, 2, "taken", 0, 2, "e", 1))
	failed := failures(t, err)
	// Record 3 fails, and so does record 2 where 2 kept b; the last change of
	// row 2 makes b free again, which the outcome shows.
	if failed != "1" {
		t.Errorf("records %s failed: %v", failed, err)
	}
	expect(t, srv, "SELECT id, mail, n FROM "+db+".users ORDER BY id", "1,b,0 2,e,1 3,c,0 50,taken,1")
	expect(t, srv, "SELECT `offset` FROM "+db+"._towline_offsets WHERE topic = 'topic'", "2")
	if err := s.Write(t.Context(), &connect.Batch{State: state(f.next)}); err != nil {
		t.Fatal(err)
	}
	expect(t, srv, "SELECT `offset` FROM "+db+"._towline_offsets WHERE topic = 'topic'", "7")
	// An update that fails leaves the row as it was.
	if failed := failures(t, f.try(s, update(u, 1, "b", 0, 1, "taken", 4))); failed != "0" {
		t.Errorf("records %s failed", failed)
	}
	expect(t, srv, "SELECT id, mail, n FROM "+db+".users WHERE id = 1", "1,b,0")
}

func failures(t testing.TB, err error) string {
	t.Helper()
	var be *connect.BatchError
	if !errors.As(err, &be) {
		t.Fatalf("got %v, want a BatchError", err)
	}
	var out []string
	for _, f := range be.Failed {
		out = append(out, fmt.Sprint(f.Index))
	}
	return strings.Join(out, ",")
}

func plain(t testing.TB, name string, key bool) *schema.Table {
	x := &schema.Table{Database: "shop", Name: name, Columns: []schema.Column{
		{Name: "id", Type: schema.TypeInt}, {Name: "s", Type: schema.TypeVarchar, Length: 20, Charset: "utf8mb4", Collation: "utf8mb4_0900_ai_ci", Nullable: true}}}
	if key {
		x.Key, x.Primary = []int{0}, true
	}
	return mustTable(t, x)
}

func TestBadRecordsAreFound(t *testing.T) {
	srv := mysqltest.Shared(t)
	for _, key := range []bool{true, false} {
		db := srv.CreateDB(t)
		srv.Exec(t, "CREATE TABLE "+db+".p (id INT "+map[bool]string{true: "PRIMARY KEY"}[key]+", s VARCHAR(5), CHECK (id <> 13))")
		s := openTest(t, srv.DSN(db), "schema.evolution", "none")
		p := plain(t, "p", key)
		var f feed
		var recs []connect.Record
		for i := range 100 {
			recs = append(recs, insert(p, i, "ok"))
		}
		recs[13] = insert(p, 13, "check")
		recs[40] = insert(p, 40, "too long")
		recs[41] = insert(p, 41, "ab      ")
		recs = append(recs, update(p, 7, "ok", 7, "fine"), update(p, 7, "fine", 7, "too long again"), update(p, 8, "ok", 8, "much too long"), update(p, 8, "much too long", 8, "right"))
		err := f.try(s, recs...)
		want := "13,40,41,101" // of row 8 only the outcome counts
		if !key {
			want = "13,40,41,101,102,103" // and here record 103 has no row as it was
		}
		if got := failures(t, err); got != want {
			t.Errorf("key %v: records %s failed, want %s: %v", key, got, want, err)
		}
		var be *connect.BatchError
		errors.As(err, &be)
		if text := be.Failed[1].Err.Error(); !strings.Contains(text, "column `s`") || !strings.Contains(text, db+".p") {
			t.Errorf("the error does not say where: %s", text)
		}
		row8 := map[bool]string{true: "right", false: "ok"}[key]
		expect(t, srv, "SELECT COUNT(*) FROM "+db+".p", "97")
		expect(t, srv, "SELECT id, s FROM "+db+".p WHERE id IN (7, 8) ORDER BY id", "7,fine 8,"+row8)
	}
}

func TestSinksFenceEachOther(t *testing.T) {
	srv := mysqltest.Shared(t)
	db := srv.CreateDB(t)
	p := plain(t, "p", true)
	old := openTest(t, srv.DSN(db))
	var f feed
	f.write(t, old, insert(p, 1, "old"))
	young := openTest(t, srv.DSN(db))
	if err := f.try(old, insert(p, 2, "late")); !errors.Is(err, connect.ErrFenced) {
		t.Fatalf("got %v, want ErrFenced", err)
	}
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	f.write(t, young, insert(p, 3, "young"))
	expect(t, srv, "SELECT id, s FROM "+db+".p ORDER BY id", "1,old 3,young")
}

func TestLanesAreTakenOverWhenEven(t *testing.T) {
	srv := mysqltest.Shared(t)
	db := srv.CreateDB(t)
	var f feed
	p := plain(t, "p", true)
	lanes := make([]*Sink, 2)
	for i := range lanes {
		lanes[i] = newTestSink(t, srv.DSN(db), i, 2)
		if e := open(t, lanes[i]); e == nil || len(e) != 0 {
			t.Fatalf("a new lane has %v", e)
		}
	}
	f.write(t, lanes[0], insert(p, 1, "a"))
	if _, err := newTestSink(t, srv.DSN(db), 0, 3).openAndClose(t); !connect.IsPermanent(err) || !strings.Contains(err.Error(), "lanes=2") {
		t.Fatalf("got %v, want an error that names lanes=2", err)
	}
	for i := range lanes { // the failed attempt has left the claims alone
		if err := lanes[i].Write(t.Context(), &connect.Batch{State: state(f.next)}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 3 {
		entries, err := newTestSink(t, srv.DSN(db), i, 3).openAndClose(t)
		if err != nil || len(entries) != 1 || string(entries[0].Pos) != string(offsets.Mark{Offset: 1}.Position()) {
			t.Fatalf("lane %d of 3: %v, %v", i, entries, err)
		}
	}
	for i := range lanes {
		if err := lanes[i].Write(t.Context(), &connect.Batch{State: state(9)}); !errors.Is(err, connect.ErrFenced) {
			t.Fatalf("lane %d of 2: got %v, want ErrFenced", i, err)
		}
	}
	if entries, err := newTestSink(t, srv.DSN(db), 0, 1).openAndClose(t); err != nil || len(entries) != 1 {
		t.Fatalf("%v, %v", entries, err)
	}
}

func TestLanesOfAnotherSplitAreTakenOverWhenEven(t *testing.T) {
	srv := mysqltest.Shared(t)
	db := srv.CreateDB(t)
	var f feed
	lanes := make([]*Sink, 2)
	for i := range lanes {
		lanes[i] = newTestSink(t, srv.DSN(db), i, 2)
		open(t, lanes[i])
	}
	f.write(t, lanes[0], insert(plain(t, "p", true), 1, "a"))
	srv.Exec(t, "UPDATE "+db+"._towline_offsets SET idx = idx - 1 WHERE `partition` < 0")
	if _, err := newTestSink(t, srv.DSN(db), 0, 2).openAndClose(t); !connect.IsPermanent(err) || !strings.Contains(err.Error(), "another version") {
		t.Fatalf("got %v, want an error that names another version", err)
	}
	if err := lanes[1].Write(t.Context(), &connect.Batch{State: state(f.next)}); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time nothing is to be taken over
		for i := range lanes {
			entries, err := newTestSink(t, srv.DSN(db), i, 2).openAndClose(t)
			if err != nil || len(entries) != 1 || string(entries[0].Pos) != string(offsets.Mark{Offset: 1}.Position()) {
				t.Fatalf("lane %d: %v, %v", i, entries, err)
			}
		}
	}
	expect(t, srv, "SELECT COUNT(DISTINCT idx), MAX(idx) FROM "+db+"._towline_offsets WHERE task >= 0 AND `partition` < 0", fmt.Sprintf("1,%d", connect.LaneSplit))
}

func (s *Sink) openAndClose(t testing.TB) ([]offsets.Entry, error) {
	defer s.Close()
	return s.Open(t.Context())
}

func TestTransactionStaysWholeOverWrites(t *testing.T) {
	srv := mysqltest.Shared(t)
	db := srv.CreateDB(t)
	srv.Exec(t, "CREATE TABLE "+db+".p (id INT PRIMARY KEY, s VARCHAR(20))")
	p := plain(t, "p", true)
	s := openTest(t, srv.DSN(db))
	var f feed
	for i := range 3 {
		b := f.batch(insert(p, 10*i, "x"), insert(p, 10*i+1, "y"))
		if i == 1 {
			b.Records[1] = insert(p, 11, strings.Repeat("z", 21)) // fails, alone
		}
		err := s.Write(t.Context(), b)
		if i == 1 && failures(t, err) != "1" || i != 1 && err != nil {
			t.Fatal(err)
		}
	}
	expect(t, srv, "SELECT COUNT(*) FROM "+db+".p", "0")
	if err := s.Write(t.Context(), &connect.Batch{State: state(f.next)}); err != nil {
		t.Fatal(err)
	}
	expect(t, srv, "SELECT GROUP_CONCAT(id ORDER BY id) FROM "+db+".p", "0,1,10,20,21")
	// A connection that breaks takes the transaction with it.
	if err := s.Write(t.Context(), f.batch(insert(p, 30, "x"))); err != nil {
		t.Fatal(err)
	}
	killSessions(t, srv)
	if err := f.try(s, insert(p, 31, "x")); err == nil || connect.IsPermanent(err) {
		t.Fatalf("got %v, want an error to retry", err)
	}
	_ = s.Close()
	if entries := open(t, s); string(entries[0].Pos) != string(offsets.Mark{Offset: 6}.Position()) {
		t.Fatalf("%v", entries)
	}
	f.write(t, s, insert(p, 40, "x"))
	expect(t, srv, "SELECT GROUP_CONCAT(id ORDER BY id) FROM "+db+".p", "0,1,10,20,21,40")
}

// TestFailureBeforeSendingKeepsEarlierWrites has the last of three Writes of a
// transaction fail before anything of it was sent.
func TestFailureBeforeSendingKeepsEarlierWrites(t *testing.T) {
	srv := mysqltest.Shared(t)
	db := srv.CreateDB(t)
	srv.Exec(t, "CREATE TABLE "+db+".p (id INT PRIMARY KEY, s VARCHAR(20))")
	p := mustTable(t, &schema.Table{Database: "shop", Name: "p", Key: []int{0}, Primary: true, Columns: []schema.Column{
		{Name: "id", Type: schema.TypeInt}, {Name: "s", Type: schema.TypeVarchar, Length: 40, Charset: "utf8mb4", Collation: "utf8mb4_0900_ai_ci"}}})
	s := openTest(t, srv.DSN(db), "schema.evolution", "none")
	var f feed
	for i := range 3 {
		text := "x"
		if i == 2 {
			text = strings.Repeat("z", 21)
		}
		if err := s.Write(t.Context(), f.batch(insert(p, i, text))); err != nil && (i < 2 || failures(t, err) != "0") {
			t.Fatal(err)
		}
	}
	if err := s.Write(t.Context(), &connect.Batch{State: state(f.next)}); err != nil {
		t.Fatal(err)
	}
	expect(t, srv, "SELECT GROUP_CONCAT(id ORDER BY id) FROM "+db+".p", "0,1")
}

// killSessions ends the sessions of sinks, which have no default database, and
// waits until they are gone. It asks for no command: a session is not asleep
// at once when its client has the answer.
func killSessions(t testing.TB, srv *mysqltest.Server) {
	t.Helper()
	const those = " FROM information_schema.processlist WHERE db IS NULL AND id <> CONNECTION_ID() AND user <> 'event_scheduler'"
	var ids []string
	for _, r := range srv.Query(t, "SELECT id"+those) {
		ids = append(ids, r[0])
		_, _ = srv.DB().Exec("KILL " + r[0]) // it may be gone
	}
	if len(ids) == 0 {
		t.Fatal("no session of a sink to kill")
	}
	for n := "1"; n != "0"; n = srv.Query(t, "SELECT COUNT(*)"+those+" AND id IN ("+strings.Join(ids, ",")+")")[0][0] {
	}
}

func TestTruncateAndSchemaInTheMiddle(t *testing.T) {
	srv := mysqltest.Shared(t)
	for _, lanes := range []int{1, 4} {
		db := srv.CreateDB(t)
		s := newTestSink(t, srv.DSN(db), 0, lanes)
		open(t, s)
		p, q := plain(t, "p", true), plain(t, "q", false)
		wide := *p
		wide.Columns = append(append([]schema.Column(nil), p.Columns...), schema.Column{Name: "w", Type: schema.TypeInt, Nullable: true})
		wide.Columns[1].Length, wide.Columns[0].Type = 40, schema.TypeBigInt
		w := mustTable(t, &wide)
		var f feed
		f.write(t, s, insert(p, 1, "gone"), insert(q, 1, "one"))
		b := f.batch(insert(q, 2, "two"), insert(p, 2, "gone"), connect.Record{Op: connect.OpTruncate, Table: p}, insert(p, 3, "three"),
			connect.Record{Op: connect.OpSchema, Table: w}, insert(w, 4, strings.Repeat("w", 40), 7), insert(q, 3, "three"))
		if lanes == 1 {
			b.State = state(f.next)
		}
		if err := s.Write(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		expect(t, srv, "SELECT id, s, w FROM "+db+".p ORDER BY id", "3,three,NULL 4,"+strings.Repeat("w", 40)+",7")
		expect(t, srv, "SELECT id FROM "+db+".q ORDER BY id", "1 2 3")
		// A kill now: with several lanes the records come again.
		_ = s.Close()
		mark := int64(map[int]int{1: 9, 4: 2}[lanes])
		if e := open(t, s); string(e[0].Pos) != string(offsets.Mark{Offset: mark}.Position()) {
			t.Fatalf("lanes %d: %v", lanes, e)
		}
		if lanes == 4 {
			b.State = state(f.next)
			if err := s.Write(t.Context(), b); err != nil {
				t.Fatal(err)
			}
		}
		f.write(t, s, insert(q, 4, "four"))
		expect(t, srv, "SELECT id FROM "+db+".q ORDER BY id", "1 2 3 4")
		expect(t, srv, "SELECT COUNT(*) FROM "+db+".p", "2")
	}
}

func TestOddNames(t *testing.T) {
	srv := mysqltest.Shared(t)
	odd := "t`a.b 'c\" \\ ü 表"
	x := mustTable(t, &schema.Table{Database: "db`x" + srv.CreateDB(t)[:20], Name: odd, Columns: []schema.Column{
		{Name: "a`b", Type: schema.TypeInt}, {Name: "c.d 'e'", Type: schema.TypeInt}, {Name: "select", Type: schema.TypeInt, Nullable: true},
		{Name: "en", Type: schema.TypeEnum, Elements: []string{"it's", "a,b", `\`, "中"}, Charset: "utf8mb4", Nullable: true}}, Key: []int{0, 1}, Primary: true, Unique: [][]int{{2}}})
	s := openTest(t, srv.DSN(""), "offsets.table", dump(t, srv, "SELECT 'x'")+"_off.o")
	t.Cleanup(func() {
		_, _ = srv.DB().Exec("DROP DATABASE " + quoted(x.Database) + "; DROP DATABASE x_off")
	})
	var f feed
	e := schema.MakeNum(schema.Enum, 3)
	f.write(t, s, insert(x, 1, 2, 3, e), insert(x, 2, 2, 4, e))
	f.write(t, s, update(x, 1, 2, 3, e, 1, 2, 4, e), update(x, 2, 2, 4, e, 2, 2, 3, e))
	f.write(t, s, insert(x, 5, 5, 5, e), remove(x, 1, 2, 4, e))
	expect(t, srv, "SELECT `a``b`, `c.d 'e'`, `select`, en FROM "+name{x.Database, odd}.quoted()+" ORDER BY 1", `2,2,3,\ 5,5,5,\`)
}

func TestEvolution(t *testing.T) {
	srv := mysqltest.Shared(t)
	db := srv.CreateDB(t)
	srv.Exec(t, "CREATE TABLE "+db+".p (old INT NOT NULL, s VARCHAR(4) NOT NULL DEFAULT 'it''s' COMMENT 'the ''s''', id SMALLINT UNSIGNED, e ENUM('a','b') DEFAULT 'b', "+
		"d DECIMAL(5,2) DEFAULT 1.5, ts TIMESTAMP DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP, PRIMARY KEY (id))")
	p := mustTable(t, &schema.Table{Database: "shop", Name: "p", Columns: []schema.Column{{Name: "ID", Type: schema.TypeInt},
		{Name: "s", Type: schema.TypeVarchar, Length: 10, Charset: "utf8mb4", Collation: "utf8mb4_0900_ai_ci", Nullable: true},
		{Name: "e", Type: schema.TypeEnum, Elements: []string{"c", "a"}, Charset: "utf8mb4", Nullable: true},
		{Name: "d", Type: schema.TypeDecimal, Precision: 6, Scale: 4, Nullable: true}, {Name: "ts", Type: schema.TypeTimestamp, Scale: 3, Nullable: true}}, Key: []int{0}})
	row := []any{-5, "longer", schema.MakeNum(schema.Enum, 1), schema.MakeDecimal(123456, 4), schema.MakeTimestamp(1_600_000_000_123_000, 3)}
	var f feed
	for _, mode := range []string{"none", "validate-only"} {
		s := openTest(t, srv.DSN(db), "schema.evolution", mode)
		err := f.try(s, insert(p, row...))
		if !connect.IsPermanent(err) || mode == "validate-only" && !strings.Contains(err.Error(), "ALTER TABLE") {
			t.Fatalf("%s: %v", mode, err)
		}
		_ = s.Close()
	}
	s := openTest(t, srv.DSN(db))
	f.write(t, s, insert(p, row...))
	expect(t, srv, "SELECT old, s, id, e, d, ts FROM "+db+".p", "NULL,longer,-5,c,12.3456,2020-09-13 12:26:40.123")
	expect(t, srv, "SELECT COLUMN_NAME, COLUMN_TYPE, IS_NULLABLE, COLUMN_DEFAULT, COLUMN_COMMENT, EXTRA FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = '"+db+"' AND TABLE_NAME = 'p' ORDER BY ORDINAL_POSITION",
		"old,int,YES,NULL,, s,varchar(10),YES,it's,the 's', id,int,NO,NULL,, e,enum('a','b','c'),YES,b,, d,decimal(7,4),YES,1.5000,, "+
			"ts,timestamp(3),YES,CURRENT_TIMESTAMP(3),,DEFAULT_GENERATED on update CURRENT_TIMESTAMP(3)")
}

// TestKeysThatMoveAreRefused: a table that is there is not given another key
// by adding columns; its rows would have none.
func TestKeysThatMoveAreRefused(t *testing.T) {
	srv := mysqltest.Shared(t)
	db := srv.CreateDB(t)
	srv.Exec(t, "CREATE TABLE "+db+".k (id INT PRIMARY KEY, v INT); INSERT INTO "+db+".k VALUES (1, 1)")
	renamed := mustTable(t, &schema.Table{Database: "shop", Name: "k", Columns: []schema.Column{{Name: "id2", Type: schema.TypeInt}, {Name: "v", Type: schema.TypeInt}}, Key: []int{0}, Primary: true})
	var f feed
	s := openTest(t, srv.DSN(db))
	if err := f.try(s, insert(renamed, 7, 7)); !connect.IsPermanent(err) || !strings.Contains(err.Error(), "id2") {
		t.Fatalf("a renamed key passes: %v", err)
	}
	_ = s.Close()
	expect(t, srv, "SELECT * FROM "+db+".k", "1,1")
}

// TestRandomWorkload applies random changes in random batches and compares
// the target with a model; it breaks the connection now and then.
func TestRandomWorkload(t *testing.T) {
	srv := mysqltest.Shared(t)
	seed := connecttest.Seed(t)
	rnd := rand.New(rand.NewPCG(seed, 1))
	db := srv.CreateDB(t)
	s := openTest(t, srv.DSN(db), "batch.size", "7")
	w := workload{rnd: rnd, u: users(t), k: plain(t, "k", false), rows: map[int][2]any{}, bag: []int{}}
	var log []connect.Record
	for range 400 {
		log = append(log, w.step()...)
	}
	for i := range log {
		log[i].Offset, log[i].Topic = int64(i), "topic"
	}
	whole := false
	for at := 0; at < len(log); {
		n := min(1+rnd.IntN(40), len(log)-at)
		b := connect.Batch{Records: log[at : at+n]}
		if whole = rnd.IntN(4) == 0; !whole || at+n == len(log) {
			b.State = state(int64(at + n))
		}
		if rnd.IntN(6) == 0 {
			killSessions(t, srv)
		}
		if err := s.Write(t.Context(), &b); err == nil {
			at += n
			continue
		} else if be := new(connect.BatchError); errors.As(err, &be) || connect.IsPermanent(err) {
			t.Fatal(err)
		}
		_ = s.Close()
		at = 0
		for _, e := range open(t, s) {
			m, err := offsets.ParseMark(e.Pos)
			if err != nil {
				t.Fatal(err)
			}
			at = int(m.Offset)
		}
	}
	expect(t, srv, "SELECT id, mail, n FROM "+db+".users ORDER BY id", w.users())
	expect(t, srv, "SELECT id, COUNT(*) FROM "+db+".k GROUP BY id ORDER BY id", w.counts())
}

// workload is a model of two tables: users, and a bag of numbers without a key.
type workload struct {
	rnd  *rand.Rand
	u, k *schema.Table
	rows map[int][2]any
	bag  []int
}

func (w *workload) step() []connect.Record {
	id := w.rnd.IntN(12)
	row, there := w.rows[id]
	switch w.rnd.IntN(8) {
	case 0, 1, 2:
		if there {
			next := [2]any{row[0], w.rnd.IntN(100)}
			if w.rnd.IntN(2) == 0 {
				next[0] = w.freeMail()
			}
			w.rows[id] = next
			return []connect.Record{update(w.u, id, row[0], row[1], id, next[0], next[1])}
		}
		w.rows[id] = [2]any{w.freeMail(), w.rnd.IntN(100)}
		return []connect.Record{insert(w.u, id, w.rows[id][0], w.rows[id][1])}
	case 3:
		if !there {
			return nil
		}
		delete(w.rows, id)
		return []connect.Record{remove(w.u, id, row[0], row[1])}
	case 4:
		return w.swap(id)
	case 5:
		if other := w.rnd.IntN(12); there && w.rows[other] == ([2]any{}) {
			delete(w.rows, id)
			w.rows[other] = row
			a, b := remove(w.u, id, row[0], row[1]), insert(w.u, other, row[0], row[1])
			a.Flags, b.Flags = connect.KeyMoved, connect.KeyMoved
			return []connect.Record{a, b}
		}
		return nil
	}
	return w.stepBag()
}

// swap exchanges the mails of two rows by way of a third value.
func (w *workload) swap(a int) []connect.Record {
	b := w.rnd.IntN(12)
	x, y := w.rows[a], w.rows[b]
	if a == b || x[0] == nil || y[0] == nil {
		return nil
	}
	tmp := "tmp"
	w.rows[a], w.rows[b] = [2]any{y[0], x[1]}, [2]any{x[0], y[1]}
	return []connect.Record{update(w.u, a, x[0], x[1], a, tmp, x[1]), update(w.u, b, y[0], y[1], b, x[0], y[1]), update(w.u, a, tmp, x[1], a, y[0], x[1])}
}

func (w *workload) freeMail() string {
	for {
		m := fmt.Sprintf("m%d", w.rnd.IntN(20))
		used := false
		for _, r := range w.rows {
			used = used || r[0] == m
		}
		if !used {
			return m
		}
	}
}

func (w *workload) stepBag() []connect.Record {
	n := w.rnd.IntN(5)
	if len(w.bag) == 0 || w.rnd.IntN(2) == 0 {
		w.bag = append(w.bag, n)
		return []connect.Record{insert(w.k, n, "x")}
	}
	i := w.rnd.IntN(len(w.bag))
	old := w.bag[i]
	if w.rnd.IntN(2) == 0 {
		w.bag[i] = n
		return []connect.Record{update(w.k, old, "x", n, "x")}
	}
	w.bag = append(w.bag[:i], w.bag[i+1:]...)
	return []connect.Record{remove(w.k, old, "x")}
}

func (w *workload) users() string {
	var out []string
	for id := range 12 {
		if r, ok := w.rows[id]; ok {
			out = append(out, fmt.Sprintf("%d,%v,%v", id, r[0], r[1]))
		}
	}
	return strings.Join(out, " ")
}

func (w *workload) counts() string {
	var out []string
	for n := range 5 {
		c := 0
		for _, x := range w.bag {
			if x == n {
				c++
			}
		}
		if c > 0 {
			out = append(out, fmt.Sprintf("%d,%d", n, c))
		}
	}
	return strings.Join(out, " ")
}
