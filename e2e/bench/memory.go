package main

import (
	"context"
	"fmt"
	"time"

	"github.com/towline/towline/e2e/mysqltest"
)

// start measures from the start of the process to the first change that is
// durable in the log, where one waits at the source.
func (b *bench) start(ctx context.Context) error {
	src, err := launch(ctx)
	if err != nil {
		return err
	}
	defer src.Close()
	if err := lat(ctx, src); err != nil {
		return err
	}
	list := configs{"src": sourceConfig(src, "initial", nil)}
	if err := b.at(ctx, "start", list); err != nil {
		return err
	}
	seconds, err := b.startUp(ctx, src, "start", list)
	if err != nil {
		return err
	}
	b.report(line{name: "start_to_first_change", value: median(seconds), unit: "s", mark: atMost(1), ours: spread(seconds)})
	return nil
}

// startUp starts a process that has been at the source several times and
// returns how long each took until a change that waited was in the log.
func (b *bench) startUp(ctx context.Context, src *mysqltest.Server, folder string, list configs) ([]float64, error) {
	var seconds []float64
	for run := range b.runs + 1 {
		if _, err := src.DB().ExecContext(ctx, "INSERT INTO bench.lat VALUES (?, 'waits')", 1+run); err != nil {
			return nil, err
		}
		p, err := b.towline(folder, list)
		if err != nil {
			return nil, err
		}
		begin := time.Now()
		if err := started(ctx, p); err != nil {
			return nil, err
		}
		arrived, _, err := b.moved(ctx, p, counted{connector: "src", every: 5 * time.Millisecond}, 0)
		p.Kill()
		if err != nil {
			return nil, err
		}
		seconds = append(seconds, arrived.Sub(begin).Seconds())
		b.progress("%s: %.3f s to the first change", folder, arrived.Sub(begin).Seconds())
	}
	return seconds, nil
}

// idle measures the memory and the processor that ten connectors take which
// have nothing to do: five sources and five sinks.
func (b *bench) idle(ctx context.Context) error {
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
	if err := fill(ctx, src, sb, 20000); err != nil {
		return err
	}
	const pairs = 5
	list := configs{}
	for i := range pairs {
		prefix := fmt.Sprint("b", i)
		list[fmt.Sprint("src", i)] = sourceConfig(src, "initial", config{"topic.prefix": prefix})
		sink := jdbcConfig(dst)
		sink["topics.regex"], sink["table.name.format"] = prefix+`\..*`, fmt.Sprint("bench", i, ".${table}")
		list[fmt.Sprint("dst", i)] = sink
	}
	p, err := b.towline("idle", list)
	if err != nil {
		return err
	}
	if err := started(ctx, p); err != nil {
		return err
	}
	defer p.Kill()
	if err := p.Wait(ctx, patience); err != nil {
		return err
	}
	peak, err := memory(p.PID(), "VmHWM")
	if err != nil {
		return err
	}
	rest := 30 * time.Second // for memory to go back to the system
	if b.quick {
		rest = 10 * time.Second
	}
	if err := pause(ctx, rest); err != nil {
		return err
	}
	return b.idling(ctx, p.PID(), peak)
}

func (b *bench) idling(ctx context.Context, pid int, peak int64) error {
	const look = 10 * time.Second
	before, err := cpuSeconds(pid)
	if err != nil {
		return err
	}
	if err := pause(ctx, look); err != nil {
		return err
	}
	after, err := cpuSeconds(pid)
	if err != nil {
		return err
	}
	resident, err := memory(pid, "VmRSS")
	if err != nil {
		return err
	}
	anonymous, err := memory(pid, "RssAnon")
	if err != nil {
		return err
	}
	b.report(line{name: "idle_memory", value: float64(resident) / (1 << 20), unit: "MB", mark: atMost(40), peak: peak,
		note: fmt.Sprintf("resident with 5 sources and 5 sinks after copying 100,000 rows; without the program's own pages %d MB", anonymous>>20)})
	b.report(line{name: "idle_processor", value: 100 * (after - before) / look.Seconds(), unit: "%", note: "of one core, the same"})
	return nil
}

// largeTransaction follows a transaction of five gigabytes into the log and
// from there into a sink.
func (b *bench) largeTransaction(ctx context.Context) error {
	src, err := launch(ctx, "--max-allowed-packet=1G")
	if err != nil {
		return err
	}
	defer src.Close()
	const width = 16384
	rows := 5 << 30 / width
	if b.quick {
		rows /= 10
	}
	if err := execAll(ctx, src, []string{"CREATE DATABASE bench", "CREATE TABLE bench.big (id INT PRIMARY KEY, v MEDIUMTEXT NOT NULL)"}); err != nil {
		return err
	}
	list := configs{"src": sourceConfig(src, "initial", nil), "dst": discardConfig()}
	if err := b.at(ctx, "large", list); err != nil {
		return err
	}
	b.progress("large: recording a transaction of %d MB", rows*width>>20)
	if err := execAll(ctx, src, []string{fmt.Sprintf("INSERT INTO bench.big %s SELECT n, REPEAT(SHA2(n, 256), %d) FROM s", numbers(1, rows), width/64)}); err != nil {
		return err
	}
	p, err := b.towline("large", list)
	if err != nil {
		return err
	}
	s, err := b.count(ctx, p, counted{connector: "dst", rows: rows, every: 50 * time.Millisecond, procs: processes{"source": src.PID()}})
	if err != nil {
		return err
	}
	b.report(line{name: "large_transaction", value: s.rate() * width / (1 << 20), unit: "MB/s", cpu: series{s}.cpu(), peak: s.peak,
		note: fmt.Sprintf("one transaction of %.1f GB into the log and from there to a sink", float64(rows*width)/(1<<30))})
	b.report(line{name: "large_transaction_memory", value: float64(s.peak >> 20), unit: "MB", mark: atMost(300)})
	return nil
}
