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
	src, err := launch(ctx)
	if err != nil {
		return err
	}
	defer src.Close()
	if err := fill(src, b.rows); err != nil {
		return err
	}
	for _, c := range []struct {
		name string
		rows int
		per  int
	}{{"binlog_to_log_sb", 2 * b.rows, 1000}, {"single_row_transactions_to_log", b.rows / 5, 1}} {
		if err := b.logFigure(ctx, src, c.name, c.rows, c.per); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) logFigure(ctx context.Context, src *mysqltest.Server, name string, rows, per int) error {
	run := 0
	from, err := position(ctx, src)
	if err != nil {
		return err
	}
	var fresh []string
	for range b.runs { // the processes that will catch up know where to begin before the changes are made
		run++
		id := fmt.Sprintf("%s-%d", name, run)
		p, err := b.towline(id, map[string]map[string]string{"src": sourceConfig(src, "no_data")})
		if err != nil {
			return err
		}
		if _, err := untilArrived(ctx, p); err != nil {
			return err
		}
		fresh = append(fresh, id)
	}
	if err := update(ctx, src, b.rows, rows, per); err != nil {
		return err
	}
	ours := func(ctx context.Context) (float64, error) {
		id := fresh[0]
		fresh = fresh[1:]
		p, err := b.towline(id, map[string]map[string]string{"src": sourceConfig(src, "no_data")})
		if err != nil {
			return 0, err
		}
		took, err := untilArrived(ctx, p)
		return float64(rows) / took.Seconds(), err
	}
	var peer func(context.Context) (float64, error)
	if b.wants("go-mysql") {
		peer = func(ctx context.Context) (float64, error) { return dump(ctx, src, from, rows) }
	}
	return b.versus(ctx, name, "rows/s", "go-mysql dump and decode, dropped", ours, peer)
}

func position(ctx context.Context, s *mysqltest.Server) (mysql.Position, error) {
	var p mysql.Position
	var a, b, c string
	err := s.DB().QueryRowContext(ctx, "SHOW BINARY LOG STATUS").Scan(&p.Name, &p.Pos, &a, &b, &c)
	return p, err
}

// dump receives and decodes rows with go-mysql from a position on.
func dump(ctx context.Context, s *mysqltest.Server, from mysql.Position, rows int) (float64, error) {
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
	return float64(rows) / time.Since(begin).Seconds(), nil
}

// snapshot measures the initial copy into the durable log, beside mysqldump
// writing the same table to nowhere.
func (b *bench) snapshot(ctx context.Context) error {
	src, err := launch(ctx)
	if err != nil {
		return err
	}
	defer src.Close()
	if err := fill(src, b.rows); err != nil {
		return err
	}
	run := 0
	ours := func(ctx context.Context) (float64, error) {
		run++
		p, err := b.towline(fmt.Sprint("snapshot-", run), map[string]map[string]string{"src": sourceConfig(src, "initial")})
		if err != nil {
			return 0, err
		}
		took, err := untilArrived(ctx, p)
		return float64(b.rows) / took.Seconds(), err
	}
	var peer func(context.Context) (float64, error)
	if b.wants("mysqldump") {
		peer = func(ctx context.Context) (float64, error) {
			begin := time.Now()
			cmd, err := dumpCommand(ctx, src)
			if err != nil {
				return 0, err
			}
			cmd.Stdout = io.Discard
			err = cmd.Run()
			return float64(b.rows) / time.Since(begin).Seconds(), err
		}
	}
	return b.versus(ctx, "snapshot_to_log_sb", "rows/s", "mysqldump to nowhere", ours, peer)
}

func dumpCommand(ctx context.Context, s *mysqltest.Server) (*exec.Cmd, error) {
	return s.Tool(ctx, "mysqldump", append(s.ClientArgs(), "--single-transaction", "--set-gtid-purged=OFF", "--no-create-info", "--databases", "bench")...)
}

// follow measures how fast recorded updates get into another server, beside
// a native replica with four workers that applies the same log.
func (b *bench) follow(ctx context.Context) error {
	src, err := launch(ctx)
	if err != nil {
		return err
	}
	defer src.Close()
	if err := fill(src, b.rows); err != nil {
		return err
	}
	var mirrors []*mirror
	for i := range b.runs {
		m, err := b.newMirror(ctx, src, fmt.Sprint("follow-", i))
		if err != nil {
			return err
		}
		defer m.close()
		mirrors = append(mirrors, m)
	}
	rows := b.rows
	if err := update(ctx, src, b.rows, rows, 1000); err != nil {
		return err
	}
	i, j := 0, 0
	ours := func(ctx context.Context) (float64, error) {
		m := mirrors[i]
		i++
		took, err := untilArrived(ctx, m.proc)
		return float64(rows) / took.Seconds(), err
	}
	var peer func(context.Context) (float64, error)
	if b.wants("replica") {
		peer = func(ctx context.Context) (float64, error) {
			m := mirrors[j]
			j++
			took, err := m.catchUp(ctx, src)
			return float64(rows) / took.Seconds(), err
		}
	}
	return b.versus(ctx, "follow_updates_sb", "rows/s", "native replica, 4 workers", ours, peer)
}

// copyTables measures the initial copy into another server, beside mysqldump
// piped into the client.
func (b *bench) copyTables(ctx context.Context) error {
	src, err := launch(ctx)
	if err != nil {
		return err
	}
	defer src.Close()
	if err := fill(src, b.rows); err != nil {
		return err
	}
	dst, err := launch(ctx)
	if err != nil {
		return err
	}
	defer dst.Close()
	run := 0
	fresh := func() error {
		_, err := dst.DB().ExecContext(ctx, "DROP DATABASE IF EXISTS bench; DROP DATABASE IF EXISTS towline; CREATE DATABASE bench; "+sbTable)
		return err
	}
	ours := func(ctx context.Context) (float64, error) {
		run++
		if err := fresh(); err != nil {
			return 0, err
		}
		p, err := b.towline(fmt.Sprint("copy-", run), map[string]map[string]string{"src": sourceConfig(src, "initial"), "dst": sinkConfig(dst)})
		if err != nil {
			return 0, err
		}
		took, err := untilArrived(ctx, p)
		if err != nil {
			return 0, err
		}
		var n int
		if err := dst.DB().QueryRowContext(ctx, "SELECT COUNT(*) FROM bench.sb").Scan(&n); err != nil || n != b.rows {
			return 0, fmt.Errorf("%d rows arrived, want %d: %v; see %s", n, b.rows, err, filepath.Join(b.dir, "copy"))
		}
		return float64(b.rows) / took.Seconds(), nil
	}
	var peer func(context.Context) (float64, error)
	if b.wants("mysqldump") {
		peer = func(ctx context.Context) (float64, error) {
			if err := fresh(); err != nil {
				return 0, err
			}
			return b.dumpAndLoad(ctx, src, dst)
		}
	}
	return b.versus(ctx, "copy_sb", "rows/s", "mysqldump | mysql", ours, peer)
}

func (b *bench) dumpAndLoad(ctx context.Context, src, dst *mysqltest.Server) (float64, error) {
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
	return float64(b.rows) / time.Since(begin).Seconds(), err
}
