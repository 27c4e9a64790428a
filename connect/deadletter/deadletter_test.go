package deadletter

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/connect/convert"
	"github.com/towline/towline/connect/frame"
	"github.com/towline/towline/connect/memlog"
	"github.com/towline/towline/offsets"
	"github.com/towline/towline/schema"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var table = func() *schema.Table {
	t, err := schema.New(&schema.Table{Database: "d", Name: "t", Key: []int{0}, Primary: true,
		Columns: []schema.Column{{Name: "id", Type: schema.TypeBigInt}, {Name: "b", Type: schema.TypeVarbinary, Nullable: true}}})
	if err != nil {
		panic(err)
	}
	return t
}()

// post appends a letter of a connector with row n, and returns its id.
func post(t *testing.T, log connect.Log, connector string, conv connect.Converter, n int64) int64 {
	t.Helper()
	var b connect.Batch
	var m connect.Messages
	r := b.Add()
	r.Op, r.Table, r.Topic, r.Seq, r.Time = connect.OpInsert, table, "dead", uint64(n+1), 1e15
	r.After = b.NewRow(2)
	r.After[0], r.After[1] = schema.MakeInt(n), schema.MakeBytes(schema.Bytes, []byte{0xff, byte(n)})
	if err := conv.Encode(&m, &b); err != nil {
		t.Fatal(err)
	}
	c := Cause{Connector: connector, Task: 3, Stage: StageWrite, Class: "*x.E", Text: "no", Topic: "in", Partition: 2, Offset: n, Time: time.UnixMilli(1700000000000)}
	m.List[0].Headers = append(m.List[0].Headers, c.Headers()...)
	if err := log.CreateTopic(t.Context(), "dead", 1); err != nil {
		t.Fatal(err)
	}
	if err := log.Append(t.Context(), m.List, nil); err != nil {
		t.Fatal(err)
	}
	return m.List[0].Offset
}

func TestCausesComeBack(t *testing.T) {
	for _, c := range []Cause{
		{Connector: "a", Task: 1, Stage: StageWrite, Class: "E", Text: "t", Topic: "x", Partition: 7, Offset: 1 << 40, Time: time.Unix(1, 5).UTC()},
		{Connector: "b", Stage: StageTransform, Topic: "x", Routed: "y", Step: StepOf(2, "mask"), Time: time.Unix(9, 0).UTC()},
	} {
		other := connect.Header{Key: "k", Value: []byte("v")}
		back, rest, ok := ParseCause(append([]connect.Header{other}, c.Headers()...))
		if back != c || !ok || len(rest) != 1 || rest[0].Key != "k" {
			t.Errorf("%+v comes back as %+v, %v, %v", c, back, rest, ok)
		}
	}
	if _, _, ok := ParseCause([]connect.Header{{Key: "k"}}); ok {
		t.Error("there is a cause in headers that have none")
	}
}

func ids(letters []Letter) (list []int64) {
	for _, l := range letters {
		list = append(list, l.ID)
	}
	return list
}

func list(t *testing.T, log connect.Log, q Query) Page {
	t.Helper()
	q.Topic = "dead"
	p, err := List(t.Context(), log, q)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Letters of several connectors share a topic; each sees its own, page by page.
func TestPages(t *testing.T) {
	log := memlog.New()
	defer log.Close()
	if p := list(t, log, Query{}); len(p.Letters) != 0 || p.Next != nil || p.End != 0 {
		t.Errorf("no topic: %+v", p)
	}
	for i := range int64(10) {
		post(t, log, string('a'+rune(i%2)), new(frame.Converter), i)
	}
	var all []int64
	for q := (Query{Connector: "b", Limit: 2}); ; {
		p := list(t, log, q)
		if len(p.Letters) > 2 {
			t.Fatalf("%d letters", len(p.Letters))
		}
		all = append(all, ids(p.Letters)...)
		if p.Next == nil {
			break
		}
		q.From = *p.Next
	}
	if !slices.Equal(all, []int64{1, 3, 5, 7, 9}) {
		t.Error(all)
	}
}

// What was dropped or sent is remembered letter by letter, also over gaps, and
// forgotten with the letters.
func TestNotes(t *testing.T) {
	log, ctx := memlog.New(), context.Background()
	defer log.Close()
	for i := range int64(12) {
		post(t, log, map[bool]string{true: "a", false: "b"}[i != 5], new(frame.Converter), i)
	}
	if err := Resolve(ctx, log, "dead", 3, Sent); err != nil {
		t.Fatal(err)
	}
	if n, err := DropThrough(ctx, log, "dead", "a", 8); n != 7 || err != nil {
		t.Fatalf("%d dropped, %v", n, err)
	}
	for state, want := range map[State][]int64{Open: {5, 9, 10, 11}, Sent: {3}, Dropped: {0, 1, 2, 4, 6, 7, 8}, "": {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}} {
		if got := ids(list(t, log, Query{State: state}).Letters); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", state, got, want)
		}
	}
	entries, err := log.Store().Load(ctx, storeKey)
	if err != nil || len(entries) != 4 {
		t.Errorf("four notes are enough, not %v, %v", entries, err)
	}
	if err := log.Trim(ctx, "dead", 0, 8); err != nil {
		t.Fatal(err)
	}
	if err := Resolve(ctx, log, "dead", 11, Dropped); err != nil {
		t.Fatal(err)
	}
	if entries, err = log.Store().Load(ctx, storeKey); err != nil || len(entries) != 2 {
		t.Errorf("the notes of 6 to 8 and of 11 are left, not %v, %v", entries, err)
	}
	if got := ids(list(t, log, Query{State: Open}).Letters); !slices.Equal(got, []int64{9, 10}) {
		t.Error(got)
	}
	// A topic whose name goes on with a slash has notes of its own.
	if err := log.Store().Save(ctx, offsets.Entry{Key: noteKey("dead/er", 9), Pos: []byte("{}")}); err != nil {
		t.Fatal(err)
	}
	if known, err := loadNotes(ctx, log, "dead"); err != nil || known.of(9).State != Open {
		t.Errorf("%v, %v", known, err)
	}
}

// Letters are shown whole in whatever form they stand.
func TestShown(t *testing.T) {
	log := memlog.New()
	defer log.Close()
	p := convert.Plugins()[0]
	var convs []connect.Converter
	for _, schemas := range []string{"true", "false"} {
		cfg := connect.NewConfig("x", p.Options, map[string]string{"schemas.enable": schemas})
		c, err := p.Converter(cfg, connect.Env{})
		if err != nil {
			t.Fatal(err)
		}
		convs = append(convs, c)
	}
	for i, c := range []connect.Converter{new(frame.Converter), convs[0], convs[1]} {
		id := post(t, log, "a", c, int64(i))
		l, err := Get(t.Context(), log, "dead", "a", id)
		if err != nil {
			t.Fatal(err)
		}
		if l.Table != "d.t" || l.Op != "c" || string(l.Key) != fmt.Sprintf(`{"id":%d}`, i) || l.Change == nil || l.Fault != "" ||
			l.Task != 3 || l.Topic != "in" || l.Partition != 2 || l.Offset != int64(i) || l.Error != "no" || l.Died != "2023-11-14T22:13:20.000Z" {
			t.Errorf("form %d: %+v", i, l)
		}
	}
	for _, raw := range []string{"TWF no frame", "\xff\xfe", "text", ""} {
		m := []connect.Message{{Topic: "dead", Value: []byte(raw)}}
		if err := log.Append(t.Context(), m, nil); err != nil {
			t.Fatal(err)
		}
		l, err := Get(t.Context(), log, "dead", "a", m[0].Offset)
		if err != nil {
			t.Fatal(err)
		}
		if got := string(l.Bytes); l.Text == nil && got != raw || l.Text != nil && *l.Text != raw || (l.Fault != "") != (raw == "TWF no frame") {
			t.Errorf("%q: %+v", raw, l)
		}
	}
	if _, err := Get(t.Context(), log, "dead", "b", 0); !errors.Is(err, ErrNone) {
		t.Errorf("the letter of another: %v", err)
	}
	if _, err := Get(t.Context(), log, "none", "b", 0); !errors.Is(err, ErrNone) {
		t.Errorf("no topic: %v", err)
	}
}
