package mysql

import (
	"bytes"
	"log/slog"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/towline/towline/e2e/mysqltest"
)

func TestBehind(t *testing.T) {
	const forever = time.Duration(math.MaxInt64)
	l := logFiles{expire: time.Hour, now: 10000, names: []string{"b.1", "b.2", "b.3"}, sizes: []uint64{100, 200, 50}}
	for _, c := range []struct {
		file   string
		pos    uint64
		commit int64
		bytes  uint64
		left   time.Duration
		ok     bool
	}{
		{"b.3", 50, 1e6, 0, forever, true},
		{"b.3", 10, 1e6, 40, forever, true},
		{"b.3", 60, 1e6, 0, forever, true}, // it has grown since
		{"b.2", 150, 10000e6, 100, time.Hour, true},
		{"b.1", 0, 7000e6, 350, 600 * time.Second, true},
		{"b.1", 0, 6000e6, 350, -400 * time.Second, true},
		{"b.1", 0, 0, 350, forever, true}, // nothing was read yet
		{"b.0", 0, 1e6, 0, forever, false},
	} {
		if n, left, ok := l.behind(c.file, c.pos, c.commit); n != c.bytes || left != c.left || ok != c.ok {
			t.Errorf("%s:%d at %d: %d bytes, %s, %v", c.file, c.pos, c.commit, n, left, ok)
		}
	}
	l.expire = 0
	if _, left, _ := l.behind("b.1", 0, 1e6); left != forever {
		t.Errorf("%s of a server that keeps all", left)
	}
}

func TestRetention(t *testing.T) {
	for _, opts := range [][]mysqltest.Option{nil, {mysqltest.NoGTID()}} {
		r := newRig(t, mysqltest.Start(t, opts...))
		r.exec(t, "CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(1000)); INSERT INTO t VALUES (0, '')")
		var logged bytes.Buffer
		gauges := map[string]float64{}
		env := r.env()
		env.Logger, env.Gauge = slog.New(slog.NewTextHandler(&logged, nil)), func(name string, v float64, _ ...string) { gauges[name] = v }
		s, err := New(r.config(), env)
		if err == nil {
			s.settings.lookEvery = patience // so that only the test looks
			err = s.Open(t.Context(), nil, nil)
		}
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		r.exec(t, "INSERT INTO t VALUES (1, '')")
		tp := newTape(nil)
		until(t, s, tp)
		if s.lookAtLog(t.Context(), r.srv.DB(), false); gauges[gaugeBehind] != 0 || gauges[gaugeLeft] != 2592000 {
			t.Errorf("at the end of the log: %v", gauges)
		}
		r.exec(t, "FLUSH BINARY LOGS; INSERT INTO t SELECT id + 10, REPEAT('x', 1000) FROM t; FLUSH BINARY LOGS")
		if s.lookAtLog(t.Context(), r.srv.DB(), false); gauges[gaugeBehind] < 2000 || gauges[gaugeLeft] > 2592000 || logged.Len() > 0 {
			t.Errorf("before the last files: %v %s", gauges, logged.String())
		}
		s.reached.set(s.reached.file, s.reached.pos, microsAgo(29*24*time.Hour), nil)
		if !s.lookAtLog(t.Context(), r.srv.DB(), false) || !strings.Contains(logged.String(), "may purge the log that is to be read next") || gauges[gaugeLeft] > 25*3600 {
			t.Errorf("shortly before the end: %v %s", gauges, logged.String())
		}
		logged.Reset()
		if !s.lookAtLog(t.Context(), r.srv.DB(), true) || logged.Len() > 0 {
			t.Errorf("it warns again: %s", logged.String())
		}
		r.exec(t, "INSERT INTO t VALUES (999, '')") // in the last file
		until(t, s, tp)
		if s.lookAtLog(t.Context(), r.srv.DB(), true) || gauges[gaugeBehind] != 0 {
			t.Errorf("caught up: %v", gauges)
		}
	}
}

func microsAgo(ago time.Duration) int64 { return time.Now().Add(-ago).UnixMicro() }
