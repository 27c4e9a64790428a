package mysql

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/e2e/mysqltest"
	"github.com/towline/towline/offsets"
)

// calm has stretches without a statement that changes a table, and others.
const calm = `
CREATE TABLE a (id INT PRIMARY KEY, v INT);
INSERT INTO a VALUES (1, 1);
INSERT INTO a VALUES (2, 2);
UPDATE a SET v = v + 1;
FLUSH LOGS;
INSERT INTO a VALUES (3, 3);
ALTER TABLE a RENAME COLUMN v TO w;
INSERT INTO a VALUES (4, 4);
BEGIN; INSERT INTO a VALUES (5, 5), (6, 6); DELETE FROM a WHERE id = 1; COMMIT;
DROP TABLE a;
CREATE TABLE b (id INT PRIMARY KEY);
INSERT INTO b VALUES (7)`

// parsed returns a place as it comes over REST.
func parsed(t *testing.T, text string) (place map[string]any) {
	t.Helper()
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	if err := dec.Decode(&place); err != nil {
		t.Fatal(text, err)
	}
	return place
}

// place is where a stop is, by the names that users know.
func (r *rig) place(t *testing.T, pos offsets.Position) map[string]any {
	t.Helper()
	_, at := Fields(r.config(), pos)
	text, err := json.Marshal(at)
	if err != nil {
		t.Fatal(err)
	}
	return parsed(t, string(text))
}

// From each place a source goes to others, or refuses to. Where it went it reads
// what one reads that has come there by itself, with changes that count on.
func TestSeek(t *testing.T) {
	for _, m := range append(slices.Clone(storyModes), storyMode{"mariadb", []mysqltest.Option{mysqltest.MariaDB()}}) {
		t.Run(m.name, func(t *testing.T) {
			r := newRig(t, mysqltest.Start(t, m.opts...))
			s := r.open(t, nil, nil)
			all := newTape(nil)
			for _, statement := range strings.Split(calm, ";\n") { // a stop behind each
				r.exec(t, statement)
				until(t, s, all)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			gone, back := 0, 0
			for i, from := range all.stops {
				for _, j := range []int{i - 4, i - 1, i, i + 1, i + 3} { // near ones and others
					if j < 0 || j >= len(all.stops) {
						continue
					}
					to := all.stops[j]
					moved := r.seek(t, all, from, to)
					between := all.texts()[min(from.records, to.records):max(from.records, to.records)]
					reshaped := strings.Contains(" "+strings.Join(between, " "), " s ") || strings.Contains(" "+strings.Join(between, " "), " t ")
					if !moved && (j > i || !reshaped) && i != j {
						t.Errorf("from stop %d to %d is refused, though nothing changes a table between them: %v", i, j, between)
					}
					if moved && j < i && reshaped {
						t.Errorf("from stop %d back to %d is possible over %v", i, j, between)
					}
					if moved && j > i {
						gone++
					} else if moved && j < i {
						back++
					}
				}
			}
			if gone < 15 || back < 5 {
				t.Errorf("%d ways forward and %d back are possible", gone, back)
			}
		})
	}
}

// newTapeAfter is a tape that begins with a State of which some has changed.
func newTapeAfter(state, changes []offsets.Entry) *tape {
	tp := newTape(state)
	for _, e := range changes {
		tp.state[e.Key] = e.Pos
	}
	return tp
}

// seek moves a source and reads on. It returns whether it could be moved.
func (r *rig) seek(t *testing.T, all *tape, from, to stopAt) bool {
	t.Helper()
	pos, changes, err := r.source(t).Seek(t.Context(), from.pos, from.state, r.place(t, to.pos))
	if err != nil {
		if !connect.IsPermanent(err) || !strings.Contains(err.Error(), "changes what is known of the tables") {
			t.Fatal(err)
		}
		return false
	}
	tp := newTapeAfter(from.state, changes)
	state := tp.entries()
	until(t, r.open(t, pos, state), tp)
	diff(t, tp.texts(), all.texts()[to.records:])
	p, err := parsePosition(from.pos)
	if err != nil {
		t.Fatal(err)
	}
	last := p.seq
	for _, rec := range tp.records {
		if rec.seq < last {
			t.Fatalf("%s has seq %d, and the one before it %d", rec.text, rec.seq, last)
		}
		last = rec.seq
	}
	return true
}

// What is no place is refused, with what one is.
func TestSeekRefused(t *testing.T) {
	for _, m := range []struct {
		name string
		opts []mysqltest.Option
		bad  map[string]string // a place, in JSON, and what is said of it
	}{
		{"gtid", nil, map[string]string{
			`{"file": "binlog.000001", "pos": 4}`:                 `a place of it is {"gtids"`,
			`{"gtids": "x"}`:                                      "gtids:",
			`{"gtids": "$:1-1000000"}`:                            "the server does not have the transactions",
			`{"gtid": "x"}`:                                       `"gtid" is not part of a place`,
			`{"gtids": "", "server_uuid": "1"}`:                   "a place of server 1 means nothing",
			`{"gtids": "$gap"}`:                                   "neither all before",
			`{"gtids": "11111111-1111-1111-1111-111111111111:1"}`: "the server does not have the transactions 11111111",
		}},
		{"file", []mysqltest.Option{mysqltest.NoGTID()}, map[string]string{
			`{"gtids": "$:1"}`:                 `{"file": "binlog.000001", "pos": 157}`,
			`{"file": "nix.000001", "pos": 4}`: "has no place nix.000001:4",
			`{"file": "$f", "pos": 9999999}`:   "has no place",
			`{"file": "$f", "pos": $in}`:       "no place between two transactions",
			`{"file": "$f", "pos": $wrong}`:    "no place between two transactions",
			`{"file": "$f", "pos": "4"}`:       `a place of the source is`,
		}},
	} {
		t.Run(m.name, func(t *testing.T) {
			r := newRig(t, mysqltest.Start(t, m.opts...))
			r.exec(t, "CREATE TABLE a (id INT PRIMARY KEY)")
			s := r.open(t, nil, nil)
			tp := newTape(nil)
			r.exec(t, "INSERT INTO a VALUES (1)")
			until(t, s, tp)
			before := tp.stops[len(tp.stops)-1]
			r.exec(t, "INSERT INTO a VALUES (2)")
			until(t, s, tp)
			s.Close()
			at := tp.stops[len(tp.stops)-1]
			p, err := parsePosition(before.pos)
			if err != nil {
				t.Fatal(err)
			}
			events := r.srv.Query(t, fmt.Sprintf("SHOW BINLOG EVENTS IN '%s' FROM %d LIMIT 2", cmp.Or(p.file, "binlog.000001"), max(p.pos, 4)))
			for place, want := range m.bad {
				place = strings.NewReplacer("$gap", strings.Replace(fmt.Sprint(r.place(t, at.pos)["gtids"]), ":1-", ":2-", 1), "$f", p.file, "$in", fmt.Sprint(events[1][1]), "$wrong", fmt.Sprint(p.pos+1), "$", fmt.Sprint(r.srv.Query(t, "SELECT @@server_uuid")[0][0])).Replace(place)
				if _, _, err := r.source(t).Seek(t.Context(), before.pos, before.state, parsed(t, place)); err == nil || !connect.IsPermanent(err) || !strings.Contains(err.Error(), want) {
					t.Errorf("%s: %v, want %q", place, err, want)
				}
			}
		})
	}
}

// A place that MariaDB's log does not have is refused, whichever way it lies.
func TestSeekRefusedByMariaDB(t *testing.T) {
	r := newRig(t, mysqltest.Start(t, mysqltest.MariaDB(), mysqltest.ServerID(1)))
	r.exec(t, "CREATE TABLE a (id INT PRIMARY KEY); SET gtid_seq_no = 1000; INSERT INTO a VALUES (1)")
	s := r.open(t, nil, nil)
	tp := newTape(nil)
	r.exec(t, "INSERT INTO a VALUES (2)")
	until(t, s, tp)
	at := tp.stops[len(tp.stops)-1]
	s.Close()
	r.exec(t, "INSERT INTO a VALUES (3); SET server_id = 2, gtid_seq_no = 2000; INSERT INTO a VALUES (4); SET server_id = 1; INSERT INTO a VALUES (5); SET gtid_domain_id = 7; INSERT INTO a VALUES (6)")
	for gtids, want := range map[string]string{
		"x":              "gtids:",
		"0-1-5000":       "does not have the transaction 0-1-5000",
		"0-9-1001":       "does not have the transaction 0-9-1001",
		"5-1-1":          "does not have the transaction 5-1-1",
		"0-1-500":        "no place 0-1-500", // a hole, before where it is
		"0-1-1500":       "no place 0-1-1500",
		"0-2-1002":       "no place 0-2-1002", // the other server's
		"0-1-1000,7-1-1": "neither all before",
	} {
		if _, _, err := r.source(t).Seek(t.Context(), at.pos, at.state, map[string]any{"gtids": gtids}); err == nil || !connect.IsPermanent(err) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", gtids, err, want)
		}
	}
	if _, _, err := r.source(t).Seek(t.Context(), at.pos, at.state, map[string]any{"file": "a", "pos": 4}); err == nil || !strings.Contains(err.Error(), `{"gtids": "0-1-100"}`) {
		t.Error(err)
	}
	for gtids, want := range map[string][]string{
		"0-1-1000":       {"c a (2) end", "c a (3) end", "c a (4) end", "c a (5) end", "c a (6) end"},
		"0-2-2000":       {"c a (5) end", "c a (6) end"},
		"0-1-2001":       {"c a (6) end"},
		"0-1-2001,7-1-1": nil,
	} {
		pos, changes, err := r.source(t).Seek(t.Context(), at.pos, at.state, map[string]any{"gtids": gtids})
		if err != nil {
			t.Fatal(gtids, err)
		}
		moved := newTapeAfter(at.state, changes)
		until(t, r.open(t, pos, moved.entries()), moved)
		diff(t, moved.texts(), want)
	}
}
