package mysqltest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"strconv"
	"sync"
	"syscall"

	"github.com/go-sql-driver/mysql"

	"github.com/towline/towline/e2e/child"
)

// startAttempts bounds how often another port is tried when a stranger took the first.
const startAttempts = 5

// Server is one MySQL server: a private one, or one given by TOWLINE_TEST_MYSQL.
type Server struct {
	// Host and Port are where the server listens, User and Password those of its administrator.
	Host     string
	Port     int
	User     string
	Password string

	dsn *mysql.Config
	db  *sql.DB

	mu     sync.Mutex // over the life cycle: Stop, Kill, Restart, Close
	cfg    Config
	home   *home // nil when the server was given
	lease  *child.Lease
	proc   *child.Process // nil when stopped on purpose
	closed bool
}

// Launch starts a server and waits until it answers. The context bounds the start alone; the server
// runs until Close, or until this process ends.
func Launch(ctx context.Context, cfg Config) (*Server, error) {
	in, err := findInstallation(cfg.MariaDB)
	if err != nil {
		return nil, err
	}
	h, err := openHome(ctx, in, &cfg)
	if err != nil {
		return nil, err
	}
	for attempt := 1; ; attempt++ {
		s, err := launchIn(ctx, cfg, h)
		if err == nil {
			return s, nil
		}
		if !errors.Is(err, errPortTaken) || cfg.Port != 0 || attempt == startAttempts {
			return nil, errors.Join(err, h.close())
		}
	}
}

// launchIn starts a server in its home on a port of its own.
func launchIn(ctx context.Context, cfg Config, h *home) (*Server, error) {
	lease, err := child.LeasePort(cfg.Port)
	if err != nil {
		return nil, err
	}
	dsn := mysql.NewConfig()
	dsn.User = "root"
	dsn.Net = "tcp"
	dsn.Addr = net.JoinHostPort("127.0.0.1", strconv.Itoa(lease.Port))
	s, err := newServer(dsn)
	if err != nil {
		return nil, errors.Join(err, lease.Close())
	}
	s.cfg, s.home, s.lease = cfg, h, lease
	if err := s.start(ctx); err != nil {
		return nil, errors.Join(err, s.db.Close(), lease.Close())
	}
	return s, nil
}

// newServer is a server that can be reached by a DSN, with its pool.
func newServer(dsn *mysql.Config) (*Server, error) {
	host, portText, err := net.SplitHostPort(dsn.Addr)
	if err != nil {
		return nil, fmt.Errorf("mysqltest: address %q of the server: %w", dsn.Addr, err)
	}
	port, err := strconv.Atoi(portText)
	if err != nil {
		return nil, fmt.Errorf("mysqltest: port %q of the server: %w", portText, err)
	}
	pool := dsn.Clone()
	pool.MultiStatements = true
	pool.InterpolateParams = true
	pool.Logger = &mysql.NopLogger{} // connections that a test cuts are no news
	connector, err := mysql.NewConnector(pool)
	if err != nil {
		return nil, fmt.Errorf("mysqltest: prepare connections: %w", err)
	}
	return &Server{Host: host, Port: port, User: dsn.User, Password: dsn.Passwd,
		dsn: dsn, db: sql.OpenDB(connector)}, nil
}

// Addr is the server's address as host:port.
func (s *Server) Addr() string { return s.dsn.Addr }

// DSN is the data source name, in the form of go-sql-driver, of the administrator in a database; the
// name may be empty.
func (s *Server) DSN(db string) string {
	dsn := s.dsn.Clone()
	dsn.DBName = db
	return dsn.FormatDSN()
}

// DB is the server's pool of administrator's connections. Close closes it. One call may hold several
// statements, and parameters are put in by the client.
func (s *Server) DB() *sql.DB { return s.db }

// DataDir is the datadir's path in the file system of this process, where the binlog files are; empty
// for a given server.
func (s *Server) DataDir() string {
	if s.home == nil {
		return ""
	}
	return s.home.outside("data")
}

// ErrorLog is the end of the server's error log; empty for a given server.
func (s *Server) ErrorLog(lines int) string {
	if s.home == nil {
		return ""
	}
	return s.home.errorLog(lines)
}

// PID is the number of the server's process; 0 when it does not run or was given.
func (s *Server) PID() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.proc == nil {
		return 0
	}
	return s.proc.Cmd.Process.Pid
}

// Tool is a program of the server's installation, such as mysql, mysqldump or mysqlbinlog. It sees
// the file system of the installation: hand data over by stdin and stdout, not by path. Arguments
// must name the server; see ClientArgs.
func (s *Server) Tool(ctx context.Context, name string, args ...string) (*exec.Cmd, error) {
	if s.home == nil {
		return exec.CommandContext(ctx, name, args...), nil
	}
	cmd, err := s.home.in.command(ctx, name, args...)
	if err != nil {
		return nil, err
	}
	// The caller starts it from a thread that may end before the program; a tool ends with its context.
	chroot := cmd.SysProcAttr.Chroot
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: chroot}
	return cmd, nil
}

// ClientArgs are the arguments by which the tools of MySQL reach the server as its administrator.
func (s *Server) ClientArgs() []string {
	args := []string{"--no-defaults", "--protocol=TCP", "--host=" + s.Host, "--port=" + strconv.Itoa(s.Port), "--user=" + s.User}
	if s.Password != "" {
		args = append(args, "--password="+s.Password)
	}
	return args
}
