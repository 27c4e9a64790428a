package mysql

import (
	"strings"
	"testing"

	"github.com/towline/towline/e2e/mysqltest"
)

// A temporary table may have the name of a captured one; statements on it do
// not touch that.
func TestTemporaryTables(t *testing.T) {
	for _, m := range storyModes {
		t.Run(m.name, func(t *testing.T) {
			r := newRig(t, mysqltest.Start(t, m.opts...))
			r.exec(t, "CREATE TABLE t (id INT PRIMARY KEY); CREATE TABLE u (id INT PRIMARY KEY); INSERT INTO t VALUES (1)")
			s := r.open(t, nil, nil)
			all := newTape(nil)
			r.exec(t, "CREATE TEMPORARY TABLE t (x INT); INSERT INTO t VALUES (1), (2); TRUNCATE TABLE t; INSERT INTO u SELECT x FROM t; ALTER TABLE t ADD COLUMN y INT; DROP TABLE t; INSERT INTO t VALUES (2)")
			r.exec(t, "SET SESSION binlog_format = STATEMENT; CREATE TEMPORARY TABLE t (x INT); TRUNCATE TABLE t; ALTER TABLE t ADD COLUMN y INT; CREATE INDEX i ON t (y); "+
				"ALTER TABLE t RENAME TO u; TRUNCATE TABLE u; CREATE TEMPORARY TABLE t LIKE u; ALTER TABLE t DROP COLUMN y; DROP TABLE t; TRUNCATE t; TRUNCATE u; DROP TABLE u; TRUNCATE u")
			r.exec(t, "INSERT INTO t VALUES (3); INSERT INTO u VALUES (3)")
			until(t, s, all)
			diff(t, all.texts(), []string{"c t (2) end", "t t end", "t u end", "c t (3) end", "c u (3) end"})
			s.Close()
			for _, stop := range all.stops {
				resumeAt(t, r, all, stop)
			}
			for key, pos := range all.state {
				if strings.HasPrefix(key, keyTemporary) && pos != nil {
					t.Errorf("%s is left in the state", key)
				}
			}
			checkStopped(t, r, s, nil, "")
		})
	}
}

// Temporary tables end with their server, and no statement says so.
func TestTemporaryTablesEndWithTheServer(t *testing.T) {
	r := newRig(t, mysqltest.Start(t))
	r.exec(t, "CREATE TABLE t (id INT PRIMARY KEY)")
	s := r.open(t, nil, nil)
	tp := newTape(nil)
	conn, err := r.srv.DB().Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.ExecContext(t.Context(), "USE "+r.db+"; SET SESSION binlog_format = STATEMENT; CREATE TEMPORARY TABLE t (x INT)"); err != nil {
		t.Fatal(err)
	}
	until(t, s, tp)
	left := func() (n int) {
		for key, pos := range tp.state {
			if strings.HasPrefix(key, keyTemporary) && pos != nil {
				n++
			}
		}
		return n
	}
	if left() != 1 {
		t.Errorf("%d temporary tables are known", left())
	}
	s.Close()
	last := tp.stops[len(tp.stops)-1]
	s = r.open(t, last.pos, last.state) // the first log file again
	r.exec(t, "FLUSH LOGS; INSERT INTO t VALUES (1)")
	until(t, s, tp)
	if left() != 1 {
		t.Errorf("%d temporary tables are known after another start", left())
	}
	s.Close()
	if err := r.srv.Kill(); err != nil {
		t.Fatal(err)
	}
	conn.Close()
	if err := r.srv.Restart(); err != nil {
		t.Fatal(err)
	}
	r.exec(t, "INSERT INTO t VALUES (2)")
	last = tp.stops[len(tp.stops)-1]
	s = r.open(t, last.pos, last.state)
	until(t, s, tp)
	diff(t, tp.texts(), []string{"c t (1) end", "c t (2) end"})
	if left() != 0 {
		t.Errorf("%d temporary tables are known after a start of the server", left())
	}
}

// Whatever engines a transaction mixes, each table comes out as it is.
func TestMixedEngines(t *testing.T) {
	r := newRig(t, mysqltest.Start(t, mysqltest.NoGTID()))
	r.exec(t, "CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(20)); CREATE TABLE m (id INT PRIMARY KEY, v VARCHAR(20)) ENGINE = MyISAM; INSERT INTO t VALUES (1, 'x')")
	s := r.open(t, nil, nil)
	r.exec(t, "BEGIN; INSERT INTO t VALUES (2, 'kept'); SAVEPOINT a; INSERT INTO t VALUES (3, 'gone'); INSERT INTO m VALUES (3, 'stays'); ROLLBACK TO a; INSERT INTO t VALUES (4, 'kept'); RELEASE SAVEPOINT a; COMMIT")
	r.exec(t, "BEGIN; INSERT INTO m VALUES (5, 'first'); INSERT INTO t VALUES (5, 'gone'); UPDATE t, m SET t.v = 'both', m.v = 'both' WHERE t.id = 1 AND m.id = 5; ROLLBACK")
	r.exec(t, "SET binlog_direct_non_transactional_updates = ON; BEGIN; INSERT INTO t VALUES (6, 'gone'); INSERT INTO m SELECT 6, v FROM t WHERE id = 6; ROLLBACK")
	r.exec(t, "XA START 'm'; INSERT INTO t VALUES (7, 'xa'); INSERT INTO m VALUES (7, 'at once'); XA END 'm'; XA PREPARE 'm'; XA COMMIT 'm'")
	r.exec(t, "ALTER TABLE m ENGINE = InnoDB; BEGIN; DELETE FROM m; ROLLBACK; CREATE TABLE sel (PRIMARY KEY (id)) SELECT id, v FROM t ORDER BY id")
	tp := newTape(nil)
	until(t, s, tp)
	diff(t, tp.texts(), []string{"c m (3,stays) end", "c t (2,kept)", "c t (4,kept) end", "c m (5,first) end", "u m (5,first) (5,both) end", "c m (6,gone) end",
		"c m (7,at once) end", "c t (7,xa) end",
		"s sel id int,v varchar", "c sel (1,x)", "c sel (2,kept)", "c sel (4,kept)", "c sel (7,xa) end"})
	checkStopped(t, r, s, nil, "")
}

// Where nobody reads tables anew, one whose rows are not known is stopped and
// not emptied.
func TestNoReread(t *testing.T) {
	r := newRig(t, mysqltest.Start(t))
	r.exec(t, "CREATE TABLE t (id INT PRIMARY KEY); CREATE TABLE u (id INT PRIMARY KEY); CREATE TABLE new (id INT PRIMARY KEY); "+
		"CREATE TABLE p (id INT PRIMARY KEY) PARTITION BY RANGE (id) (PARTITION p0 VALUES LESS THAN (10), PARTITION p1 VALUES LESS THAN (20))")
	s := r.source(t)
	s.NoReread()
	if err := s.Open(t.Context(), nil, nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	r.exec(t, "ALTER TABLE p DROP PARTITION p0; RENAME TABLE u TO old, new TO u; ALTER TABLE t ADD COLUMN v INT NOT NULL DEFAULT 1; TRUNCATE TABLE t")
	tp := newTape(nil)
	until(t, s, tp)
	diff(t, tp.texts(), []string{"s old id int reread", "t new end", "s t id int,v int reread end", "t t end"})
	for table, words := range map[string]string{"p": "DROP PARTITION p0", "u": "RENAME TABLE u TO old"} {
		if reason := r.reason(table); !strings.Contains(reason, words) || !strings.Contains(reason, "snapshot.mode=no_data nothing is copied, so copy the table anew yourself") {
			t.Errorf("table %s is stopped because of %q", table, reason)
		}
	}
}
