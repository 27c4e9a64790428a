package peers

import (
	"context"
	"fmt"
	"io"
	"os/exec"
	"runtime/debug"
	"strconv"

	"github.com/towline/towline/e2e/mysqltest"
)

// Command makes a command to run; folders that it needs are there.
type Command func(ctx context.Context) (*exec.Cmd, error)

// MySQLDump writes the rows of a database to nowhere.
func (t *Tools) MySQLDump(s *mysqltest.Server, database string) Command {
	return func(ctx context.Context) (*exec.Cmd, error) {
		cmd, err := s.Tool(ctx, "mysqldump", append(s.ClientArgs(), "--single-transaction", "--set-gtid-purged=OFF", "--no-create-info", "--databases", database)...)
		if err == nil {
			cmd.Stdout = io.Discard
		}
		return cmd, err
	}
}

// MyDumper writes a database into a folder of the root, with two threads.
// Tables are cut into pieces, so that both threads have work.
func (t *Tools) MyDumper(s *mysqltest.Server, database, folder string, rows int) Command {
	return func(ctx context.Context) (*exec.Cmd, error) {
		return t.command(ctx, "mydumper", "--host", s.Host, "--port", strconv.Itoa(s.Port), "--user", s.User, "--database", database, "--outputdir", folder,
			"--threads", "2", "--rows", strconv.Itoa(rows), "--no-locks", "--trx-consistency-only"), nil
	}
}

// MyLoader loads what MyDumper wrote, with two threads.
func (t *Tools) MyLoader(s *mysqltest.Server, folder string) Command {
	return func(ctx context.Context) (*exec.Cmd, error) {
		return t.command(ctx, "myloader", "--host", s.Host, "--port", strconv.Itoa(s.Port), "--user", s.User, "--directory", folder, "--threads", "2", "--overwrite-tables"), nil
	}
}

// Load is a load of sysbench: oltp_write_only over some tables of the database
// bench, a transaction of two updates, a delete and an insert.
type Load struct {
	Tables, Rows int // and rows in each
	Sessions     int
}

// Prepare makes the tables.
func (t *Tools) Prepare(s *mysqltest.Server, l Load) Command {
	return t.sysbench(s, l, "prepare")
}

// Run makes so many transactions.
func (t *Tools) Run(s *mysqltest.Server, l Load, transactions int) Command {
	return t.sysbench(s, l, "run", "--events="+strconv.Itoa(transactions), "--time=0")
}

// Names are those of the tables of a load.
func (l Load) Names() []string {
	var names []string
	for i := range l.Tables {
		names = append(names, fmt.Sprint("sbtest", i+1))
	}
	return names
}

func (t *Tools) sysbench(s *mysqltest.Server, l Load, what string, more ...string) Command {
	return func(ctx context.Context) (*exec.Cmd, error) {
		return t.command(ctx, "sysbench", append(more, "/usr/share/sysbench/oltp_write_only.lua", "--mysql-host="+s.Host, "--mysql-port="+strconv.Itoa(s.Port),
			"--mysql-user="+s.User, "--mysql-db=bench", "--tables="+strconv.Itoa(l.Tables), "--table-size="+strconv.Itoa(l.Rows),
			"--threads="+strconv.Itoa(l.Sessions), "--rand-seed=7", what)...), nil
	}
}

// goMySQLVersion is that of the module that this program was made with.
func goMySQLVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, m := range info.Deps {
		if m.Path == "github.com/go-mysql-org/go-mysql" {
			return m.Version
		}
	}
	return "unknown"
}
