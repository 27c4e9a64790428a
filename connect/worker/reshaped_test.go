package worker

import (
	"context"
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/connect/frame"
	"github.com/towline/towline/connect/memlog"
	"github.com/towline/towline/offsets"
	"github.com/towline/towline/schema"
)

// reshapes is a source whose only table gets one column after the other.
type reshapes struct{ at, n int }

func (s *reshapes) Open(_ context.Context, from offsets.Position, _ []offsets.Entry) error {
	if s.at = 0; len(from) > 0 {
		s.at = int(binary.BigEndian.Uint64(from))
	}
	return nil
}

func (s *reshapes) Read(ctx context.Context, b *connect.Batch) error {
	if s.at == s.n {
		<-ctx.Done()
		return ctx.Err()
	}
	s.at++
	t := &schema.Table{Database: "d", Name: "t"}
	for i := range s.at {
		t.Columns = append(t.Columns, schema.Column{Name: fmt.Sprint("c", i), Type: schema.TypeInt, Nullable: true})
	}
	t, err := schema.New(t)
	if err != nil {
		return err
	}
	r := b.Add()
	r.Op, r.Flags, r.Table, r.Topic = connect.OpSchema, connect.TxEnd, t, "t"
	b.Pos = binary.BigEndian.AppendUint64(nil, uint64(s.at))
	return nil
}

func (s *reshapes) Commit(context.Context, offsets.Position) error { return nil }
func (s *reshapes) Close() error                                   { return nil }
func (s *reshapes) Head(context.Context) (offsets.Position, error) {
	return binary.BigEndian.AppendUint64(nil, uint64(s.n)), nil
}

// forgetful is a log that is not atomic: every third append leaves all of its
// messages, and no position.
type forgetful struct {
	*memlog.Log
	appends int
}

func (l *forgetful) Atomic() bool { return false }

func (l *forgetful) Append(ctx context.Context, msgs []connect.Message, entries []offsets.Entry) error {
	time.Sleep(3 * time.Millisecond) // so that more comes meanwhile
	if l.appends++; l.appends%3 == 0 && len(msgs) > 0 {
		if err := l.Log.Append(ctx, msgs, nil); err != nil {
			return err
		}
		return errInjected
	}
	return l.Log.Append(ctx, msgs, entries)
}

// What is told again after a crash is no shape that the table had before one that
// was told already.
func TestShapesDoNotGoBack(t *testing.T) {
	g := newRig(t, 1, true, false)
	g.faults.end()
	log := &forgetful{Log: memlog.New()}
	g.log = log
	src := &reshapes{n: 60}
	g.reg.Connectors[0].Source = func(connect.Config, connect.Env) (connect.Source, error) { return src, nil }
	g.run(map[string]string{"lanes": "2"}, 0)
	_, end, err := log.Bounds(t.Context(), "t", 0)
	if err != nil {
		t.Fatal(err)
	}
	r, err := log.OpenReader(t.Context(), []connect.Cursor{{Topic: "t"}})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var conv frame.Converter
	last, again := 0, 0
	for from := int64(0); from < end; {
		var msgs connect.Messages
		var b connect.Batch
		err := r.Read(t.Context(), &msgs, 1<<20)
		if err == nil {
			err = conv.Decode(&b, msgs.List)
		}
		if err != nil {
			t.Fatal(err)
		}
		for i := range b.Records {
			n := len(b.Records[i].Table.Columns)
			if n < last {
				t.Fatalf("the table is told to have %d columns after it had %d", n, last)
			}
			if n == last {
				again++
			}
			last = n
		}
		from = msgs.List[len(msgs.List)-1].Offset + 1
	}
	if last != src.n || again == 0 {
		t.Errorf("the table has %d columns in the end, not %d; %d shapes were told again", last, src.n, again)
	}
}
