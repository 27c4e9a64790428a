package main

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/connect/convert"
	"github.com/towline/towline/connect/pebblelog"
)

// messages returns what is in the topics of a worker that does not run. use is
// called while they can be decoded.
func (s *sandbox) messages(use func(log connect.Log, list []connect.Message)) {
	s.t.Helper()
	log, err := pebblelog.Open(pebblelog.Options{Dir: filepath.Join(s.dir, "towline-data")})
	if err != nil {
		s.t.Fatal(err)
	}
	defer log.Close()
	topics, err := log.Topics(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	var all connect.Messages
	for topic := range topics {
		first, end, err := log.Bounds(s.t.Context(), topic, 0)
		if err != nil {
			s.t.Fatal(err)
		}
		r, err := log.OpenReader(s.t.Context(), []connect.Cursor{{Topic: topic, Offset: first}})
		if err != nil {
			s.t.Fatal(err)
		}
		for n := len(all.List); int64(len(all.List)-n) < end-first; {
			if err := r.Read(s.t.Context(), &all, 1<<20); err != nil {
				s.t.Fatal(err)
			}
		}
		r.Close()
	}
	use(log, all.List)
}

// readByClient has Confluent's client read all messages, and holds what it reads
// against the JSON that the same records have.
func (s *sandbox) readByClient(t *testing.T, python string) {
	var lines bytes.Buffer
	var want []string
	s.messages(func(log connect.Log, list []connect.Message) {
		var avro connect.Converter
		for _, p := range convert.Plugins() {
			if p.Name == "avro" {
				var err error
				if avro, err = p.Converter(connect.NewConfig(p.Name, p.Options, nil), connect.Env{Connector: "test", Store: log.Store()}); err != nil {
					t.Fatal(err)
				}
			}
		}
		enc := convert.NewEncoder(convert.EncoderOptions{Decimal: convert.DecimalString, DecimalNumeric: true})
		for i := range list {
			m := &list[i]
			text := func(b []byte) string {
				if b == nil {
					return "-"
				}
				return hex.EncodeToString(b)
			}
			fmt.Fprintf(&lines, "%s %s %s\n", m.Topic, text(m.Key), text(m.Value))
			var b connect.Batch
			if err := avro.Decode(&b, list[i:i+1]); err != nil {
				t.Fatal(err)
			}
			if len(b.Records) == 0 {
				want = append(want, "")
				continue
			}
			v, err := enc.AppendValue(nil, &b.Records[0])
			if err != nil {
				t.Fatal(err)
			}
			want = append(want, string(v))
		}
	})
	p := s.serveWorker()
	s.write("messages.txt", lines.String())
	script, err := filepath.Abs("testdata/read_avro.py")
	if err != nil {
		t.Fatal(err)
	}
	var errs bytes.Buffer
	cmd := exec.Command(python, script, s.url(""), filepath.Join(s.dir, "messages.txt"))
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, errs.String())
	}
	got := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(got) != len(want)+1 || len(want) < 10 {
		t.Fatalf("%d messages were read, of %d", len(got)-1, len(want))
	}
	for i := range want {
		if want[i] != "" {
			compareRead(t, got[i], want[i])
		}
	}
	var told struct {
		Subjects map[string][]bool
	}
	last := got[len(want)]
	if err := json.Unmarshal([]byte(last), &told); err != nil || len(told.Subjects) < 5 || strings.Contains(last, "false") {
		t.Errorf("the registry says %s, %v", last, err)
	}
	for _, text := range []string{`"no id": [404, 40403, "Schema 1 not found"]`, `"no subject": [404, 40401, "Subject 'nix' not found."]`, `"no version": [404, 40402, "Version 99 not found."]`,
		`"no such schema": [404, 40403, "Schema not found"]`, `"none is registered": [405, 405]`} {
		if !strings.Contains(last, text) {
			t.Errorf("the registry says %s, not %s", last, text)
		}
	}
	if r := p.stop(); r.code != exitOK {
		t.Errorf("exit code %d:\n%s", r.code, r.err)
	}
}

// compareRead compares the key and value that the client has read with the JSON of
// the record.
func compareRead(t *testing.T, got, want string) {
	t.Helper()
	parse := func(text string) (v any) {
		d := json.NewDecoder(strings.NewReader(text))
		d.UseNumber()
		if err := d.Decode(&v); err != nil {
			t.Fatal(err)
		}
		return v
	}
	read, _ := parse(got).([]any)
	if len(read) != 2 {
		t.Fatalf("the client says %s", got)
	}
	record, _ := parse(want).(map[string]any)
	value, _ := read[1].(map[string]any)
	for k, w := range record {
		if strings.HasPrefix(k, "ts_") || k == "source" {
			continue // when it was written, and by which version
		}
		if d := diffRead(value[k], w); d != "" {
			t.Errorf("%s: %s\nof %s", k, d, got)
		}
	}
}

func diffRead(got, want any) string {
	w, ok := want.(map[string]any)
	if !ok {
		if list, ok := want.([]any); ok {
			g, _ := got.([]any)
			if len(g) != len(list) {
				return fmt.Sprintf("%v, want %v", got, want)
			}
			for i := range list {
				if d := diffRead(g[i], list[i]); d != "" {
					return d
				}
			}
			return ""
		}
		a, b := fmt.Sprint(got), fmt.Sprint(want)
		x, err := strconv.ParseFloat(a, 64)
		y, err2 := strconv.ParseFloat(b, 64)
		if a == b || err == nil && err2 == nil && (x == y || float32(x) == float32(y)) && strings.ContainsAny(b, ".E") {
			return ""
		}
		return fmt.Sprintf("%v, want %v", got, want)
	}
	g, _ := got.(map[string]any)
	for k, v := range w {
		name := strings.ReplaceAll(k, " ", "_u0020")
		if d := diffRead(g[name], v); d != "" {
			return k + ": " + d
		}
	}
	if len(g) != len(w) {
		return fmt.Sprintf("%d members, want %d", len(g), len(w))
	}
	return ""
}
