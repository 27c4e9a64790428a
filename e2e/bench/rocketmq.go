package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/connect/rocketlog"
	"github.com/towline/towline/e2e/child"
	"github.com/towline/towline/e2e/process"
	"github.com/towline/towline/e2e/rockettest"
)

// debeziumToRocketMQ is what Debezium Server is known to bring into RocketMQ, in
// rows a second. It is not measured here.
const debeziumToRocketMQ = 17000

// largePulls has brokers give readers more than 32 messages at a time, as
// deploy/rocketmq.md recommends.
var largePulls = []string{"maxTransferCountOnMessageInMemory=1024", "maxTransferBytesOnMessageInMemory=1048576"}

// rocketmq measures how fast recorded changes get from the server through a
// broker to a sink that drops them, all on this machine.
func (b *bench) rocketmq(ctx context.Context) error {
	mq, err := rockettest.Launch(ctx, rockettest.Config{Fast: true, Settings: largePulls, Java: []string{"-Drocketmq.broker.rebalance.lockMaxLiveTime=500"}})
	if errors.Is(err, rockettest.ErrNotInstalled) {
		b.progress("rocketmq: %v", err)
		return nil
	}
	if err != nil {
		return err
	}
	defer mq.Close()
	src, err := b.source(ctx)
	if err != nil {
		return err
	}
	defer src.Close()
	for _, f := range []struct {
		name    string
		changes int
		queues  int // of the topic; one batch is in flight for each
		mark    *mark
		config  config
		note    string
	}{
		{"rocketmq_frames_sb", 2 * b.rows, 1, atLeast(200000), nil, "source to sink, through a broker"},
		{"rocketmq_json_sb", b.rows / 2, 8, atLeast(60000), config{"value.converter": "json", "value.converter.schemas.enable": "false"},
			"one message per change with KEYS, TAGS and properties, in 8 queues, to a reader that counts; Debezium Server into RocketMQ, not measured here: about " + number(debeziumToRocketMQ)},
	} {
		from, to := sourceConfig(src, "no_data", config{"table.include.list": `bench\.sb`}), discardConfig()
		for k, v := range f.config {
			from[k], to[k] = v, v
		}
		list := configs{"src": from, "dst": to}
		if f.config != nil { // without schemas only others can read it
			delete(list, "dst")
		}
		var procs []*process.Process
		for run := range b.runs + 1 { // each goes on from here, in a namespace of its own
			p, err := b.rocketWorker(fmt.Sprintf("%s-%d", f.name, run), mq.NameServer, f.queues, list)
			if err != nil {
				return err
			}
			if err := b.through(ctx, p); err != nil {
				return err
			}
			procs = append(procs, p)
		}
		b.progress("%s: recording %d changes", f.name, f.changes)
		if err := update(ctx, src, sb, b.rows, f.changes, 1000); err != nil {
			return err
		}
		ours := func(ctx context.Context, run int) (sample, error) {
			if f.config != nil {
				return b.readRocket(ctx, procs[run], rocketlog.Options{NameServers: []string{mq.NameServer}, Namespace: fmt.Sprintf("%s-%d", f.name, run)}, f.changes,
					processes{"source": src.PID(), "broker": mq.Brokers[0].PID(), "reader": os.Getpid()})
			}
			return b.count(ctx, procs[run], counted{connector: "dst", rows: f.changes, tables: 1, every: 50 * time.Millisecond,
				procs: processes{"source": src.PID(), "broker": mq.Brokers[0].PID()}})
		}
		// Brokers run for months: what their compilers do in the first minute is half of
		// their work there, and is not what is measured.
		if _, err := ours(ctx, b.runs); err != nil {
			return err
		}
		if err := b.versus(ctx, race{name: f.name, mark: f.mark, note: f.note, ours: ours}); err != nil {
			return err
		}
	}
	return nil
}

// readRocket starts p and counts the messages of sb as a reader gets them. What
// the first answer brings is not part of the sample.
func (b *bench) readRocket(ctx context.Context, p *process.Process, o rocketlog.Options, changes int, procs processes) (s sample, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := started(ctx, p); err != nil {
		return s, err
	}
	defer p.Kill()
	procs["ours"] = p.PID()
	log, err := rocketlog.Open(ctx, o)
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	const topic = "b.bench.sb"
	var from []connect.Cursor
	for len(from) == 0 {
		all, err := log.Topics(ctx)
		if err != nil {
			return s, err
		}
		for i := range all[topic] {
			from = append(from, connect.Cursor{Topic: topic, Partition: i})
		}
		if err := pause(ctx, 10*time.Millisecond); err != nil {
			return s, err
		}
	}
	r, err := log.OpenReader(ctx, from)
	if err != nil {
		return s, err
	}
	defer r.Close()
	var m connect.Messages
	defer m.Reset()
	var before map[string]float64
	var begin time.Time
	for n := 0; n < changes; {
		m.Reset()
		if err := r.Read(ctx, &m, 1<<20); err != nil {
			return s, err
		}
		n += len(m.List)
		if begin.IsZero() {
			begin, s.rows = time.Now(), -n
			if before, err = procs.cpu(); err != nil {
				return s, err
			}
		}
	}
	s.rows, s.took = s.rows+changes, time.Since(begin)
	if s.cpu, err = procs.since(before); err != nil {
		return s, err
	}
	s.peak, err = memory(p.PID(), "VmHWM")
	return s, errors.Join(err, p.Stop())
}

// rocketWorker is towline for topics in a namespace of RocketMQ, of so many queues.
func (b *bench) rocketWorker(name, nameServer string, queues int, list configs) (*process.Process, error) {
	p, err := b.towline(name, list)
	if err != nil {
		return nil, err
	}
	port, err := child.LeasePort(0)
	if err != nil {
		return nil, err
	}
	p.Address, p.Worker = fmt.Sprintf("127.0.0.1:%d", port.Port), filepath.Join(b.dir, name, "worker.json")
	text := fmt.Sprintf(`{"listeners": "http://%s", "namesrvAddr": %q, "connectClusterId": %q, "defaultTopicQueueNums": %d}`, p.Address, nameServer, name, queues)
	return p, errors.Join(port.Close(), os.WriteFile(p.Worker, []byte(text), 0o600))
}
