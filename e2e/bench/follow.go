package main

import (
	"context"
	"fmt"
	"time"

	"github.com/towline/towline/e2e/bench/peers"
	"github.com/towline/towline/e2e/mysqltest"
)

// follow measures how fast recorded updates get into another server, beside a
// native replica with four workers that applies the same log.
func (b *bench) follow(ctx context.Context) error {
	src, err := b.source(ctx)
	if err != nil {
		return err
	}
	defer src.Close()
	m, err := b.newMirror(ctx, src, "follow", []string{"sb"})
	defer m.close()
	if err != nil {
		return err
	}
	err = b.versus(ctx, race{
		name: "follow_updates_sb", mark: atLeastTimes(1.2),
		before: func(ctx context.Context, _ int) error {
			return m.record(ctx, func() error { return update(ctx, src, sb, b.rows, b.rows, 1000) })
		},
		ours: m.ours(b.rows), peer: peers.NameReplica, against: "native replica, 4 workers", theirs: m.theirs(b.rows),
	})
	if err != nil {
		return err
	}
	return withoutTLS(ctx, src, m.target)
}

// sysbench measures the same with the load of oltp_write_only: transactions of
// two updates, a delete and an insert, single rows all of them.
func (b *bench) sysbench(ctx context.Context) error {
	if !b.tools.Has(peers.NameSysbench) {
		b.progress("sysbench is not installed: e2e/servers/peers.sh")
		return nil
	}
	src, err := launch(ctx)
	if err != nil {
		return err
	}
	defer src.Close()
	load := peers.Load{Tables: 4, Rows: b.rows / 4, Sessions: sessions}
	if err := execAll(ctx, src, []string{"CREATE DATABASE bench"}); err != nil {
		return err
	}
	if _, err := b.commands(ctx, 1, nil, b.tools.Prepare(src, load)); err != nil {
		return err
	}
	m, err := b.newMirror(ctx, src, "sysbench", load.Names())
	defer m.close()
	if err != nil {
		return err
	}
	transactions := b.rows / 10
	return b.versus(ctx, race{
		name: "follow_sysbench", unit: "tx/s", mark: atLeastTimes(1.2), note: "oltp_write_only; per million transactions",
		before: func(ctx context.Context, _ int) error {
			return m.record(ctx, func() error {
				_, err := b.commands(ctx, 1, nil, b.tools.Run(src, load, transactions))
				return err
			})
		},
		ours: m.ours(transactions), peer: peers.NameReplica, against: "native replica, 4 workers", theirs: m.theirs(transactions),
	})
}

// copyTables measures the initial copy into another server, beside mydumper
// and myloader.
func (b *bench) copyTables(ctx context.Context) error {
	src, err := b.source(ctx)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := launch(ctx)
	if err != nil {
		return err
	}
	defer dst.Close()
	err = b.versus(ctx, race{
		name: "copy_sb", mark: atLeastTimes(1.2),
		ours: func(ctx context.Context, run int) (sample, error) {
			return b.copyRun(ctx, src, dst, plain, fmt.Sprint("copy-", run))
		},
		peer: peers.NameMyDumper, against: "mydumper, then myloader, 2 threads",
		theirs: func(ctx context.Context, _ int) (sample, error) {
			if err := empty(ctx, dst); err != nil {
				return sample{}, err
			}
			inside, _, err := b.tools.Folder("dump")
			if err != nil {
				return sample{}, err
			}
			s, err := b.commands(ctx, b.rows, processes{"source": src.PID(), "target": dst.PID()},
				b.tools.MyDumper(src, "bench", inside, b.rows/8), b.tools.MyLoader(dst, inside))
			if err != nil {
				return s, err
			}
			return s, same(ctx, src, dst, "bench", "sb")
		},
	})
	if err != nil {
		return err
	}
	if err := withoutTLS(ctx, src, dst); err != nil {
		return err
	}
	over := func(t transport) side {
		return func(ctx context.Context, run int) (sample, error) {
			return b.copyRun(ctx, src, dst, t, fmt.Sprint("copy-", t, run))
		}
	}
	return b.versus(ctx, race{name: "copy_sb_tls", ours: over(preferTLS), peer: ourselves, against: "the same without TLS", theirs: over(plain), runs: 1})
}

// empty removes all that was copied.
func empty(ctx context.Context, s *mysqltest.Server) error {
	return execAll(ctx, s, []string{"DROP DATABASE IF EXISTS bench", "DROP DATABASE IF EXISTS towline"})
}

// copyRun is Towline copying sb once, from the moment when it answers.
func (b *bench) copyRun(ctx context.Context, src, dst *mysqltest.Server, over transport, folder string) (sample, error) {
	if err := empty(ctx, dst); err != nil {
		return sample{}, err
	}
	p, err := b.towline(folder, over.copy(src, dst))
	if err != nil {
		return sample{}, err
	}
	if err := started(ctx, p); err != nil {
		return sample{}, err
	}
	defer p.Kill()
	s, err := b.copied(ctx, processes{"ours": p.PID(), "source": src.PID(), "target": dst.PID()}, func(ctx context.Context) error { return p.Wait(ctx, patience) })
	if err != nil {
		return s, fmt.Errorf("%w\n%s", err, p.LogTail(10))
	}
	if s.peak, err = memory(p.PID(), "VmHWM"); err != nil {
		return s, err
	}
	if err := p.Stop(); err != nil {
		return s, err
	}
	return s, same(ctx, src, dst, "bench", "sb")
}

// copied measures until wait returns.
func (b *bench) copied(ctx context.Context, procs processes, wait func(context.Context) error) (sample, error) {
	before, err := procs.cpu()
	if err != nil {
		return sample{}, err
	}
	begin := time.Now()
	if err := wait(ctx); err != nil {
		return sample{}, err
	}
	s := sample{rows: b.rows, took: time.Since(begin)}
	s.cpu, err = procs.since(before)
	return s, err
}
