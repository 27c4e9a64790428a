package main

import (
	"context"
	"fmt"
	"os"

	"github.com/go-mysql-org/go-mysql/mysql"

	"github.com/towline/towline/e2e/bench/peers"
	"github.com/towline/towline/e2e/mysqltest"
)

// stream is a figure of changes that go from the server's log into ours.
type stream struct {
	name    string
	table   table
	in      int // rows of the table
	changes int // recorded updates
	per     int // in one transaction
	config  config
	mark    *mark
	raw     bool // the peer receives and does not decode
	note    string
}

// toLog measures how fast recorded changes get from the server into the
// durable log, beside go-mysql, which receives and decodes the same and drops
// it; and from there to a sink that drops them.
func (b *bench) toLog(ctx context.Context) error {
	src, err := b.source(ctx)
	if err != nil {
		return err
	}
	defer src.Close()
	w, err := wide()
	if err != nil {
		return err
	}
	if err := fill(ctx, src, narrow, b.rows); err != nil {
		return err
	}
	if err := fill(ctx, src, w, b.rows/20); err != nil {
		return err
	}
	for _, s := range []stream{
		{name: "binlog_to_log_sb", table: sb, in: b.rows, changes: 2 * b.rows, per: 1000, mark: atLeast(600000)},
		{name: "binlog_to_log_narrow", table: narrow, in: b.rows, changes: 3 * b.rows, per: 1000},
		{name: "binlog_to_log_wide", table: w, in: b.rows / 20, changes: b.rows / 5, per: 100},
		{name: "binlog_to_json_sb", table: sb, in: b.rows, changes: b.rows, per: 1000, mark: atLeast(200000),
			config: config{"value.converter": "json"}, note: "Debezium's envelope with schemas, one message per change"},
		{name: "single_row_tx_to_log", table: sb, in: b.rows, changes: b.rows / 5, per: 1, mark: atLeastTimes(0.7), raw: true},
	} {
		if err := b.streamFigure(ctx, src, s); err != nil {
			return err
		}
	}
	return b.fromLog(ctx)
}

func (b *bench) streamFigure(ctx context.Context, src *mysqltest.Server, s stream) error {
	cfg := config{"table.include.list": `bench\.` + s.table.name}
	for k, v := range s.config {
		cfg[k] = v
	}
	list := configs{"src": sourceConfig(src, "no_data", cfg)}
	if err := b.at(ctx, s.name, list); err != nil {
		return err
	}
	from, err := peers.Position(ctx, src.DB())
	if err != nil {
		return err
	}
	b.progress("%s: recording %d changes", s.name, s.changes)
	if err := update(ctx, src, s.table, s.in, s.changes, s.per); err != nil {
		return err
	}
	peer := &peers.GoMySQL{Host: src.Host, Port: uint16(src.Port), User: src.User, Password: src.Password, Raw: s.raw}
	against := "go-mysql receiving and decoding, dropped"
	if s.raw {
		against = "go-mysql receiving, not even decoding"
	}
	return b.versus(ctx, race{
		name: s.name, mark: s.mark, note: s.note,
		ours: func(ctx context.Context, run int) (sample, error) {
			folder := fmt.Sprint(s.name, "-", run)
			if err := b.again(s.name, folder); err != nil {
				return sample{}, err
			}
			p, err := b.towline(folder, list)
			if err != nil {
				return sample{}, err
			}
			return b.count(ctx, p, counted{connector: "src", rows: s.changes, tables: 1, procs: processes{"source": src.PID()}})
		},
		peer: "go-mysql", against: against,
		theirs: func(ctx context.Context, _ int) (sample, error) {
			return b.goMySQL(ctx, peer, from, s.changes, src.PID())
		},
	})
}

// goMySQL has go-mysql read what was recorded.
func (b *bench) goMySQL(ctx context.Context, peer *peers.GoMySQL, from mysql.Position, changes, source int) (sample, error) {
	procs := processes{"client": os.Getpid(), "source": source}
	var before map[string]float64
	rows, took, err := peer.Read(ctx, from, changes, func() (err error) {
		before, err = procs.cpu()
		return err
	})
	if err != nil {
		return sample{}, err
	}
	cpu, err := procs.since(before)
	return sample{rows: rows, took: took, cpu: cpu}, err
}

// fromLog measures how fast a sink that drops everything is fed from the log
// that an earlier figure has filled.
func (b *bench) fromLog(ctx context.Context) error {
	const folder = "binlog_to_log_sb-0"
	return b.versus(ctx, race{
		name: "log_to_discard_sb", mark: atLeast(1500000),
		ours: func(ctx context.Context, run int) (sample, error) {
			p, err := b.towline(folder, configs{fmt.Sprint("discard-", run): discardConfig()}) // under a new name it begins at the beginning
			if err != nil {
				return sample{}, err
			}
			return b.count(ctx, p, counted{connector: fmt.Sprint("discard-", run), rows: 2 * b.rows, tables: 1})
		},
	})
}
