package mysql

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/e2e/mysqltest"
)

func TestGuardrail(t *testing.T) {
	for _, metadata := range []string{"FULL", "MINIMAL"} {
		r := newRig(t, mysqltest.Start(t, mysqltest.Flags("--binlog-row-metadata="+metadata)))
		r.exec(t, "CREATE TABLE a (id INT PRIMARY KEY); CREATE TABLE b (id INT PRIMARY KEY)")
		var logged bytes.Buffer
		env := r.env()
		env.Logger = slog.New(slog.NewTextHandler(&logged, nil))
		open := func(most, action string) (*Source, error) {
			r.values[optGuardMax], r.values[optGuardAction] = most, action
			s, err := New(r.config(), env)
			if err != nil {
				t.Fatal(err)
			}
			if err = s.Open(t.Context(), nil, nil); err == nil {
				t.Cleanup(func() { s.Close() })
			}
			return s, err
		}
		if _, err := open("1", "fail"); err == nil || !connect.IsPermanent(err) || !strings.Contains(err.Error(), "2 tables are captured, but guardrail.collections.max is 1") {
			t.Fatal(err)
		}
		if found, err := Check(t.Context(), r.config()); err != nil || !strings.Contains(whats(found), "guardrail.collections.max is 1") {
			t.Errorf("the doctor says %+v, %v", found, err)
		}
		s, err := open("2", "warn")
		if err != nil || logged.Len() > 0 {
			t.Fatal(err, logged.String())
		}
		r.exec(t, "CREATE TABLE c (id INT PRIMARY KEY); CREATE TABLE d (id INT PRIMARY KEY); INSERT INTO d VALUES (1)")
		tp := newTape(nil)
		until(t, s, tp)
		diff(t, tp.texts(), []string{"s c id int end", "s d id int end", "c d (1) end"})
		s.Close()
		if n := strings.Count(logged.String(), "guardrail.collections.max is 2"); n != 1 {
			t.Errorf("%d warnings: %s", n, logged.String())
		}
		if s, err = open("4", "fail"); err != nil {
			t.Fatal(err)
		}
		r.exec(t, "DROP TABLE a; CREATE TABLE e (id INT PRIMARY KEY); CREATE TABLE f (id INT PRIMARY KEY); INSERT INTO f VALUES (1)")
		var b connect.Batch
		for err = nil; err == nil; {
			b.Reset()
			err = s.Read(t.Context(), &b)
			for i := range b.Records {
				if b.Records[i].Table.Name == "f" {
					t.Error("a table beyond the limit is read")
				}
			}
		}
		if !connect.IsPermanent(err) || errors.Is(err, connect.ErrPositionLost) || !strings.Contains(err.Error(), "5 tables are captured") {
			t.Error(err)
		}
		s.Close()
	}
}

func whats(found []connect.Finding) string {
	var b strings.Builder
	for _, f := range found {
		b.WriteString(f.What + "\n")
	}
	return b.String()
}

// What would skip changes is refused.
func TestOnlyFail(t *testing.T) {
	for _, o := range Options() {
		if o.Name != optFailures && o.Name != optConversion && o.Name != optInconsistent {
			continue
		}
		if err := o.Validate("FAIL"); err != nil {
			t.Error(o.Name, err)
		}
		for _, mode := range []string{"warn", "skip", "ignore"} {
			if err := o.Validate(mode); err == nil || !strings.Contains(err.Error(), "only fail is supported") {
				t.Error(o.Name, mode, err)
			}
		}
	}
}
