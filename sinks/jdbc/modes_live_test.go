package jdbc

import (
	"context"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/e2e/mysqltest"
	"github.com/towline/towline/schema"
)

func TestInsertModes(t *testing.T) {
	srv := mysqltest.Shared(t)
	p := plain(t, "p", true)
	for _, c := range []struct{ opts, want string }{
		{"insert.mode=upsert", "1,c 3,x"},
		{"insert.mode=upsert delete.enabled=false", "1,c 2,b 3,x"},
		{"insert.mode=update", "3,x"},
		{"insert.mode=insert pk.mode=none", "1,a 1,c 2,b 3,old 3,x"},
		{"insert.mode=upsert pk.mode=record_value pk.fields=s", "1,c 3,x"},
		{"insert.mode=upsert field.exclude.list=s", "1,NULL 3,old"},
	} {
		db := srv.CreateDB(t)
		args := []string{"schema.evolution", "none"}
		for _, kv := range strings.Fields(c.opts) {
			k, v, _ := strings.Cut(kv, "=")
			args = append(args, k, v)
		}
		key := "PRIMARY KEY (id)"
		if strings.Contains(c.opts, "pk.mode=none") {
			key = "KEY (id)"
		} else if strings.Contains(c.opts, "pk.fields") {
			key = "UNIQUE KEY (s)"
		}
		srv.Exec(t, "CREATE TABLE "+db+".p (id INT, s VARCHAR(20), "+key+"); INSERT INTO "+db+".p VALUES (3, 'old')")
		s := openTest(t, srv.DSN(db), args...)
		var f feed
		f.write(t, s, insert(p, 1, "a"), update(p, 1, "a", 1, "c"), insert(p, 2, "b"), update(p, 3, "old", 3, "x"), remove(p, 2, "b"))
		if got := dump(t, srv, "SELECT id, s FROM "+db+".p ORDER BY id, s"); got != c.want {
			t.Errorf("%s: got %s, want %s", c.opts, got, c.want)
		}
		_ = s.Close()
	}
}

func TestKeylessRowsAreFoundByTheirCharacters(t *testing.T) {
	srv := mysqltest.Shared(t)
	db := srv.CreateDB(t)
	s := openTest(t, srv.DSN(db))
	p := plain(t, "p", false)
	var f feed
	f.write(t, s, insert(p, 1, "A"), insert(p, 1, "a "), insert(p, 1, "a"), insert(p, 1, "\u00e1"), insert(p, 1, schema.Value{}), insert(p, 1, "a"))
	f.write(t, s, remove(p, 1, "a"), update(p, 1, "a ", 2, "A"), remove(p, 1, schema.Value{}))
	expect(t, srv, "SELECT id, HEX(s) FROM "+db+".p ORDER BY 1, 2", "1,41 1,61 1,C3A1 2,41")
	if got := failures(t, f.try(s, remove(p, 1, "a "), insert(p, 3, "x"))); got != "0" {
		t.Errorf("records %s failed", got)
	}
	expect(t, srv, "SELECT COUNT(*) FROM "+db+".p", "5")
}

func TestExcludedColumnsAreNotMade(t *testing.T) {
	srv := mysqltest.Shared(t)
	db := srv.CreateDB(t)
	s := openTest(t, srv.DSN(db), "field.exclude.list", "mail")
	u := users(t)
	var f feed
	f.write(t, s, insert(u, 1, "a", 1), update(u, 1, "a", 1, 1, "b", 2))
	expect(t, srv, "SELECT * FROM "+db+".users", "1,2")
}

func TestPartialImages(t *testing.T) {
	srv := mysqltest.Shared(t)
	db := srv.CreateDB(t)
	s := openTest(t, srv.DSN(db))
	u := users(t)
	no := schema.MakeAbsent()
	var f feed
	f.write(t, s, insert(u, 1, "a", 1), insert(u, 2, "b", 2), update(u, 1, no, no, 1, no, 5))
	f.write(t, s, update(u, 1, no, no, 1, "z", no), update(u, 2, no, no, 2, no, 9), update(u, 1, no, no, 1, no, 6))
	expect(t, srv, "SELECT id, mail, n FROM "+db+".users ORDER BY id", "1,z,6 2,b,9")
	err := f.try(s, insert(u, 3, "c", 3), update(u, 7, no, no, 7, no, 9), insert(u, 4, no, 9))
	if got := failures(t, err); got != "1,2" {
		t.Errorf("records %s failed: %v", got, err)
	}
	expect(t, srv, "SELECT id, mail, n FROM "+db+".users ORDER BY id", "1,z,6 2,b,9 3,c,3")
}

// TestLanesSideBySide has lanes write keys that lie between each other's, and
// make the table all at once.
func TestLanesSideBySide(t *testing.T) {
	srv := mysqltest.Shared(t)
	db := srv.CreateDB(t)
	const lanes, rounds, perRound = 4, 15, 60
	p := plain(t, "p", true)
	var wg sync.WaitGroup
	for lane := range lanes {
		s := newTestSink(t, srv.DSN(db), lane, lanes)
		open(t, s)
		wg.Go(func() {
			for round := range rounds {
				var b connect.Batch
				for i := range perRound {
					id := (round*perRound/2+i)*lanes + lane
					r := insert(p, id, "x")
					if i%3 == round%3 {
						r = remove(p, id, "x")
					}
					b.Records = append(b.Records, r)
				}
				b.State = state(int64(round))
				if err := s.Write(context.Background(), &b); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	want := 0
	rows := map[int]bool{}
	for round := range rounds {
		for i := range perRound {
			rows[round*perRound/2+i] = i%3 != round%3
		}
	}
	for _, there := range rows {
		if there {
			want += lanes
		}
	}
	var got int
	if err := srv.DB().QueryRow("SELECT COUNT(*) FROM " + db + ".p").Scan(&got); err != nil || got != want {
		t.Errorf("%d rows, want %d, %v", got, want, err)
	}
}

// TestLargeRows goes beyond what fits one statement, and then beyond what the
// server takes at all.
func TestLargeRows(t *testing.T) {
	srv := mysqltest.Shared(t)
	db := srv.CreateDB(t)
	table := mustTable(t, &schema.Table{Database: "shop", Name: "l", Key: []int{0}, Primary: true, Columns: []schema.Column{
		{Name: "id", Type: schema.TypeInt}, {Name: "b", Type: schema.TypeLongBlob}}})
	s := openTest(t, srv.DSN(db))
	s.least = math.MaxInt      // statements: a quote takes two bytes there
	s.main.maxPacket = 3 << 20 // as if it were the server's
	blob := func(n int) schema.Value { return schema.MakeBytes(schema.Bytes, []byte(strings.Repeat("'", n))) }
	var f feed
	var recs []connect.Record
	for i, n := range []int{10, 700 << 10, 1 << 20, 400 << 10, 1400 << 10, 10, 1600 << 10, 900 << 10} {
		recs = append(recs, insert(table, i, blob(n)))
	}
	if got := failures(t, f.try(s, recs...)); got != "6" {
		t.Errorf("records %s failed", got)
	}
	expect(t, srv, "SELECT COUNT(*), SUM(LENGTH(b)) FROM "+db+".l", "7,4530196")
}

func TestTargetTableIsDroppedMeanwhile(t *testing.T) {
	srv := mysqltest.Shared(t)
	db := srv.CreateDB(t)
	s := openTest(t, srv.DSN(db))
	p := plain(t, "p", true)
	var f feed
	f.write(t, s, insert(p, 1, "a"))
	srv.Exec(t, "DROP TABLE "+db+".p")
	f.write(t, s, insert(p, 2, "b"))
	srv.Exec(t, "ALTER TABLE "+db+".p DROP COLUMN s")
	f.write(t, s, insert(p, 3, "c"))
	expect(t, srv, "SELECT id, s FROM "+db+".p ORDER BY id", "2,NULL 3,c")
}

func TestCheck(t *testing.T) {
	srv := mysqltest.Shared(t)
	db := srv.CreateDB(t)
	user := "jdbc_check"
	srv.Exec(t, "DROP USER IF EXISTS "+user+"; CREATE USER "+user+" IDENTIFIED BY 'pw'; GRANT SELECT, INSERT ON "+db+".* TO "+user)
	t.Cleanup(func() { _, _ = srv.DB().Exec("DROP USER " + user) })
	p := Plugin()
	run := func(user, password string) []connect.Finding {
		found, err := p.Check(t.Context(), connect.NewConfig("x", p.Options, map[string]string{
			"connection.url": "jdbc:mysql://" + srv.Addr() + "/" + db, "connection.user": user, "connection.password": password}))
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	found := run(user, "pw")
	if n := len(found); n < 2 || !strings.Contains(found[n-1].What, "UPDATE, DELETE, CREATE, ALTER, DROP") {
		t.Errorf("%+v", found)
	}
	if f := found[len(found)-2]; f.OK || f.Fatal || f.Fix != "GRANT REPLICATION_APPLIER ON *.* TO 'jdbc_check'; GRANT TRIGGER ON `"+db+"`.* TO 'jdbc_check'" {
		t.Errorf("%+v", f)
	}
	small := func(found []connect.Finding) bool {
		return slices.ContainsFunc(found, func(f connect.Finding) bool {
			return strings.Contains(f.What, "binlog_cache_size is 32768") && !f.OK && !f.Fatal
		})
	}
	if !small(found) {
		t.Errorf("nothing about the small cache: %+v", found)
	}
	srv.Exec(t, "SET GLOBAL binlog_cache_size = 8388608")
	t.Cleanup(func() { _, _ = srv.DB().Exec("SET GLOBAL binlog_cache_size = DEFAULT") })
	srv.Exec(t, "GRANT REPLICATION_APPLIER ON *.* TO "+user+"; GRANT TRIGGER ON "+db+".* TO "+user)
	if found := run(user, "pw"); !found[len(found)-2].OK || small(found) {
		t.Errorf("%+v", found)
	}
	if found := run(user, "secret"); len(found) != 1 || !found[0].Fatal || strings.Contains(found[0].What, "secret") {
		t.Errorf("%+v", found)
	}
	s := newTestSink(t, "jdbc:mysql://"+srv.Addr()+"/"+db, 0, 1, "connection.user", user, "connection.password", "secret")
	if _, err := s.openAndClose(t); !connect.IsPermanent(err) || strings.Contains(err.Error(), "secret") {
		t.Errorf("got %v, want a permanent error", err)
	}
}
