package snapshot

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/offsets"
	"github.com/towline/towline/schema"
)

func TestSignalsAreUnderstood(t *testing.T) {
	for _, c := range []struct{ kind, data, fault string }{
		{"execute-snapshot", `{"data-collections": ["shop\\.orders"]}`, ""},
		{"execute-snapshot", `{"data-collections": ["shop\\..*", "a.b"], "type": "INCREMENTAL", "additional-conditions": [{"data-collection": "shop.orders", "filter": "price > 10 AND (a = ')' OR b = 'it''s')"}], "surrogate-key": "x"}`, ""},
		{"execute-snapshot", `{"data-collections": ["a.b"], "type": "blocking"}`, ""},
		{"stop-snapshot", `{"type": "incremental"}`, ""},
		{"stop-snapshot", ``, ""},
		{"pause-snapshot", `{}`, ""},
		{"resume-snapshot", `{}`, ""},
		{"log", `{"message": "x"}`, "there is no signal"},
		{"execute-snapshot", `{}`, "names no table"},
		{"execute-snapshot", `{"data-collections": []}`, "names no table"},
		{"execute-snapshot", `{"data-collections": ["("]}`, "is not an expression"},
		{"execute-snapshot", `{"data-collections": [""]}`, "is not an expression"},
		{"execute-snapshot", `{"data-collections": ["a.b"], "type": "x"}`, "type"},
		{"execute-snapshot", `{"tables": ["a.b"]}`, "unknown field"},
		{"execute-snapshot", `not JSON`, "JSON"},
		{"execute-snapshot", `{"data-collections": ["a.b"], "additional-conditions": [{"data-collection": "a.b", "filter": "1) OR (1"}]}`, "closes nothing"},
		{"execute-snapshot", `{"data-collections": ["a.b"], "additional-conditions": [{"data-collection": "a.b", "filter": "a = 'x\\') OR (1=1"}]}`, "not closed"},
		{"execute-snapshot", `{"data-collections": ["a.b"], "additional-conditions": [{"data-collection": "a.b", "filter": "1 -- x"}]}`, "comments"},
		{"execute-snapshot", `{"data-collections": ["a.b"], "additional-conditions": [{"data-collection": "a.b", "filter": "1 /* x"}]}`, "comments"},
		{"execute-snapshot", `{"data-collections": ["a.b"], "additional-conditions": [{"data-collection": "a.b", "filter": " "}]}`, "empty"},
		{"pause-snapshot", `{"data-collections": ["a.b"]}`, "all tables"},
		{"stop-snapshot", `{"additional-conditions": [{"data-collection": "a.b", "filter": "1"}]}`, "no additional-conditions"},
	} {
		_, err := parseSignal(connect.Signal{Type: c.kind, Data: json.RawMessage(c.data)})
		if c.fault == "" && err != nil || c.fault != "" && (err == nil || !strings.Contains(err.Error(), c.fault)) {
			t.Errorf("%s %s: %v, want %q", c.kind, c.data, err, c.fault)
		}
	}
}

// signals is the table that signals are inserted into, in another order.
func signals(t *testing.T) *schema.Table {
	s, err := schema.New(&schema.Table{Database: "sim", Name: "signals", Key: []int{1}, Columns: []schema.Column{
		{Name: "DATA", Type: schema.TypeText, Charset: "utf8mb4", Nullable: true}, {Name: "id", Type: schema.TypeVarchar, Charset: "utf8mb4"},
		{Name: "type", Type: schema.TypeVarchar, Charset: "utf8mb4"}}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func row(data, id, kind string) schema.Row {
	return schema.Row{schema.MakeString(data), schema.MakeString(id), schema.MakeString(kind)}
}

// copied lets the copies of all tables come through.
func (k *script) copied() {
	k.t.Helper()
	for {
		j := k.job()
		if j == nil {
			return
		}
		k.deliver(j, 1, 2)
		k.stream()
		var b connect.Batch
		for k.w.emitNext(&b, false) {
			b.Reset()
		}
	}
}

func TestRowsOfTheSignalTable(t *testing.T) {
	a, b := simShape("a", true, 0), simShape("b", true, 0)
	k := newScript(t, Config{SignalTable: "sim.signals"}, a, b)
	sig := signals(t)
	k.l.tables = append(k.l.tables, sig)
	k.copied()
	out := k.stream(connect.Record{Op: connect.OpInsert, Table: b, After: rowOf(5, 5)},
		connect.Record{Op: connect.OpInsert, Flags: connect.TxEnd, Table: sig, After: row(`{"data-collections": ["sim.a"], "additional-conditions": [{"data-collection": "sim.a", "filter": "v > 1"}]}`, "s1", "execute-snapshot")})
	if len(out.Records) != 1 || out.Records[0].Table != b || out.Records[0].Flags&connect.TxEnd == 0 {
		t.Fatalf("%d records go out; the signal is not to be one, and the transaction has to end", len(out.Records))
	}
	if k.status("sim.signals") != "unknown" && k.w.tables[tableName{"sim", "signals"}] != nil {
		t.Fatal("the signal table is copied like others")
	}
	var saved offsets.Position
	for _, e := range out.State {
		if e.Key == stateKey("sim", "a") {
			saved = e.Pos
		}
	}
	p, err := parseProgress(saved)
	if err != nil || p.status != waiting || p.filter != "v > 1" || !p.extra || !p.ordered {
		t.Fatalf("what the signal did is not saved with its position: %+v, %v", p, err)
	}
	j := k.job()
	if j == nil || j.window == nil || j.window.table.name != "a" || j.window.chunk.Filter != "v > 1" {
		t.Fatalf("%+v", j)
	}
	k.stream(connect.Record{Op: connect.OpInsert, Table: sig, After: row("", "s2", "stop-snapshot")})
	if k.w.tables[tableName{"sim", "a"}].status != done || !j.window.discarded {
		t.Fatal("the copy goes on")
	}
	k.deliver(j, 7)
	k.stream()
	var e connect.Batch
	for k.w.emitNext(&e, false) {
		if len(e.Records) > 0 {
			t.Fatalf("rows of a copy that was stopped go out: %+v", e.Records)
		}
	}
	if j := k.job(); j != nil {
		t.Fatalf("%+v", j)
	}
	// what is wrong changes nothing
	k.stream(connect.Record{Op: connect.OpInsert, Table: sig, After: row("{", "s3", "execute-snapshot")},
		connect.Record{Op: connect.OpDelete, Table: sig, Before: row("", "s2", "pause-snapshot")})
	if k.job() != nil || k.w.paused {
		t.Fatal("a row that is no signal did something")
	}
}

func TestAnInitialCopyIsPausedNotStopped(t *testing.T) {
	k := newScript(t, Config{}, simShape("a", true, 0))
	do := func(kind string) error {
		k.w.mu.Lock()
		defer k.w.mu.Unlock()
		_, _, err := k.w.carryOut(&order{kind: kind})
		return err
	}
	if err := do(signalStop); err == nil || !strings.Contains(err.Error(), signalPause) {
		t.Fatal(err)
	}
	if err := do(signalPause); err != nil {
		t.Fatal(err)
	}
	if j := k.job(); j != nil {
		t.Fatalf("a paused copy goes on: %+v", j)
	}
	out := k.stream()
	saved := map[string]offsets.Position{}
	for _, e := range out.State {
		saved[e.Key] = e.Pos
	}
	w := newWeaver(Config{}, k.l, connect.Env{})
	if err := w.load(out.State, false); err != nil || !w.paused {
		t.Fatalf("a pause is forgotten: %v %v", saved, err)
	}
	if err := do(signalResume); err != nil || k.job() == nil {
		t.Fatal("it does not go on", err)
	}
}

// A copy that goes wrong does not stop a table that was whole before.
func TestACopyThatIsGivenUp(t *testing.T) {
	k := newScript(t, Config{}, simShape("a", true, 0))
	k.copied()
	k.w.mu.Lock()
	_, _, err := k.w.carryOut(&order{kind: signalExecute})
	k.w.mu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	k.emitted()
	j := k.job()
	k.w.delivered(j.window, connect.Permanent(errBroken), High{})
	a := k.w.tables[tableName{"sim", "a"}]
	if a.stopped || a.status != done || !strings.Contains(a.note, errBroken.Error()) || len(k.l.faults) > 0 {
		t.Fatalf("stopped %t, status %d, note %q", a.stopped, a.status, a.note)
	}
	if out := k.stream(connect.Record{Op: connect.OpInsert, Table: a.shape, After: rowOf(5, 5)}); len(out.Records) != 1 {
		t.Fatal("it is not followed any more")
	}
}

// emitted returns the flags of what goes out of shapes.
func (k *script) emitted() (flags []connect.Flags) {
	var b connect.Batch
	for k.w.emitNext(&b, false) {
		for i := range b.Records {
			if b.Records[i].Op == connect.OpSchema {
				flags = append(flags, b.Records[i].Flags&^connect.TxEnd)
			}
		}
		b.Reset()
	}
	return flags
}

// Targets hear of a copy of all rows before anything of it is read, so that one
// that has lost its place in the table can begin it anew, and how it ends.
func TestACopyIsAnnounced(t *testing.T) {
	for _, c := range []struct {
		name, filter string
		kill         bool // the process, before the announcement is out
		stop         bool
		want         []connect.Flags
	}{
		{"whole", "", false, false, []connect.Flags{connect.Reread, 0}},
		{"with a kill", "", true, false, []connect.Flags{connect.Reread, 0}},
		{"given up", "", false, true, []connect.Flags{connect.Reread, connect.GivenUp}},
		{"some rows", "v > 1", false, false, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := newScript(t, Config{}, simShape("a", true, 0))
			k.copied()
			k.emitted()
			o := &order{kind: signalExecute}
			if c.filter != "" {
				all, _ := collection(".*")
				o.conditions = []condition{{table: all, filter: c.filter}}
			}
			k.order(o)
			if j := k.job(); (j == nil) != (c.filter == "") {
				t.Fatalf("%+v is read: changes between that and the announcement would be missed by who begins there", j)
			} else if j != nil {
				k.deliver(j, 1)
			}
			if c.kill {
				w := newWeaver(Config{}, k.l, connect.Env{})
				if err := w.load(k.stream().State, false); err != nil {
					t.Fatal(err)
				}
				k.w = w
				k.w.setTables(k.l.tables)
			}
			k.stream()
			got := k.emitted()
			if c.stop {
				k.order(&order{kind: signalStop})
			}
			for j := k.job(); j != nil; j = k.job() {
				k.deliver(j, 1)
				k.stream()
				got = append(got, k.emitted()...)
			}
			if got = append(got, k.emitted()...); !slices.Equal(got, c.want) {
				t.Fatalf("%v goes out, want %v", got, c.want)
			}
			if a := k.w.tables[tableName{"sim", "a"}]; a.status != done || a.told != toldNothing {
				t.Fatalf("status %d, told %d", a.status, a.told)
			}
		})
	}
}

// order carries out a signal.
func (k *script) order(o *order) {
	k.t.Helper()
	k.w.mu.Lock()
	defer k.w.mu.Unlock()
	if _, _, err := k.w.carryOut(o); err != nil {
		k.t.Fatal(err)
	}
}

func TestSpeedLimit(t *testing.T) {
	k := newScript(t, Config{RowRate: 1, FetchRows: 1, Threads: 1}, simShape("a", true, 0))
	j := k.job()
	j.window.chunk.Rows = 1
	k.deliver(j, 1)
	_, _, pause, idle := k.w.next()
	if pause <= 0 || pause > time.Second || idle {
		t.Fatalf("after one row at one a second the pause is %s, idle %t", pause, idle)
	}
}

// Lines are carried out once, whenever the program ends, and a line that is
// still being written is not.
func TestFileOfSignals(t *testing.T) {
	path := filepath.Join(t.TempDir(), "signals")
	add := func(text string) {
		f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.WriteString(text); err != nil {
			t.Fatal(err)
		}
	}
	f := &signalFile{path: path}
	poll := func(want ...string) {
		t.Helper()
		f.seen = time.Time{} // as if some time had passed
		list, err := f.poll()
		if err != nil || len(list) != len(want) {
			t.Fatalf("%d signals, want %v: %v", len(list), want, err)
		}
		for i := range list {
			if list[i].ID != want[i] {
				t.Fatalf("%v, want %v", list, want)
			}
		}
	}
	poll()
	add(`{"id": "1", "type": "pause-snapshot"}` + "\n\n" + `{"id": "2", "type": "resume-snapshot", "data": {}}` + "\n" + `{"id": "3"`)
	poll("1", "2")
	poll()
	add(`, "type": "pause-snapshot"}` + "\nno JSON\n")
	saved := f.encode()
	poll("3", "no JSON")
	f = &signalFile{path: path} // killed before that was saved
	f.parse(saved)
	poll("3", "no JSON")
	f.parse(f.encode())
	poll()
	if err := os.WriteFile(path, []byte(`{"id": "4", "type": "pause-snapshot"}`+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	poll("4")
}
