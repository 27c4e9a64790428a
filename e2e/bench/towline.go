package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/towline/towline/e2e/mysqltest"
	"github.com/towline/towline/e2e/process"
)

// patience is how long anything may take before it is given up.
const patience = 15 * time.Minute

// config is one connector's; configs are all of a process, by name.
type (
	config  = map[string]string
	configs map[string]config
)

// sourceConfig is that of a source, named src in all figures.
func sourceConfig(s *mysqltest.Server, mode string, more config) config {
	c := config{"connector.class": "mysql", "database.hostname": s.Host, "database.port": strconv.Itoa(s.Port), "database.user": s.User,
		"database.password": s.Password, "database.include.list": "bench", "topic.prefix": "b", "snapshot.mode": mode}
	for k, v := range more {
		c[k] = v
	}
	return c
}

func jdbcConfig(s *mysqltest.Server) config {
	return config{"connector.class": "jdbc", "lanes": strconv.Itoa(lanes()), "topics.regex": `b\..*`, "connection.url": fmt.Sprintf("jdbc:mysql://%s:%d/", s.Host, s.Port),
		"connection.user": s.User, "connection.password": s.Password, "table.name.format": "${database}.${table}"}
}

// transport is how Towline talks to the servers.
type transport string

const (
	preferTLS transport = "tls" // the default
	plain     transport = "plain"
)

// copy is a source and a sink that copy one server to another.
func (t transport) copy(src, dst *mysqltest.Server) configs {
	from, to := sourceConfig(src, "initial", nil), jdbcConfig(dst)
	if t == plain {
		from["database.ssl.mode"] = "disabled"
		to["connection.url"] += "?sslMode=DISABLED"
	}
	return configs{"src": from, "dst": to}
}

// lanes is as many as there are cores for the target, which is on this machine
// too; the default is for a target that has one of its own.
func lanes() int { return min(max(runtime.NumCPU(), 2), 8) }

func discardConfig() config { return config{"connector.class": "discard", "topics.regex": `b\..*`} }

// towline returns a process with the given connectors, in a folder of its own
// of that name, which may be there already.
func (b *bench) towline(name string, list configs) (*process.Process, error) {
	dir := filepath.Join(b.dir, name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	p := &process.Process{Bin: b.bin, Data: filepath.Join(dir, "data"), Log: filepath.Join(dir, "log")}
	for n, c := range list {
		path, err := process.Connector(dir, n, c)
		if err != nil {
			return nil, err
		}
		p.Args = append(p.Args, path)
	}
	return p, nil
}

// at makes the folder name the data of a process that has read all that the
// source has by now: what is recorded from here on is what it will read when
// it is started.
func (b *bench) at(ctx context.Context, name string, list configs) error {
	p, err := b.towline(name, list)
	if err != nil {
		return err
	}
	return b.through(ctx, p)
}

// through runs p until all has arrived.
func (b *bench) through(ctx context.Context, p *process.Process) error {
	if err := started(ctx, p); err != nil {
		return err
	}
	defer p.Kill()
	for begun := 0; begun < len(p.Args); { // workers that share connectors make those of files when they have joined
		st, err := p.Status(ctx)
		if err != nil {
			return err
		}
		if begun = len(st.Connectors); begun < len(p.Args) {
			if err := pause(ctx, 10*time.Millisecond); err != nil {
				return err
			}
		}
	}
	if err := p.Wait(ctx, patience); err != nil {
		return err
	}
	return p.Stop()
}

func started(ctx context.Context, p *process.Process) error {
	if err := p.Start(); err != nil {
		return err
	}
	if err := p.AwaitUp(ctx); err != nil {
		p.Kill()
		return err
	}
	return nil
}

// again copies the folder of one run for another.
func (b *bench) again(from, to string) error {
	if err := os.RemoveAll(filepath.Join(b.dir, to)); err != nil {
		return err
	}
	return os.CopyFS(filepath.Join(b.dir, to, "data"), os.DirFS(filepath.Join(b.dir, from, "data")))
}

// counted is a run whose rows are counted as they become durable in the log,
// or as a sink is through with them.
type counted struct {
	connector string
	rows      int           // that will come
	tables    int           // whose announcements, a record each, may come with them
	every     time.Duration // how often it is asked, and ten times that at the begin and towards the end
	procs     processes     // besides ours
	peers     func()        // runs beside; nil: nothing
}

// count starts p, watches its counter of written records until all rows are
// there, and stops it. What had arrived when the counter was first seen to
// move is not part of the sample: so the start of the process is not either.
func (b *bench) count(ctx context.Context, p *process.Process, c counted) (sample, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := started(ctx, p); err != nil {
		return sample{}, err
	}
	defer p.Kill()
	procs := processes{"ours": p.PID()}
	for who, pid := range c.procs {
		procs[who] = pid
	}
	first, n0, err := b.moved(ctx, p, c, 0)
	if err != nil {
		return sample{}, err
	}
	before, err := procs.cpu()
	if err != nil {
		return sample{}, err
	}
	last, n := first, n0
	for n < c.rows {
		if last, n, err = b.moved(ctx, p, c, n); err != nil {
			return sample{}, fmt.Errorf("%d of %d rows arrived: %w", n, c.rows, err)
		}
	}
	s := sample{rows: n - n0, took: last.Sub(first)}
	if s.cpu, err = procs.since(before); err != nil {
		return sample{}, err
	}
	if s.peak, err = memory(p.PID(), "VmHWM"); err != nil {
		return sample{}, err
	}
	if n0 == n {
		return s, fmt.Errorf("all %d rows came at once: too few to measure", n)
	}
	return s, errors.Join(exactly(ctx, p, c), p.Stop())
}

// moved waits until the counter is beyond n.
func (b *bench) moved(ctx context.Context, p *process.Process, c counted, n int) (time.Time, int, error) {
	if c.every == 0 {
		c.every = 10 * time.Millisecond
	}
	for {
		now, err := written(ctx, p, c.connector)
		if err != nil {
			return time.Time{}, n, fmt.Errorf("%w\n%s", err, p.LogTail(10))
		}
		if now > n {
			return time.Now(), now, nil
		}
		select {
		case <-ctx.Done():
			return time.Time{}, n, fmt.Errorf("%w\n%s", ctx.Err(), p.LogTail(10))
		case <-time.After(c.pause(n)):
		}
	}
}

// pause is how long to wait until the next question, when n rows were there.
func (c *counted) pause(n int) time.Duration {
	if n == 0 || n > c.rows-c.rows/10 {
		return c.every / 10
	}
	return c.every
}

// exactly checks that no more came than should.
func exactly(ctx context.Context, p *process.Process, c counted) error {
	n, err := written(ctx, p, c.connector)
	if err == nil && (n < c.rows || n > c.rows+c.tables) {
		err = fmt.Errorf("%d rows arrived, want %d", n, c.rows)
	}
	return err
}

// written returns how many rows of a connector are written: of a source, are
// durable in the log.
func written(ctx context.Context, p *process.Process, connector string) (int, error) {
	body, err := p.Get(ctx, "/metrics?tables=false") // those of each table take time, and would be measured too
	if err != nil {
		return 0, err
	}
	total := 0.0
	for l := range strings.Lines(string(body)) {
		if !strings.HasPrefix(l, "towline_task_records_total{") || !strings.Contains(l, `connector="`+connector+`"`) || !strings.Contains(l, `what="written"`) {
			continue
		}
		v, err := strconv.ParseFloat(strings.TrimSpace(l[strings.LastIndexByte(l, ' ')+1:]), 64)
		if err != nil {
			return 0, fmt.Errorf("metrics: %w", err)
		}
		total += v
	}
	return int(total), nil
}
