package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/towline/towline/e2e/bench/peers"
	"github.com/towline/towline/e2e/mysqltest"
)

// quarter is how often an expensive question is asked.
const quarter = 250 * time.Millisecond

// debezium measures copying and following beside Debezium Server with its JDBC
// sink. It takes a fifth of the rows: the peer would take minutes for all.
func (b *bench) debezium(ctx context.Context) error {
	if !b.wants(peers.NameDebezium) {
		return nil
	}
	small := *b
	small.rows = b.rows / 5
	src, err := small.source(ctx)
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
		name: "copy_sb_beside_debezium", mark: atLeastTimes(4),
		ours: func(ctx context.Context, run int) (sample, error) {
			return small.copyRun(ctx, src, dst, preferTLS, fmt.Sprint("debezium-copy-", run))
		},
		peer: peers.NameDebezium, against: "Debezium Server, JDBC sink",
		theirs: func(ctx context.Context, run int) (sample, error) {
			d, err := b.debeziumTo(ctx, src, dst, fmt.Sprint("copy-", run))
			if err != nil {
				return sample{}, err
			}
			defer d.Remove()
			if err := d.Start(); err != nil {
				return sample{}, err
			}
			defer d.Stop()
			if err := d.AwaitRows(ctx, "sb"); err != nil {
				return sample{}, err
			}
			return small.copied(ctx, processes{"client": d.PID(), "source": src.PID(), "target": dst.PID()}, small.equal(src, dst, "sb"))
		},
	})
	if err != nil {
		return err
	}
	return small.followBesideDebezium(ctx, src, dst, b)
}

// debeziumTo makes the tables empty in the target, and the peer.
func (b *bench) debeziumTo(ctx context.Context, src, dst *mysqltest.Server, name string) (*peers.Debezium, error) {
	if err := empty(ctx, dst); err != nil {
		return nil, err
	}
	err := execAll(ctx, dst, []string{"CREATE DATABASE bench", "CREATE TABLE bench.sb " + sb.columns, "CREATE TABLE bench.turn (id INT PRIMARY KEY, n INT NOT NULL)"})
	d := &peers.Debezium{Tools: b.tools, Source: src, Target: dst, Database: "bench", Name: "debezium-" + name}
	return d, errors.Join(err, d.Prepare(ctx))
}

// equal waits until a target has as many rows of a table as the source. It
// asks no more than four times a second, since counting costs.
func (b *bench) equal(src, dst *mysqltest.Server, table string) func(context.Context) error {
	return func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		for {
			var n int
			if err := dst.DB().QueryRowContext(ctx, "SELECT COUNT(*) FROM bench."+table).Scan(&n); err != nil {
				return err
			}
			if n == b.rows {
				return same(ctx, src, dst, "bench", table)
			}
			if err := pause(ctx, quarter); err != nil {
				return fmt.Errorf("%d of %d rows arrived: %w", n, b.rows, err)
			}
		}
	}
}

// followBesideDebezium has both follow updates. b has the rows, all reports.
func (b *bench) followBesideDebezium(ctx context.Context, src, dst *mysqltest.Server, all *bench) error {
	own := *b
	own.peers = []string{peers.NameDebezium} // no replica
	m, err := own.newMirror(ctx, src, "debezium-follow", []string{"sb"})
	defer m.close()
	if err != nil {
		return err
	}
	d, err := b.debeziumTo(ctx, src, dst, "follow")
	if err != nil {
		return err
	}
	defer d.Remove()
	if err := d.Start(); err != nil {
		return err
	}
	if err := b.equal(src, dst, "sb")(ctx); err != nil {
		d.Stop()
		return fmt.Errorf("debezium's snapshot: %w\n%s", err, d.Tail())
	}
	if err := d.Stop(); err != nil {
		return err
	}
	theirs := m.follow(b.rows, dst,
		func(ctx context.Context) (processes, error) {
			if err := d.Start(); err != nil {
				return nil, err
			}
			if err := m.turned(ctx, dst, 1); err != nil { // its start takes seconds
				return nil, fmt.Errorf("%w\n%s", err, d.Tail())
			}
			return processes{"client": d.PID(), "source": src.PID(), "target": dst.PID()}, nil
		},
		func(ctx context.Context) error { return m.turned(ctx, dst, 2) },
		func(context.Context) error { return d.Stop() })
	return all.versus(ctx, race{
		name: "follow_updates_beside_debezium", mark: atLeastTimes(4),
		before: func(ctx context.Context, _ int) error {
			return m.record(ctx, func() error { return update(ctx, src, sb, b.rows, b.rows, 1000) })
		},
		ours: m.ours(b.rows), peer: peers.NameDebezium, against: "Debezium Server, JDBC sink", theirs: theirs,
	})
}
