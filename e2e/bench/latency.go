package main

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/towline/towline/e2e/mysqltest"
	"github.com/towline/towline/e2e/process"
)

// paced is a load of so many transactions a second, for a time. Each inserts
// one row into the table lat; ids rise from 1.
type paced struct {
	perSecond int
	length    time.Duration
	warmUp    time.Duration // what of it is not looked at
	until     time.Time     // what was sent later is not looked at either; zero: all is
	sent      []time.Time   // by id
}

func (b *bench) load() *paced {
	l := &paced{perSecond: 1000, length: 20 * time.Second, warmUp: 2 * time.Second}
	if b.quick {
		l.length = 6 * time.Second
	}
	l.sent = make([]time.Time, l.count()+1)
	return l
}

func (l *paced) count() int { return int(l.length.Seconds() * float64(l.perSecond)) }

// run sends the transactions, by several sessions.
func (l *paced) run(ctx context.Context, s *mysqltest.Server) error {
	const clients = 8
	begin := time.Now()
	return parallel(clients, func(w int) error {
		c, err := s.DB().Conn(ctx)
		if err != nil {
			return err
		}
		defer c.Close()
		for id := w + 1; id <= l.count(); id += clients {
			if d := time.Until(begin.Add(time.Duration(id) * time.Second / time.Duration(l.perSecond))); d > 0 {
				if err := pause(ctx, d); err != nil {
					return err
				}
			}
			l.sent[id] = time.Now()
			if _, err := c.ExecContext(ctx, "INSERT INTO bench.lat VALUES (?, 'some text of a usual length, some fifty bytes or so')", id); err != nil {
				return err
			}
		}
		return nil
	})
}

// arrivals are when rows were seen, by id.
type arrivals struct {
	mu   sync.Mutex
	at   []time.Time
	left int
	all  chan struct{} // closed when all are there
}

func newArrivals(n int) *arrivals {
	return &arrivals{at: make([]time.Time, n+1), left: n, all: make(chan struct{})}
}

func (a *arrivals) saw(id int, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if id < 1 || id >= len(a.at) || !a.at[id].IsZero() {
		return
	}
	a.at[id] = now
	if a.left--; a.left == 0 {
		close(a.all)
	}
}

// since returns the sorted times, in milliseconds, from sending to arrival.
func (a *arrivals) since(l *paced) []float64 {
	var ms []float64
	for id := 1 + int(l.warmUp.Seconds()*float64(l.perSecond)); id < len(a.at); id++ {
		if !l.until.IsZero() && l.sent[id].After(l.until) {
			continue
		}
		ms = append(ms, float64(a.at[id].Sub(l.sent[id]).Microseconds())/1000)
	}
	slices.Sort(ms)
	return ms
}

// poll looks every millisecond which rows of lat a server shows.
func (a *arrivals) poll(ctx context.Context, s *mysqltest.Server) error {
	c, err := s.DB().Conn(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	for below := 0; ; { // all up to there are seen
		rows, err := c.QueryContext(ctx, "SELECT id FROM bench.lat WHERE id > ?", below)
		if err != nil {
			return err
		}
		now := time.Now()
		if err := a.take(rows, now); err != nil {
			return err
		}
		for a.mu.Lock(); below+1 < len(a.at) && !a.at[below+1].IsZero(); below++ {
		}
		a.mu.Unlock()
		select {
		case <-a.all:
			return nil
		default:
		}
		if err := pause(ctx, time.Millisecond); err != nil {
			return err
		}
	}
}

func (a *arrivals) take(rows *sql.Rows, now time.Time) error {
	defer rows.Close()
	for rows.Next() {
		var id int
		if err := rows.Scan(&id); err != nil {
			return err
		}
		a.saw(id, now)
	}
	return rows.Err()
}

// receiver is an HTTP server that notes the ids of rows in the requests it
// gets.
func (a *arrivals) receiver() (url string, stop func() error, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	s := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		now := time.Now()
		if body, err := io.ReadAll(r.Body); err == nil {
			a.saw(idOf(body), now)
		}
	})}
	go func() { _ = s.Serve(l) }() // until it is closed
	return "http://" + l.Addr().String() + "/", s.Close, nil
}

// idOf returns the id of the row after the change, 0 if there is none.
func idOf(body []byte) int {
	_, after, _ := bytes.Cut(body, []byte(`"after":{"id":`))
	n := bytes.IndexAny(after, ",}")
	if n < 0 {
		return 0
	}
	id, err := strconv.Atoi(string(after[:n]))
	if err != nil {
		return 0
	}
	return id
}

// latencyRun is what a run of a load gave.
type latencyRun struct {
	p50, p99, p999 float64 // milliseconds
	sample
}

// latency measures, under a thousand transactions a second, how long a change
// takes from the source to a MySQL target and to the receiver of a webhook.
func (b *bench) latency(ctx context.Context) error {
	src, err := launch(ctx)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := launch(ctx)
	if err != nil {
		return err
	}
	defer dst.Close()
	err = b.latencyFigure(ctx, "latency_jdbc", func(ctx context.Context, run int) (latencyRun, error) {
		return b.latencyToMySQL(ctx, src, dst, fmt.Sprint("latency-jdbc-", run))
	})
	return errors.Join(err, b.latencyFigure(ctx, "latency_webhook", func(ctx context.Context, run int) (latencyRun, error) {
		return b.latencyToWebhook(ctx, src, fmt.Sprint("latency-webhook-", run))
	}))
}

func (b *bench) latencyFigure(ctx context.Context, name string, once func(context.Context, int) (latencyRun, error)) error {
	var p50, p99, p999 []float64
	var all series
	for run := range b.runs {
		r, err := once(ctx, run)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		b.progress("%s: p50 %.2f ms, p99 %.2f ms, p99.9 %.2f ms", name, r.p50, r.p99, r.p999)
		p50, p99, p999, all = append(p50, r.p50), append(p99, r.p99), append(p999, r.p999), append(all, r.sample)
	}
	b.report(line{name: name + "_p50", value: median(p50), unit: "ms", mark: atMost(10), ours: spread(p50), cpu: all.cpu(), peak: all.peak(), note: "at 1,000 transactions a second"})
	b.report(line{name: name + "_p99", value: median(p99), unit: "ms", mark: atMost(100), ours: spread(p99), note: fmt.Sprintf("p99.9 %.1f ms", median(p999))})
	return nil
}

// lat makes the table of the load anew.
func lat(ctx context.Context, s *mysqltest.Server) error {
	return execAll(ctx, s, []string{"CREATE DATABASE IF NOT EXISTS bench", "DROP TABLE IF EXISTS bench.lat", "CREATE TABLE bench.lat (id BIGINT PRIMARY KEY, v VARCHAR(100) NOT NULL)"})
}

func (b *bench) latencyToMySQL(ctx context.Context, src, dst *mysqltest.Server, folder string) (latencyRun, error) {
	if err := empty(ctx, dst); err != nil {
		return latencyRun{}, err
	}
	a := newArrivals(b.load().count())
	return b.underLoad(ctx, src, folder, jdbcConfig(dst), processes{"target": dst.PID()}, a, func(ctx context.Context) error { return a.poll(ctx, dst) })
}

func (b *bench) latencyToWebhook(ctx context.Context, src *mysqltest.Server, folder string) (latencyRun, error) {
	a := newArrivals(b.load().count())
	url, stop, err := a.receiver()
	if err != nil {
		return latencyRun{}, err
	}
	defer stop()
	sink := config{"connector.class": "webhook", "topics.regex": `b\.bench\.lat`, "http.url": url}
	return b.underLoad(ctx, src, folder, sink, nil, a, func(ctx context.Context) error {
		select {
		case <-a.all:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
}

// underLoad runs a source and a sink while the load runs, and watch notes what
// arrives.
func (b *bench) underLoad(ctx context.Context, src *mysqltest.Server, folder string, sink config, procs processes, a *arrivals, watch func(context.Context) error) (latencyRun, error) {
	if err := lat(ctx, src); err != nil {
		return latencyRun{}, err
	}
	l := b.load()
	p, err := b.towline(folder, configs{"src": sourceConfig(src, "initial", nil), "dst": sink})
	if err != nil {
		return latencyRun{}, err
	}
	if err := started(ctx, p); err != nil {
		return latencyRun{}, err
	}
	defer p.Kill()
	if err := p.Wait(ctx, patience); err != nil {
		return latencyRun{}, err
	}
	all := processes{"ours": p.PID(), "source": src.PID()}
	for who, pid := range procs {
		all[who] = pid
	}
	before, err := all.cpu()
	if err != nil {
		return latencyRun{}, err
	}
	if err := b.loadAndWatch(ctx, src, l, a, watch); err != nil {
		return latencyRun{}, fmt.Errorf("%w\n%s", err, p.LogTail(10))
	}
	ms := a.since(l)
	r := latencyRun{p50: percentile(ms, 50), p99: percentile(ms, 99), p999: percentile(ms, 99.9), sample: sample{rows: l.count(), took: l.length}}
	if r.cpu, err = all.since(before); err != nil {
		return r, err
	}
	if r.peak, err = memory(p.PID(), "VmHWM"); err != nil {
		return r, err
	}
	return r, p.Stop()
}

func (b *bench) loadAndWatch(ctx context.Context, src *mysqltest.Server, l *paced, a *arrivals, watch func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, l.length+time.Minute)
	defer cancel()
	watched := make(chan error, 1)
	go func() { watched <- watch(ctx) }()
	if err := l.run(ctx, src); err != nil {
		cancel()
		<-watched
		return err
	}
	if err := <-watched; err != nil {
		return fmt.Errorf("%d rows are still missing: %w", a.left, err)
	}
	return nil
}

// latencyBesideCopy measures what a snapshot costs the stream: the latency of
// a webhook, under the same load, of changes that are made while another table
// is being copied.
func (b *bench) latencyBesideCopy(ctx context.Context) error {
	src, err := b.source(ctx)
	if err != nil {
		return err
	}
	defer src.Close()
	var p50, p99 []float64
	for run := range b.runs {
		ms, err := b.besideCopy(ctx, src, fmt.Sprint("beside-copy-", run))
		if err != nil {
			return err
		}
		b.progress("latency beside a copy: %d changes, p50 %.2f ms, p99 %.2f ms", len(ms), percentile(ms, 50), percentile(ms, 99))
		p50, p99 = append(p50, percentile(ms, 50)), append(p99, percentile(ms, 99))
	}
	note := "webhook, at 1,000 transactions a second, while sb is copied"
	b.report(line{name: "latency_beside_copy_p50", value: median(p50), unit: "ms", ours: spread(p50), note: note})
	b.report(line{name: "latency_beside_copy_p99", value: median(p99), unit: "ms", ours: spread(p99), note: note})
	return nil
}

// besideCopy returns the latencies of changes that were made from the start of
// the process until sb was copied.
func (b *bench) besideCopy(ctx context.Context, src *mysqltest.Server, folder string) ([]float64, error) {
	if err := lat(ctx, src); err != nil {
		return nil, err
	}
	l := b.load()
	l.warmUp = 0
	a := newArrivals(l.count())
	url, stop, err := a.receiver()
	if err != nil {
		return nil, err
	}
	defer stop()
	p, err := b.towline(folder, configs{"src": sourceConfig(src, "initial", nil),
		"dst": {"connector.class": "webhook", "topics.regex": `b\.bench\.lat`, "http.url": url}})
	if err != nil {
		return nil, err
	}
	if err := started(ctx, p); err != nil {
		return nil, err
	}
	defer p.Kill()
	copied := make(chan error, 1)
	go func() { copied <- l.copying(ctx, p, "bench.sb") }()
	err = b.loadAndWatch(ctx, src, l, a, func(ctx context.Context) error {
		select {
		case <-a.all:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	if err := errors.Join(<-copied, err, p.Stop()); err != nil {
		return nil, err
	}
	return a.since(l), nil
}

// copying waits until a table is copied and notes when that was.
func (l *paced) copying(ctx context.Context, p *process.Process, table string) error {
	for {
		st, err := p.Status(ctx)
		if err != nil {
			return err
		}
		if st.Table(table).State == "following" {
			l.until = time.Now()
			return nil
		}
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
}
