package main

import (
	"context"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/go-mysql-org/go-mysql/mysql"
	"github.com/go-mysql-org/go-mysql/replication"

	"github.com/towline/towline/e2e/mysqltest"
)

// toLog measures how fast recorded changes get from the server into the
// durable log. The limit beside it is go-mysql receiving and decoding the
// same log, and dropping it.
func (b *bench) toLog(ctx context.Context) error {
	src, err := b.source(ctx)
	if err != nil {
		return err
	}
	defer src.Close()
	if err := b.logFigure(ctx, src, "binlog_to_log_sb", 2*b.rows, 1000); err != nil {
		return err
	}
	return b.logFigure(ctx, src, "single_row_transactions_to_log", b.rows/5, 1)
}

func (b *bench) logFigure(ctx context.Context, src *mysqltest.Server, name string, rows, per int) error {
	from, err := position(ctx, src)
	if err != nil {
		return err
	}
	catchUp := func(ctx context.Context, run int) (time.Duration, error) {
		return b.once(ctx, fmt.Sprintf("%s-%d", name, run), connectors{"src": sourceConfig(src, "no_data")})
	}
	for run := range b.runs { // the processes that will catch up know where to begin before the changes are made
		if _, err := catchUp(ctx, run); err != nil {
			return err
		}
	}
	if err := update(ctx, src, b.rows, rows, per); err != nil {
		return err
	}
	run := 0
	return b.versus(ctx, race{
		name: name, rows: rows,
		ours: func(ctx context.Context) (time.Duration, error) {
			run++
			return catchUp(ctx, run-1)
		},
		peer: "go-mysql", against: "go-mysql dump and decode, dropped",
		theirs: func(ctx context.Context) (time.Duration, error) { return dump(ctx, src, from, rows) },
	})
}

func position(ctx context.Context, s *mysqltest.Server) (mysql.Position, error) {
	var p mysql.Position
	var a, b, c string
	err := s.DB().QueryRowContext(ctx, "SHOW BINARY LOG STATUS").Scan(&p.Name, &p.Pos, &a, &b, &c)
	return p, err
}

// dump receives and decodes rows with go-mysql from a position on.
func dump(ctx context.Context, s *mysqltest.Server, from mysql.Position, rows int) (time.Duration, error) {
	syncer := replication.NewBinlogSyncer(replication.BinlogSyncerConfig{ServerID: 4242, Flavor: "mysql", Host: s.Host, Port: uint16(s.Port), User: s.User, Password: s.Password,
		RenderJSONAsMySQLText: true, DiscardGTIDSet: true})
	defer syncer.Close()
	begin := time.Now()
	st, err := syncer.StartSync(from)
	if err != nil {
		return 0, err
	}
	for got := 0; got < rows; {
		ev, err := st.GetEvent(ctx)
		if err != nil {
			return 0, err
		}
		if r, ok := ev.Event.(*replication.RowsEvent); ok {
			got += len(r.Rows) / 2
		}
	}
	return time.Since(begin), nil
}

// snapshot measures the initial copy into the durable log, beside mysqldump
// writing the same table to nowhere.
func (b *bench) snapshot(ctx context.Context) error {
	src, err := b.source(ctx)
	if err != nil {
		return err
	}
	defer src.Close()
	run := 0
	return b.versus(ctx, race{
		name: "snapshot_to_log_sb", rows: b.rows,
		ours: func(ctx context.Context) (time.Duration, error) {
			run++
			return b.once(ctx, fmt.Sprint("snapshot-", run), connectors{"src": sourceConfig(src, "initial")})
		},
		peer: "mysqldump", against: "mysqldump to nowhere",
		theirs: func(ctx context.Context) (time.Duration, error) {
			begin := time.Now()
			cmd, err := dumpCommand(ctx, src)
			if err != nil {
				return 0, err
			}
			cmd.Stdout = io.Discard
			err = cmd.Run()
			return time.Since(begin), err
		},
	})
}

func dumpCommand(ctx context.Context, s *mysqltest.Server) (*exec.Cmd, error) {
	return s.Tool(ctx, "mysqldump", append(s.ClientArgs(), "--single-transaction", "--set-gtid-purged=OFF", "--no-create-info", "--databases", "bench")...)
}

// follow measures how fast recorded updates get into another server, beside
// a native replica with four workers that applies the same log.
func (b *bench) follow(ctx context.Context) error {
	src, err := b.source(ctx)
	if err != nil {
		return err
	}
	defer src.Close()
	var mirrors []*mirror
	for i := range b.runs {
		m, err := b.newMirror(ctx, src, fmt.Sprint("follow-", i))
		defer m.close()
		if err != nil {
			return err
		}
		mirrors = append(mirrors, m)
	}
	if err := update(ctx, src, b.rows, b.rows, 1000); err != nil {
		return err
	}
	i, j := 0, 0
	return b.versus(ctx, race{
		name: "follow_updates_sb", rows: b.rows,
		ours: func(ctx context.Context) (time.Duration, error) {
			i++
			return untilArrived(ctx, mirrors[i-1].proc)
		},
		peer: "replica", against: "native replica, 4 workers",
		theirs: func(ctx context.Context) (time.Duration, error) {
			j++
			return mirrors[j-1].catchUp(ctx, src)
		},
	})
}

// copyTables measures the initial copy into another server, beside mysqldump
// piped into the client.
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
	run := 0
	return b.versus(ctx, race{
		name: "copy_sb", rows: b.rows,
		ours: func(ctx context.Context) (time.Duration, error) {
			run++
			if err := empty(ctx, dst); err != nil {
				return 0, err
			}
			took, err := b.once(ctx, fmt.Sprint("copy-", run), connectors{"src": sourceConfig(src, "initial"), "dst": sinkConfig(dst)})
			if err != nil {
				return 0, err
			}
			var n int
			if err := dst.DB().QueryRowContext(ctx, "SELECT COUNT(*) FROM bench.sb").Scan(&n); err != nil || n != b.rows {
				return 0, fmt.Errorf("%d rows arrived, want %d: %v; see %s", n, b.rows, err, filepath.Join(b.dir, "copy"))
			}
			return took, nil
		},
		peer: "mysqldump", against: "mysqldump | mysql",
		theirs: func(ctx context.Context) (time.Duration, error) {
			if err := empty(ctx, dst); err != nil {
				return 0, err
			}
			return dumpAndLoad(ctx, src, dst)
		},
	})
}

// empty makes the table sb anew, without rows.
func empty(ctx context.Context, s *mysqltest.Server) error {
	_, err := s.DB().ExecContext(ctx, "DROP DATABASE IF EXISTS bench; DROP DATABASE IF EXISTS towline; CREATE DATABASE bench; "+sbTable)
	return err
}

func dumpAndLoad(ctx context.Context, src, dst *mysqltest.Server) (time.Duration, error) {
	begin := time.Now()
	out, err := dumpCommand(ctx, src)
	if err != nil {
		return 0, err
	}
	in, err := dst.Tool(ctx, "mysql", dst.ClientArgs()...)
	if err != nil {
		return 0, err
	}
	if in.Stdin, err = out.StdoutPipe(); err != nil {
		return 0, err
	}
	if err := out.Start(); err != nil {
		return 0, err
	}
	if err := in.Run(); err != nil {
		return 0, err
	}
	err = out.Wait()
	return time.Since(begin), err
}
