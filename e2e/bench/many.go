package main

import (
	"context"
	"fmt"
	"time"

	"github.com/towline/towline/e2e/mysqltest"
)

// manyTables measures what 5,000 tables cost, beside one table of as many
// rows: for each row, and at the start.
func (b *bench) manyTables(ctx context.Context) error {
	n := 5000
	if b.quick {
		n = 500
	}
	src, err := b.withTables(ctx, n)
	if err != nil {
		return err
	}
	defer src.Close()
	if err := b.manyFigure(ctx, src, fmt.Sprint("tables_", n), n, nil); err != nil {
		return err
	}
	if err := lat(ctx, src); err != nil {
		return err
	}
	list := configs{"src": sourceConfig(src, "no_data", nil)}
	if err := b.at(ctx, "start-tables", list); err != nil {
		return err
	}
	seconds, err := b.startUp(ctx, src, "start-tables", list)
	if err != nil {
		return err
	}
	b.report(line{name: fmt.Sprint("start_with_tables_", n), value: median(seconds), unit: "s", mark: atMost(5), ours: spread(seconds)})
	return nil
}

// manyPartitions measures the same of 200 topics with eight partitions each.
func (b *bench) manyPartitions(ctx context.Context) error {
	const n = 200
	src, err := b.withTables(ctx, n)
	if err != nil {
		return err
	}
	defer src.Close()
	return b.manyFigure(ctx, src, "topics_200x8", n, config{"topic.creation.default.partitions": "8"})
}

// withTables starts a server with the table sb, and as many rows in n tables.
func (b *bench) withTables(ctx context.Context, n int) (*mysqltest.Server, error) {
	src, err := b.source(ctx)
	if err != nil {
		return nil, err
	}
	b.progress("%d tables", n)
	err = parallel(sessions, func(w int) error {
		for i := w; i < n; i += sessions {
			per := b.rows / n
			if err := execAll(ctx, src, []string{fmt.Sprintf("CREATE TABLE bench.t%d %s", i, sb.columns),
				fmt.Sprintf("INSERT INTO bench.t%d SELECT * FROM bench.sb WHERE id > %d AND id <= %d", i, i*per, (i+1)*per)}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		src.Close()
		return nil, err
	}
	return src, nil
}

// askEvery is how often it is asked how far both sides are: to look at the ends
// of thousands of topics is work too.
const askEvery = 100 * time.Millisecond

// manyFigure compares updates of all rows of n tables with those of one table,
// in transactions of the same size, from the source through the log to a sink
// that discards.
func (b *bench) manyFigure(ctx context.Context, src *mysqltest.Server, name string, n int, more config) error {
	per := b.rows / n
	all := config{"table.include.list": `bench\.t[0-9]+`}
	for k, v := range more {
		all[k] = v
	}
	many := configs{"src": sourceConfig(src, "no_data", all), "dst": discardConfig()}
	one := configs{"src": sourceConfig(src, "no_data", config{"table.include.list": `bench\.sb`}), "dst": discardConfig()}
	if err := b.at(ctx, name, many); err != nil {
		return err
	}
	b.progress("%s: recording %d changes", name, per*n)
	err := parallel(sessions, func(w int) error {
		for i := w; i < n; i += sessions {
			for lo := 0; lo < per; lo += 1000 {
				if _, err := src.DB().ExecContext(ctx, fmt.Sprintf("UPDATE bench.t%d SET %s WHERE id > %d AND id <= %d", i, sb.set, i*per+lo, i*per+min(lo+1000, per))); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := b.at(ctx, name+"-one", one); err != nil {
		return err
	}
	if err := update(ctx, src, sb, per*n, per*n, min(per, 1000)); err != nil {
		return err
	}
	// The first has to pass over what the second reads, at its end.
	side := func(folder string, list configs) side {
		return func(ctx context.Context, run int) (sample, error) {
			work := fmt.Sprint(folder, "-", run)
			if err := b.again(folder, work); err != nil {
				return sample{}, err
			}
			p, err := b.towline(work, list)
			if err != nil {
				return sample{}, err
			}
			return b.count(ctx, p, counted{connector: "dst", rows: per * n, tables: n, every: askEvery, procs: processes{"source": src.PID()}})
		}
	}
	return b.versus(ctx, race{name: name, mark: atLeastTimes(0.9), ours: side(name, many), peer: ourselves, against: "one table", theirs: side(name+"-one", one)})
}
