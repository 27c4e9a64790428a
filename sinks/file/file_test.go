package file

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/connect/connecttest"
	"github.com/towline/towline/offsets"
	"github.com/towline/towline/schema"
)

// childVar names the file that a child process is to write until it is killed.
const childVar = "TOWLINE_FILE_CHILD"

func TestMain(m *testing.M) {
	if path := os.Getenv(childVar); path != "" {
		writeForever(path)
		return
	}
	goleak.VerifyTestMain(m)
}

func newSink(t testing.TB, values map[string]string) connect.Sink {
	t.Helper()
	p := Plugins()[0]
	s, err := p.Sink(connect.NewConfig("out", p.Options, values), connect.Env{Connector: "out", Lanes: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func toFile(path string) map[string]string { return map[string]string{optFile: path} }

func table(t testing.TB) *schema.Table {
	tab, err := schema.New(&schema.Table{Database: "db", Name: "t", Key: []int{0}, Primary: true,
		Columns: []schema.Column{{Name: "id", Type: schema.TypeBigInt}, {Name: "note", Type: schema.TypeVarchar, Nullable: true}}})
	if err != nil {
		t.Fatal(err)
	}
	return tab
}

// batch returns inserts of the ids from to to, and the State after them.
func batch(tab *schema.Table, from, to int64) *connect.Batch {
	b := &connect.Batch{State: []offsets.Entry{{Key: offsets.MarkKey("top", 0), Pos: offsets.Mark{Offset: to}.Position()}}}
	for id := from; id < to; id++ {
		r := b.Add()
		r.Op, r.Table, r.Topic, r.Offset, r.Seq = connect.OpInsert, tab, "top", id, uint64(id)
		r.After = schema.Row{schema.MakeInt(id), schema.MakeString("x")}
	}
	return b
}

func opened(t testing.TB, s connect.Sink) []offsets.Entry {
	t.Helper()
	entries, err := s.Open(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return entries
}

func write(t testing.TB, s connect.Sink, b *connect.Batch) {
	t.Helper()
	if err := s.Write(context.Background(), b); err != nil {
		t.Fatal(err)
	}
}

func mark(t testing.TB, entries []offsets.Entry) int64 {
	t.Helper()
	if len(entries) == 0 {
		return 0
	}
	m, err := offsets.ParseMark(entries[0].Pos)
	if err != nil || entries[0].Key != "top/0" {
		t.Fatalf("state %v: %v", entries, err)
	}
	return m.Offset
}

func read(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestContract(t *testing.T) {
	connecttest.TestSink(t, func(t *testing.T) connecttest.SinkHarness {
		path := filepath.Join(t.TempDir(), "out")
		return connecttest.SinkHarness{
			New:        func(t *testing.T) connect.Sink { return newSink(t, toFile(path)) },
			Tune:       func(g *connecttest.Gen) { g.Strict = true },
			KeepsState: true,
		}
	})
}

func TestLines(t *testing.T) {
	tab := table(t)
	row, next := schema.Row{schema.MakeInt(1), schema.MakeString("\u2028\n")}, schema.Row{schema.MakeInt(1), schema.Value{}}
	b := &connect.Batch{Records: []connect.Record{
		{Op: connect.OpUpdate, Table: tab, Topic: `t"`, Partition: 2, Offset: 7, Seq: 1 << 60, Before: row, After: next},
		{Op: connect.OpDelete, Table: tab, Topic: "t", Before: row}, {Op: connect.OpTruncate, Table: tab}, {Op: connect.OpSchema, Table: tab},
	}}
	for format, want := range map[string]string{
		"flat": `{"topic":"t\"","partition":2,"offset":7,"seq":"1152921504606846976","op":"u","key":{"id":1},"row":{"id":1,"note":null}}` + "\n" +
			`{"topic":"t","partition":0,"offset":0,"seq":"0","op":"d","key":{"id":1},"row":{"id":1,"note":"` + "\u2028" + `\n"}}` + "\n" +
			`{"topic":"","partition":0,"offset":0,"seq":"0","op":"t","key":null,"row":null}` + "\n",
		"envelope": `{"topic":"t\"","partition":2,"offset":7,"seq":"1152921504606846976","key":{"id":1},"value":{"before":{"id":1,"note":"` + "\u2028" + `\n"},"after":{"id":1,"note":null},`,
		"value":    `{"before":{"id":1,"note":"` + "\u2028" + `\n"},"after":{"id":1,"note":null},"source":{`,
	} {
		path := filepath.Join(t.TempDir(), "out")
		s := newSink(t, map[string]string{optFile: path, optFormat: format})
		opened(t, s)
		write(t, s, b)
		got := read(t, path)
		if !strings.HasPrefix(got, want) || strings.Count(got, "\n") != 3 {
			t.Errorf("%s: got\n%s\nwant\n%s", format, got, want)
		}
		for line := range strings.Lines(got) {
			if !json.Valid([]byte(line)) {
				t.Errorf("%s: not JSON: %s", format, line)
			}
		}
	}
}

func TestStream(t *testing.T) {
	s := newSink(t, map[string]string{optFile: "-"}).(*streamSink)
	var out bytes.Buffer
	s.out = &out
	if entries := opened(t, s); entries != nil {
		t.Fatalf("the standard output keeps state %v", entries)
	}
	write(t, s, batch(table(t), 0, 3))
	if strings.Count(out.String(), "\n") != 3 {
		t.Fatal(out.String())
	}
}

// What is behind the state is torn, or of a batch that did not end.
func TestTornTailIsCutOff(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out")
	tab := table(t)
	s := newSink(t, toFile(path))
	if entries := opened(t, s); entries == nil || len(entries) != 0 {
		t.Fatalf("a new file has state %v", entries)
	}
	write(t, s, batch(tab, 0, 10))
	want := read(t, path)
	part := batch(tab, 10, 12)
	part.State = nil
	write(t, s, part)
	if got := mark(t, opened(t, s)); got != 10 || read(t, path) != want {
		t.Fatalf("mark %d, file %q", got, read(t, path))
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteString(`{"topic":"to`)
		_ = f.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	s = reopen(t, s, path)
	if read(t, path) != want {
		t.Fatal("a torn line is still there")
	}
	part = batch(tab, 10, 11) // a part, and the batch that ends it
	part.State = nil
	write(t, s, part)
	write(t, s, batch(tab, 11, 12))
	s = reopen(t, s, path)
	if n := strings.Count(read(t, path), "\n"); n != 12 {
		t.Fatalf("%d lines", n)
	}
}

func reopen(t testing.TB, old connect.Sink, path string) connect.Sink {
	t.Helper()
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	s := newSink(t, toFile(path))
	opened(t, s)
	return s
}

func TestFailedRecords(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out")
	s := newSink(t, toFile(path))
	opened(t, s)
	b := batch(table(t), 0, 3)
	b.Records[1].After[1] = schema.MakeString("\xff")
	var be *connect.BatchError
	if err := s.Write(context.Background(), b); !errors.As(err, &be) || len(be.Failed) != 1 || be.Failed[0].Index != 1 {
		t.Fatalf("%v", err)
	}
	if strings.Count(read(t, path), "\n") != 2 {
		t.Fatal(read(t, path))
	}
	b.Records = nil
	write(t, s, b)
	s.Close()
	if got := mark(t, opened(t, newSink(t, toFile(path)))); got != 3 {
		t.Fatalf("mark %d", got)
	}
}

func TestOpenFaults(t *testing.T) {
	used := func(t *testing.T) string {
		path := filepath.Join(t.TempDir(), "out")
		s := newSink(t, toFile(path))
		opened(t, s)
		write(t, s, batch(table(t), 0, 10))
		_ = s.Close()
		return path
	}
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		path func(t *testing.T) string
		want string
	}{
		"folder": {func(t *testing.T) string { return t.TempDir() }, "directory"},
		"parent": {func(t *testing.T) string { return filepath.Join(t.TempDir(), "no", "out") }, "folder"},
		"foreign": {func(t *testing.T) string {
			path := filepath.Join(t.TempDir(), "out")
			must(os.WriteFile(path, []byte("x"), 0o644))
			return path
		}, "holds 1 bytes, but there is no"},
		"gone":      {func(t *testing.T) string { p := used(t); must(os.Remove(p)); return p }, "gone"},
		"shortened": {func(t *testing.T) string { p := used(t); must(os.Truncate(p, 100)); return p }, "shortened to 100"},
		"changed": {func(t *testing.T) string {
			p := used(t)
			b := []byte(read(t, p))
			b[len(b)-5] ^= 1
			must(os.WriteFile(p, b, 0o644))
			return p
		}, "changed"},
		"bad state": {func(t *testing.T) string { p := used(t); must(os.WriteFile(p+".state", []byte("{"), 0o644)); return p }, "not a state"},
		"other's": {func(t *testing.T) string {
			p := used(t)
			must(os.WriteFile(p+".state", []byte(strings.Replace(read(t, p+".state"), `"out"`, `"other"`, 1)), 0o644))
			return p
		}, `belongs to connector "other"`},
		"pipe": {func(t *testing.T) string {
			p := filepath.Join(t.TempDir(), "out")
			must(syscall.Mkfifo(p, 0o644))
			return p
		}, "regular"},
	} {
		t.Run(name, func(t *testing.T) {
			path := c.path(t)
			_, err := newSink(t, toFile(path)).Open(context.Background())
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path) || !connect.IsPermanent(err) {
				t.Fatalf("%v", err)
			}
		})
	}
}

func TestPermission(t *testing.T) {
	for _, cause := range []error{syscall.EACCES, syscall.EROFS} {
		if err := explain("p", &os.PathError{Op: "open", Path: "p", Err: cause}); !connect.IsPermanent(err) || !strings.Contains(err.Error(), "writable") {
			t.Errorf("%v", err)
		}
	}
}

func TestDisturbedWhileInUse(t *testing.T) {
	for name, disturb := range map[string]func(path string) error{
		"removed":   os.Remove,
		"moved":     func(p string) error { return os.Rename(p, p+".1") },
		"shortened": func(p string) error { return os.Truncate(p, 5) },
		"replaced":  func(p string) error { return errors.Join(os.Remove(p), os.WriteFile(p, nil, 0o644)) },
		"added to":  func(p string) error { return os.Truncate(p, 100000) },
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "out")
			s := newSink(t, toFile(path))
			opened(t, s)
			write(t, s, batch(table(t), 0, 3))
			if err := disturb(path); err != nil {
				t.Fatal(err)
			}
			if err := s.Write(context.Background(), batch(table(t), 3, 6)); !connect.IsPermanent(err) {
				t.Fatalf("%v", err)
			}
		})
	}
}

func TestLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out")
	s := newSink(t, toFile(path))
	opened(t, s)
	if _, err := newSink(t, toFile(path)).Open(context.Background()); err == nil || !strings.Contains(err.Error(), "another connector") {
		t.Fatalf("%v", err)
	}
	reopen(t, s, path)
}

func TestTasksCannotShareAFile(t *testing.T) {
	p := Plugins()[0]
	options := append([]connect.Option{{Name: "tasks.max", Type: connect.TypeInt, Default: "1"}}, p.Options...)
	for path, faults := range map[string]int{"": 0, "-": 0, "out": 1} {
		for n, want := range map[string]int{"1": 0, "2": faults} {
			got := p.Validate(connect.NewConfig("out", options, map[string]string{optFile: path, "tasks.max": n}))
			if len(got) != want || want > 0 && (got[0].Key != "tasks.max" || !strings.Contains(got[0].Text, "2 tasks cannot share a file")) {
				t.Errorf("tasks.max=%s with file %q: %v", n, path, got)
			}
		}
	}
}

func TestLanes(t *testing.T) {
	p := Plugins()[0]
	if _, err := p.Sink(connect.NewConfig("out", p.Options, toFile("x")), connect.Env{Lanes: 2}); !connect.IsPermanent(err) {
		t.Fatalf("%v", err)
	}
}

// On a full disk nothing is lost: it is retried, and goes on where it was.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Skipf("a small file system cannot be mounted here: %v", err)
	}
	defer func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) }()
	path := filepath.Join(dir, "out")
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 40<<10), 0o644); err != nil {
		t.Fatal(err)
	}
	s := newSink(t, toFile(path))
	opened(t, s)
	write(t, s, batch(table(t), 0, 10))
	err := s.Write(context.Background(), batch(table(t), 10, 100))
	if err == nil || connect.IsPermanent(err) || !strings.Contains(err.Error(), "disk is full") {
		t.Fatalf("%v", err)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	if got := mark(t, opened(t, s)); got != 10 {
		t.Fatalf("mark %d", got)
	}
	write(t, s, batch(table(t), 10, 100))
	checkIDs(t, path, 100)
}

// writeForever is the child of TestKill.
func writeForever(path string) {
	p := Plugins()[0]
	s, err := p.Sink(connect.NewConfig("out", p.Options, toFile(path)), connect.Env{Connector: "out"})
	if err != nil {
		panic(err)
	}
	entries, err := s.Open(context.Background())
	if err != nil {
		panic(err)
	}
	t := &testing.T{}
	tab := table(t)
	for at := mark(t, entries); ; {
		n := 1 + at%7
		b := batch(tab, at, at+n)
		if at%3 == 0 {
			b.State = nil
		}
		if err := s.Write(context.Background(), b); err != nil {
			panic(err)
		}
		at += n
		fmt.Println(at)
	}
}

// checkIDs wants the ids from 0 to n in order, each once, and no more.
func checkIDs(t testing.TB, path string, n int64) {
	t.Helper()
	var want int64
	for line := range strings.Lines(read(t, path)) {
		var l struct {
			Key struct{ ID int64 }
		}
		if err := json.Unmarshal([]byte(line), &l); err != nil || l.Key.ID != want {
			t.Fatalf("line %d is %q: %v", want, line, err)
		}
		want++
	}
	if want != n {
		t.Fatalf("%d lines, want %d", want, n)
	}
}

func TestKill(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out")
	for round := range 8 {
		c := exec.Command(os.Args[0])
		c.Env = append(os.Environ(), childVar+"="+path)
		c.Stderr = os.Stderr
		out, err := c.StdoutPipe()
		if err == nil {
			err = c.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for i := 0; i < 5+3*round && lines.Scan(); i++ {
			if _, err := strconv.Atoi(lines.Text()); err != nil {
				t.Fatal(lines.Text())
			}
		}
		time.Sleep(time.Duration(round) * 300 * time.Microsecond) // anywhere in a write
		_ = c.Process.Kill()
		_ = c.Wait()
		s := newSink(t, toFile(path))
		at := mark(t, opened(t, s))
		checkIDs(t, path, at)
		_ = s.Close()
		if at == 0 {
			t.Fatal("the child has written nothing")
		}
	}
}
