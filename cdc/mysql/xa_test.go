package mysql

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/towline/towline/cdc/binlog"
	"github.com/towline/towline/e2e/mysqltest"
	"github.com/towline/towline/offsets"
)

// xaStory has what XA transactions can do; each line is a session of its own.
var xaStory = []string{
	"CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(20)); CREATE TABLE u (id INT PRIMARY KEY, j JSON); INSERT INTO t VALUES (1, 'x'), (2, 'y')",
	"XA START 'a'; INSERT INTO t VALUES (10, 'a'); UPDATE t SET v = 'by a' WHERE id = 1; INSERT INTO u VALUES (1, '{\"k\": \"xxxxxxxxxxxxxxxxxxxxxxxxxxxxx\", \"n\": 1}'); XA END 'a'; XA PREPARE 'a'",
	"INSERT INTO t VALUES (11, 'between')",
	"XA START 'gone'; INSERT INTO t VALUES (12, 'gone'); DELETE FROM t WHERE id = 2; XA END 'gone'; XA PREPARE 'gone'",
	"FLUSH LOGS",
	"XA COMMIT 'a'",
	"XA ROLLBACK 'gone'",
	"UPDATE t SET v = CONCAT(v, '!') WHERE id < 3",
	"XA START 'one'; INSERT INTO t VALUES (13, 'one'); XA END 'one'; XA COMMIT 'one' ONE PHASE",
	"XA START 'empty'; SELECT 1; XA END 'empty'; XA PREPARE 'empty'", "XA COMMIT 'empty'",
	"XA START 'never'; INSERT INTO t VALUES (14, 'never'); XA END 'never'; XA ROLLBACK 'never'",
	"SET binlog_transaction_compression = ON; XA START x'00ff27','br''anch',77; INSERT INTO t VALUES (15, 'packed'); DELETE FROM t WHERE id = 11; XA END x'00ff27','br''anch',77; XA PREPARE x'00ff27','br''anch',77",
	"XA START 'x','1'; INSERT INTO t VALUES (16, 'x1'); XA END 'x','1'; XA PREPARE 'x','1'",
	"XA START 'x','2'; INSERT INTO t VALUES (17, 'x2'); XA END 'x','2'; XA PREPARE 'x','2'",
	"XA COMMIT 'x','2'", "XA COMMIT x'00ff27','br''anch',77",
	"SET binlog_row_value_options = PARTIAL_JSON; XA START 'p'; UPDATE u SET j = JSON_SET(j, '$.n', 2); XA END 'p'; XA PREPARE 'p'",
	"XA COMMIT 'x','1'", "ALTER TABLE t ADD COLUMN w INT; INSERT INTO t VALUES (18, 'later', 1)",
	"XA COMMIT 'p'",
	"XA START 'a'; DELETE FROM t WHERE id = 1; XA END 'a'; XA PREPARE 'a'", "XA COMMIT 'a'", // the same id again
}

var xaTape = []string{
	"s t id int,v varchar end", "s u id int,j json end", "c t (1,x)", "c t (2,y) end",
	"c t (11,between) end",
	"c t (10,a)", "u t (1,x) (1,by a)", `c u (1,{"k": "xxxxxxxxxxxxxxxxxxxxxxxxxxxxx", "n": 1}) end`,
	"u t (1,by a) (1,by a!)", "u t (2,y) (2,y!) end",
	"c t (13,one) end",
	"c t (17,x2) end",
	"c t (15,packed)", "d t (11,between) end",
	"c t (16,x1) end",
	"s t id int,v varchar,w int end", "c t (18,later,1) end",
	`u u (1,{"k": "xxxxxxxxxxxxxxxxxxxxxxxxxxxxx", "n": 1}) (1,{"k": "xxxxxxxxxxxxxxxxxxxxxxxxxxxxx", "n": 2}) end`,
	"d t (1,by a!,NULL) end",
}

// XA transactions come out where they are committed, wherever the reader was
// interrupted, and those that are rolled back do not.
func TestXA(t *testing.T) {
	for _, m := range storyModes {
		t.Run(m.name, func(t *testing.T) {
			r := newRig(t, mysqltest.Start(t, m.opts...))
			s := r.open(t, nil, nil)
			all := newTape(nil)
			for i, line := range xaStory {
				r.exec(t, line)
				if i%3 == 0 {
					until(t, s, all)
				}
			}
			until(t, s, all)
			diff(t, all.texts(), xaTape)
			s.Close()
			for key := range all.state {
				if strings.HasPrefix(key, keyPrepared) && all.state[key] != nil {
					t.Errorf("%s is left in the state", key)
				}
			}
			for _, stop := range all.stops {
				resumeAt(t, r, all, stop)
			}
			checkStopped(t, r, s, nil, "")
		})
	}
}

// What was prepared may be decided after a restart of the server, when the log
// that has it is gone.
func TestXAOutlivesTheLog(t *testing.T) {
	r := newRig(t, mysqltest.Start(t))
	r.exec(t, "CREATE TABLE t (id INT PRIMARY KEY)")
	s := r.open(t, nil, nil)
	tp := newTape(nil)
	r.exec(t, "XA START 'a'; INSERT INTO t VALUES (1); XA END 'a'; XA PREPARE 'a'")
	r.exec(t, "XA START 'b'; INSERT INTO t VALUES (2); XA END 'b'; XA PREPARE 'b'")
	until(t, s, tp)
	s.Close()
	if err := r.srv.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := r.srv.Restart(); err != nil {
		t.Fatal(err)
	}
	last := tp.stops[len(tp.stops)-1]
	s = r.open(t, last.pos, last.state)
	until(t, s, tp)
	s.Close()
	r.purge(t)
	r.exec(t, "XA COMMIT 'b'")
	r.exec(t, "XA ROLLBACK 'a'; INSERT INTO t VALUES (3)")
	last = tp.stops[len(tp.stops)-1]
	s = r.open(t, last.pos, last.state)
	until(t, s, tp)
	diff(t, tp.texts(), []string{"c t (2) end", "c t (3) end"})
}

// Rows that are not at hand when they are committed are read from their
// tables.
func TestXAUnknown(t *testing.T) {
	r := newRig(t, mysqltest.Start(t))
	r.exec(t, "CREATE TABLE t (id INT PRIMARY KEY, v LONGTEXT); CREATE TABLE u (id INT PRIMARY KEY); CREATE TABLE w (id INT PRIMARY KEY)")
	r.exec(t, "XA START 'before'; INSERT INTO t VALUES (1, ''); XA END 'before'; XA PREPARE 'before'")
	found, err := Check(t.Context(), r.config())
	if err != nil || !strings.Contains(whats(found), "1 XA transactions are prepared") {
		t.Errorf("%v, %s", err, whats(found))
	}
	r.values[optTableExclude] = r.db + `\.w`
	s := r.open(t, nil, nil)
	tp := newTape(nil)
	r.exec(t, "INSERT INTO u VALUES (1)")
	r.exec(t, "XA COMMIT 'before'")
	r.exec(t, "XA START 'large'; INSERT INTO t VALUES (2, REPEAT('x', 20000000)), (3, REPEAT('x', 20000000)); DELETE FROM u WHERE id = 1; XA END 'large'; XA PREPARE 'large'")
	r.exec(t, "XA START 'excluded'; INSERT INTO u VALUES (2); INSERT INTO w VALUES (1); XA END 'excluded'; XA PREPARE 'excluded'")
	r.exec(t, "XA COMMIT 'large'; INSERT INTO u VALUES (5)")
	r.exec(t, "XA START 'large'; INSERT INTO t VALUES (4, REPEAT('x', 20000000)), (5, REPEAT('x', 20000000)); XA END 'large'; XA COMMIT 'large' ONE PHASE")
	until(t, s, tp)
	diff(t, tp.texts(), []string{"c u (1) end", "t t", "s t id int,v longtext reread", "t u", "s u id int reread end",
		"t t", "s t id int,v longtext reread", "t u", "s u id int reread end", "c u (5) end", "t t", "s t id int,v longtext reread end"})
	s.Close()
	delete(r.values, optTableExclude)
	last := tp.stops[len(tp.stops)-1]
	r.exec(t, "XA COMMIT 'excluded'")
	s = r.open(t, last.pos, last.state)
	tp = newTape(last.state)
	until(t, s, tp)
	diff(t, tp.texts(), []string{"c u (2)", "t w", "s w id int reread end"})
}

func TestXACodec(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := binlog.XATransaction{Global: rapid.StringN(1, 9, 64).Draw(t, "global"), Branch: rapid.StringN(0, 9, 64).Draw(t, "branch"), FormatID: rapid.Int32().Draw(t, "format")}
		if back, err := parseXID(" " + x.Key()); err != nil || back != x {
			t.Fatalf("%s comes back as %+v, %v", x.Key(), back, err)
		}
		p := &prepared{large: rapid.Bool().Draw(t, "large")}
		for range rapid.IntRange(0, 4).Draw(t, "tables") {
			p.table(tableName{rapid.String().Draw(t, "db"), rapid.String().Draw(t, "table")}).kept = rapid.Bool().Draw(t, "kept")
		}
		for range rapid.IntRange(0, 20).Draw(t, "events") {
			p.append(binlog.WriteRowsEvent, make([]byte, rapid.SampledFrom([]int{0, 10, 3000, preparedPart / 3, preparedPart}).Draw(t, "size")))
		}
		key := xaKey(&x)
		list := p.entries(key)
		if !slices.IsSortedFunc(list, func(a, b offsets.Entry) int { return strings.Compare(a.Key, b.Key) }) {
			t.Fatal("the entries are not in order")
		}
		u := undecided{byKey: map[string]*prepared{}}
		for _, e := range list {
			if err := u.load(e); err != nil {
				t.Fatal(err)
			}
		}
		back := u.byKey[key]
		if back.large != p.large || !slices.Equal(back.tables, p.tables) || back.bytes != p.bytes || u.bytes != p.bytes || back.parts != len(list) ||
			!slices.EqualFunc(back.events, p.events, bytes.Equal) {
			t.Fatalf("%+v came back as %+v", p, back)
		}
		if len(list) > 2 {
			u = undecided{byKey: map[string]*prepared{}}
			if err := u.load(list[1]); err == nil {
				t.Fatal("a part without the first passes")
			}
		}
	})
	for _, text := range []string{"", "X'61'", "X'61',X''", "X'6',X'',1", "a,b,1", "X'61',X'',x", "X'61',X'',99999999999", "'',X'',1"} {
		if x, err := parseXID(text); err == nil {
			t.Errorf("%q is %+v", text, x)
		}
	}
}
