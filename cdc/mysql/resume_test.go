package mysql

import (
	"fmt"
	"testing"
	"time"

	"github.com/towline/towline/e2e/mysqltest"
)

// story is a series of statements that has everything.
const story = `
CREATE TABLE a (id INT PRIMARY KEY, v VARCHAR(20));
INSERT INTO a VALUES (1, 'x'), (2, 'y');
ALTER TABLE a ADD COLUMN w INT;
INSERT INTO a VALUES (3, 'z', 3);
CREATE TABLE b LIKE a;
BEGIN; INSERT INTO b SELECT * FROM a; UPDATE a SET w = id; COMMIT;
SET SESSION binlog_transaction_compression = ON;
BEGIN; INSERT INTO b VALUES (10, 'packed', 1), (11, 'packed', 2); DELETE FROM b WHERE id = 10; COMMIT;
SET SESSION binlog_transaction_compression = OFF;
ALTER TABLE a RENAME COLUMN v TO u, RENAME COLUMN w TO v;
UPDATE a SET v = v + 1;
FLUSH LOGS;
INSERT INTO a VALUES (4, 'q', 5);
RENAME TABLE a TO c, b TO a;
INSERT INTO a VALUES (20, 'renamed', 1);
TRUNCATE TABLE c;
CREATE TABLE d (id INT PRIMARY KEY) AS SELECT id FROM a;
UPDATE d SET id = id + 100 ORDER BY id DESC;
DROP TABLE a, c;
INSERT INTO d VALUES (7);
ALTER TABLE d MODIFY id BIGINT;
INSERT INTO d VALUES (8);
CREATE TABLE e (id SMALLINT PRIMARY KEY) PARTITION BY RANGE (id) (PARTITION p0 VALUES LESS THAN (10), PARTITION p1 VALUES LESS THAN (20));
INSERT INTO e VALUES (1), (11);
ALTER TABLE e DROP PARTITION p0;
INSERT INTO e VALUES (12)`

// storyTape is what must come of it.
var storyTape = []string{
	"s a id int,v varchar end",
	"c a (1,x)", "c a (2,y) end",
	"s a id int,v varchar,w int end",
	"c a (3,z,3) end",
	"s b id int,v varchar,w int end",
	"c b (1,x,NULL)", "c b (2,y,NULL)", "c b (3,z,3)", "u a (1,x,NULL) (1,x,1)", "u a (2,y,NULL) (2,y,2) end",
	"c b (10,packed,1)", "c b (11,packed,2)", "d b (10,packed,1) end",
	"t a", "s a id int,u varchar,v int reread end", // v is now what w was: names alone do not tell
	"u a (1,x,1) (1,x,2)", "u a (2,y,2) (2,y,3)", "u a (3,z,3) (3,z,4) end",
	"c a (4,q,5) end",
	"t a", "s a id int,v varchar,w int reread", "s c id int,u varchar,v int reread", "t b end",
	"c a (20,renamed,1) end",
	"t c end",
	"s d id int", "c d (1)", "c d (2)", "c d (3)", "c d (11)", "c d (20) end",
	"d d (20) moved", "c d (120) moved", "d d (11) moved", "c d (111) moved", "d d (3) moved", "c d (103) moved",
	"d d (2) moved", "c d (102) moved", "d d (1) moved", "c d (101) moved end",
	"t a", "t c end",
	"c d (7) end",
	"s d id bigint end",
	"c d (8) end",
	"s e id smallint end",
	"c e (1)", "c e (11) end",
	"t e", "s e id smallint reread end",
	"c e (12) end",
}

// storyMode is a server to be read.
type storyMode struct {
	name string
	opts []mysqltest.Option
}

var storyModes = []storyMode{
	{"gtid minimal", nil},
	{"gtid full", []mysqltest.Option{mysqltest.Flags("--binlog-row-metadata=FULL")}},
	{"file minimal", []mysqltest.Option{mysqltest.NoGTID()}},
}

func TestStoryResumedAnywhere(t *testing.T) {
	for _, m := range storyModes {
		t.Run(m.name, func(t *testing.T) {
			r := newRig(t, mysqltest.Start(t, m.opts...))
			s := r.open(t, nil, nil)
			r.exec(t, story)
			all := newTape(nil)
			until(t, s, all)
			diff(t, all.texts(), storyTape)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			for i, stop := range all.stops {
				t.Run(fmt.Sprint(i), func(t *testing.T) { resumeAt(t, r, all, stop) })
			}
		})
	}
}

// resumeAt checks that what follows a stop is the same again.
func resumeAt(t *testing.T, r *rig, all *tape, stop stopAt) {
	tp := newTape(stop.state)
	until(t, r.open(t, stop.pos, stop.state), tp)
	diff(t, tp.texts(), all.texts()[stop.records:])
	for i, rec := range tp.records {
		if want := all.records[stop.records+i].seq; rec.seq != want {
			t.Fatalf("%s has seq %d, had %d", rec.text, rec.seq, want)
		}
	}
}

// What is old is held back for more to come, and comes out when there is none.
func TestOldLogComesToItsEnd(t *testing.T) {
	r := newRig(t, mysqltest.Start(t))
	r.exec(t, "CREATE TABLE t (id INT PRIMARY KEY)")
	s := r.open(t, nil, nil)
	tp := newTape(nil)
	r.exec(t, "INSERT INTO t VALUES (1)")
	until(t, s, tp)
	s.Close()
	r.exec(t, "INSERT INTO t VALUES (2)")
	r.exec(t, "INSERT INTO t VALUES (3)")
	time.Sleep(behindTime + 100*time.Millisecond)
	last := tp.stops[len(tp.stops)-1]
	s = r.open(t, last.pos, last.state)
	until(t, s, tp)
	diff(t, tp.texts(), []string{"c t (1) end", "c t (2) end", "c t (3) end"})
}
