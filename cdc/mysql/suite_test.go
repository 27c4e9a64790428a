package mysql

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/towline/towline/cdc/gtid"
	"github.com/towline/towline/connect"
	"github.com/towline/towline/connect/connecttest"
	"github.com/towline/towline/e2e/mysqltest"
	"github.com/towline/towline/offsets"
)

// since is a Source whose beginning is not now but some position.
type since struct {
	*Source
	pos   offsets.Position
	state []offsets.Entry
}

func (s *since) Open(ctx context.Context, from offsets.Position, state []offsets.Entry) error {
	if from == nil {
		from = s.pos
	}
	all := slices.Clone(s.state)
	return s.Source.Open(ctx, from, append(all, state...)) // the later entry wins
}

func TestSuite(t *testing.T) {
	r := newRig(t, mysqltest.Shared(t))
	s := r.open(t, nil, nil)
	start := newTape(nil)
	until(t, s, start)
	s.Close()
	r.exec(t, `CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, v VARCHAR(100), n DECIMAL(30,5)); INSERT INTO t (v, n) VALUES ('a', 1), ('b', 2);
		UPDATE t SET n = n * 10000000000; UPDATE t SET id = id + 10 ORDER BY id DESC; ALTER TABLE t ADD COLUMN w JSON; INSERT INTO t (w) VALUES ('{"a": 1}');
		BEGIN; DELETE FROM t WHERE id = 11; INSERT INTO t (v) SELECT v FROM t; COMMIT; CREATE TABLE u LIKE t; INSERT INTO u SELECT * FROM t; TRUNCATE t`)
	last := start.stops[len(start.stops)-1]
	lost, err := parsePosition(last.pos)
	if err != nil {
		t.Fatal(err)
	}
	lost.gtids = new(gtid.Set)
	lost.gtids.AddInterval(gtid.UUID{1, 2, 3}, "", gtid.Interval{First: 1, Last: commitGroup * 2})
	more := 0
	connecttest.TestSource(t, func(t *testing.T) connecttest.SourceHarness {
		return connecttest.SourceHarness{
			New:    func(t *testing.T) connect.Source { return &since{r.source(t), last.pos, last.state} },
			Covers: Covers,
			More: func(t *testing.T) {
				more++
				r.exec(t, fmt.Sprintf("BEGIN; INSERT INTO u (v) VALUES ('more %d'); DELETE FROM u LIMIT 1; COMMIT", more))
			},
			Lost: lost.append(nil),
		}
	})
}
