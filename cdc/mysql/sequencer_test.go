package mysql

import (
	"context"
	"encoding/binary"
	"strings"
	"testing"
	"time"

	"github.com/towline/towline/cdc/binlog"
	"github.com/towline/towline/cdc/gtid"
	"github.com/towline/towline/connect"
)

// forge makes the events of a log without checksums.
type forge struct{ pos uint64 }

func (f *forge) event(typ binlog.EventType, flags uint16, body []byte) []byte {
	size := binlog.HeaderSize + len(body)
	f.pos += uint64(size)
	b := binary.LittleEndian.AppendUint32(nil, 1700000000)
	b = append(b, byte(typ))
	b = binary.LittleEndian.AppendUint32(b, 1)
	b = binary.LittleEndian.AppendUint32(b, uint32(size))
	b = binary.LittleEndian.AppendUint32(b, uint32(f.pos))
	b = binary.LittleEndian.AppendUint16(b, flags)
	return append(b, body...)
}

func (f *forge) format() []byte {
	body := append([]byte{4, 0}, make([]byte, 50+4)...)
	copy(body[2:], "9.7.4")
	body = append(append(body, binlog.HeaderSize), make([]byte, 40)...)
	return f.event(binlog.FormatDescriptionEvent, 0, append(body, 0, 0, 0, 0, 0))
}

func (f *forge) query(db, text string) []byte {
	body := append(make([]byte, 8), byte(len(db)))
	body = append(append(body, 0, 0, 0, 0), db...)
	return f.event(binlog.QueryEvent, 0, append(append(body, 0), text...))
}

func (f *forge) xid() []byte { return f.event(binlog.XIDEvent, 0, make([]byte, 8)) }

func forgedSequencer(t *testing.T, f *forge, reports *[]connect.TableStatus) *sequencer {
	s, err := newSettings(connect.NewConfig("forged", Options(), map[string]string{optHost: "h", optPrefix: "p"}))
	if err != nil {
		t.Fatal(err)
	}
	sh := newShapes(s, facts{}, func(n tableName, reason string) {
		*reports = append(*reports, connect.TableStatus{Table: n.String(), State: connect.TableStopped, Reason: reason})
	})
	free := make(chan *job, 50)
	for range cap(free) {
		free <- newJob()
	}
	return &sequencer{s: s, shapes: sh, out: make(chan *job, 50), work: make(chan *job, 50), free: free, stops: newStopBox(),
		targets: map[*binlog.TableMap]*target{}, pos: position{mode: byFile, file: "b.000001", pos: f.pos, gtids: new(gtid.Set)},
		file: "b.000001", offset: f.pos, cur: newJob(), sent: time.Now()}
}

func TestForgedLogs(t *testing.T) {
	for _, c := range []struct {
		name      string
		events    func(f *forge) [][]byte
		err       string
		permanent bool
		stopped   string
	}{
		{"plain", func(f *forge) [][]byte { return [][]byte{f.query("d", "BEGIN"), f.xid()} }, "", false, ""},
		{"incident", func(f *forge) [][]byte {
			return [][]byte{f.event(binlog.IncidentEvent, 0, []byte{1, 0, 4, 'l', 'o', 's', 't'})}
		}, "gap (incident 1: lost)", true, ""},
		{"unknown", func(f *forge) [][]byte { return [][]byte{f.event(99, 0, nil)} }, "does not know (event type 99)", true, ""},
		{"ignorable", func(f *forge) [][]byte { return [][]byte{f.event(99, binlog.FlagIgnorable, nil)} }, "", false, ""},
		{"missing", func(f *forge) [][]byte { f.pos += 7; return [][]byte{f.query("d", "BEGIN")} }, "events are missing", false, ""},
		{"cut", func(f *forge) [][]byte { return [][]byte{f.query("d", "BEGIN"), f.format()} }, "has no end", false, ""},
		{"rollback", func(f *forge) [][]byte { return [][]byte{f.query("d", "BEGIN"), f.query("d", "ROLLBACK")} }, "", false, "rolled back in the log"},
		{"rollback to", func(f *forge) [][]byte {
			return [][]byte{f.query("d", "BEGIN"), f.query("d", "SAVEPOINT `s`"), f.query("d", "ROLLBACK TO `s`"), f.xid()}
		}, "", false, "rolled back in the log"},
		{"broken", func(f *forge) [][]byte { return [][]byte{{1, 2, 3}} }, "has no header", false, ""},
		{"unknown id", func(f *forge) [][]byte {
			return [][]byte{f.query("d", "BEGIN"), f.event(binlog.WriteRowsEvent, 0, []byte{1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1, 1, 0, 0})}
		}, "no TABLE_MAP event", false, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := &forge{pos: 1<<32 - 121} // 32 bits end with the first event
			var reports []connect.TableStatus
			q := forgedSequencer(t, f, &reports)
			events := append([][]byte{f.format()}, c.events(f)...)
			var err error
			for i, e := range events {
				if i == 2 { // within the transaction
					q.tx.hit = append(q.tx.hit, &target{name: tableName{"d", "t"}, captured: true})
				}
				if err == nil {
					err = q.event(context.Background(), e)
				}
			}
			if c.err == "" && err != nil || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err) || connect.IsPermanent(err) != c.permanent) {
				t.Fatalf("%v, want %q", err, c.err)
			}
			if c.stopped == "" && len(reports) > 0 || c.stopped != "" && (len(reports) != 1 || !strings.Contains(reports[0].Reason, c.stopped)) {
				t.Fatalf("reports %v, want %q", reports, c.stopped)
			}
			if c.err == "" && (q.offset != f.pos || q.offset <= 1<<32) {
				t.Errorf("we are at %d, want %d", q.offset, f.pos)
			}
		})
	}
}

// Following transactions costs no memory but that of their batches.
func TestSequencerAllocatesNothing(t *testing.T) {
	f := &forge{pos: 4}
	var reports []connect.TableStatus
	q := forgedSequencer(t, f, &reports)
	var round [][]byte
	if err := q.event(t.Context(), f.format()); err != nil {
		t.Fatal(err)
	}
	for range 200 {
		round = append(round, f.event(binlog.AnonymousGTIDEvent, 0, make([]byte, 25)), f.query("d", "BEGIN"), f.xid())
	}
	i := 0
	if n := testing.AllocsPerRun(100, func() {
		for range 3 {
			if err := q.event(context.Background(), round[i]); err != nil {
				t.Fatal(err)
			}
			i++
		}
	}); n != 0 {
		t.Fatalf("a transaction allocates %v times", n)
	}
}

// Statements that change shapes go out one by one: a log that is not Atomic may get
// one again after a crash, but not two.
func TestOneChangeOfShapeInAJob(t *testing.T) {
	f := &forge{pos: 200}
	var reports []connect.TableStatus
	q := forgedSequencer(t, f, &reports)
	jobs := make(chan *job, 50)
	q.out = jobs
	statements := []string{"CREATE TABLE d.t (id INT PRIMARY KEY) CHARSET=utf8mb4 COLLATE=utf8mb4_bin", "ALTER TABLE d.t ADD COLUMN x INT", "ALTER TABLE d.t RENAME COLUMN x TO z", "ALTER TABLE d.t DROP COLUMN z"}
	events := [][]byte{f.format()}
	for _, s := range statements {
		events = append(events, f.query("d", s))
	}
	for _, e := range events {
		if err := q.event(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	if err := q.flush(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	close(jobs)
	told := 0
	for j := range jobs {
		n := 0
		for i := range j.tasks {
			if j.tasks[i].op == connect.OpSchema {
				n++
			}
		}
		if n > 1 {
			t.Errorf("a job tells of %d shapes", n)
		}
		told += n
	}
	if told != len(statements) || len(reports) > 0 {
		t.Errorf("%d shapes were told, want %d; %v", told, len(statements), reports)
	}
}
