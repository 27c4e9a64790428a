package main

import (
	"context"
	"fmt"

	"github.com/towline/towline/e2e/mysqltest"
)

// beside measures what a snapshot costs the stream: recorded changes of one
// table are caught up with while another one of as many rows is copied, beside
// the same changes alone. Rows of both count.
func (b *bench) beside(ctx context.Context, src *mysqltest.Server) error {
	if err := execAll(ctx, src, []string{"DROP TABLE IF EXISTS bench.other", "CREATE TABLE bench.other LIKE bench.sb", "INSERT INTO bench.other SELECT * FROM bench.sb"}); err != nil {
		return err
	}
	const name = "stream_beside_snapshot"
	list := func(tables string) configs {
		return configs{"src": sourceConfig(src, "initial", config{"table.include.list": tables})}
	}
	if err := b.at(ctx, name, configs{"src": sourceConfig(src, "no_data", config{"table.include.list": `bench\.sb`})}); err != nil {
		return err
	}
	b.progress("%s: recording %d changes", name, b.rows)
	if err := update(ctx, src, sb, b.rows, b.rows, 1000); err != nil {
		return err
	}
	side := func(folder, tables string, n int) side {
		return func(ctx context.Context, run int) (sample, error) {
			work := fmt.Sprint(folder, "-", run)
			if err := b.again(name, work); err != nil {
				return sample{}, err
			}
			p, err := b.towline(work, list(tables))
			if err != nil {
				return sample{}, err
			}
			return b.count(ctx, p, counted{connector: "src", rows: n * b.rows, tables: n, procs: processes{"source": src.PID()}})
		}
	}
	return b.versus(ctx, race{name: name, ours: side(name, `bench\.(sb|other)`, 2), peer: ourselves, against: "the stream alone", theirs: side(name+"-alone", `bench\.sb`, 1),
		note: "a table is copied meanwhile; rows of both"})
}
