package main

import (
	"context"
	"fmt"
	"strconv"

	"github.com/towline/towline/e2e/mysqltest"
)

// snapshot measures the initial copy into the durable log, beside mysqldump
// writing the same table to nowhere, and what more readers bring.
func (b *bench) snapshot(ctx context.Context) error {
	src, err := b.source(ctx)
	if err != nil {
		return err
	}
	defer src.Close()
	ours := func(name string, readers int) side {
		return func(ctx context.Context, run int) (sample, error) {
			return b.snapshotRun(ctx, src, fmt.Sprint(name, "-", run), readers)
		}
	}
	if err := b.versus(ctx, race{
		name: "snapshot_to_log_sb", mark: atLeast(400000), ours: ours("snapshot", 0),
		peer: "mysqldump", against: "mysqldump to nowhere",
		theirs: func(ctx context.Context, _ int) (sample, error) {
			return b.commands(ctx, b.rows, processes{"source": src.PID()}, b.tools.MySQLDump(src, "bench"))
		},
	}); err != nil {
		return err
	}
	if err := b.versus(ctx, race{
		name: "snapshot_4_readers", ours: ours("readers-4", 4),
		peer: ourselves, against: "one reader", theirs: ours("readers-1", 1),
	}); err != nil {
		return err
	}
	return b.beside(ctx, src)
}

func (b *bench) snapshotRun(ctx context.Context, src *mysqltest.Server, folder string, readers int) (sample, error) {
	more := config{"table.include.list": `bench\.sb`}
	if readers > 0 {
		more["snapshot.max.threads"] = strconv.Itoa(readers)
	}
	p, err := b.towline(folder, configs{"src": sourceConfig(src, "initial", more)})
	if err != nil {
		return sample{}, err
	}
	return b.count(ctx, p, counted{connector: "src", rows: b.rows, tables: 1, procs: processes{"source": src.PID()}})
}
