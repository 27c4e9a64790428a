package mysqltest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"

	"github.com/towline/towline/e2e/child"
)

// home is the folder of one server: data/ (the datadir), error.log, mysqld.sock, mysqld.pid and the
// file lock, which the server holds for as long as it uses the folder.
type home struct {
	in   *installation
	path string
	keep bool
	lock *os.File
}

var namePattern = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*$`)

// openHome makes a temporary home, or opens the one that the Config names.
func openHome(ctx context.Context, in *installation, cfg *Config) (*home, error) {
	var h *home
	var err error
	if cfg.DataDir == "" {
		h, err = newTempHome(in)
	} else {
		h, err = openNamedHome(in, cfg.DataDir)
	}
	if err != nil {
		return nil, err
	}
	if err := h.fill(ctx, cfg); err != nil {
		return nil, errors.Join(err, h.close())
	}
	return h, nil
}

func openNamedHome(in *installation, name string) (*home, error) {
	if !namePattern.MatchString(name) {
		return nil, fmt.Errorf("mysqltest: DataDir %q is not a plain name: use letters, digits, '-', '_' and '.'", name)
	}
	path := filepath.Join(in.data, "named", name)
	if err := os.MkdirAll(path, 0o750); err != nil {
		return nil, fmt.Errorf("mysqltest: make datadir: %w", err)
	}
	lock, err := child.Lock(filepath.Join(path, "lock"))
	if err != nil {
		return nil, fmt.Errorf("mysqltest: datadir %q is in use by another server: %w", name, err)
	}
	return &home{in: in, path: path, keep: true, lock: lock}, nil
}

// lockHomes holds off all others that make or remove temporary homes: without it a home whose lock
// file is not there yet, or not there any more, would be taken for one that nobody holds.
func lockHomes(in *installation) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(in.data, "run.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("mysqltest: lock datadirs: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		f.Close()
		return nil, fmt.Errorf("mysqltest: lock datadirs: %w", err)
	}
	return f, nil
}

// newTempHome makes an empty home and removes those that killed processes have left.
func newTempHome(in *installation) (*home, error) {
	run := filepath.Join(in.data, "run")
	if err := os.MkdirAll(run, 0o750); err != nil {
		return nil, fmt.Errorf("mysqltest: make folder for datadirs: %w", err)
	}
	all, err := lockHomes(in)
	if err != nil {
		return nil, err
	}
	defer all.Close()
	if err := sweep(run); err != nil {
		return nil, err
	}
	path, err := os.MkdirTemp(run, "")
	if err != nil {
		return nil, fmt.Errorf("mysqltest: make datadir: %w", err)
	}
	lock, err := child.Lock(filepath.Join(path, "lock"))
	if err != nil {
		return nil, fmt.Errorf("mysqltest: lock datadir: %w", err)
	}
	return &home{in: in, path: path, lock: lock}, nil
}

// sweep removes the homes that nobody holds.
func sweep(run string) error {
	entries, err := os.ReadDir(run)
	if err != nil {
		return fmt.Errorf("mysqltest: list datadirs: %w", err)
	}
	for _, e := range entries {
		path := filepath.Join(run, e.Name())
		lock, err := child.Lock(filepath.Join(path, "lock"))
		if err != nil {
			continue // held
		}
		// A server whose process is just being killed may still write here. What is
		// left of it is no reason not to start another: the next sweep finds it.
		_ = os.RemoveAll(path)
		lock.Close()
	}
	return nil
}

// fill gives the home a datadir if it has none. A kept home is filled under another name first, so
// that one that was killed in the middle is not taken for whole.
func (h *home) fill(ctx context.Context, cfg *Config) error {
	if _, err := os.Stat(h.outside("data")); err == nil {
		return nil
	}
	if err := os.RemoveAll(h.outside("data.partial")); err != nil {
		return fmt.Errorf("mysqltest: remove half-made datadir: %w", err)
	}
	if len(cfg.InitFlags) > 0 {
		if cfg.MariaDB {
			return errors.New("mysqltest: InitFlags are for MySQL only")
		}
		if err := h.initialise(ctx, cfg.InitFlags); err != nil {
			return err
		}
	} else if err := copyTree(ctx, h.outside("data.partial"), filepath.Join(h.in.data, "template")); err != nil {
		return fmt.Errorf("mysqltest: copy template datadir: %w", err)
	}
	if err := os.Rename(h.outside("data.partial"), h.outside("data")); err != nil {
		return fmt.Errorf("mysqltest: name datadir: %w", err)
	}
	return nil
}

// initSQL lets root in over TCP, as the template does.
const initSQL = "CREATE USER 'root'@'%' IDENTIFIED BY '';\n" +
	"GRANT ALL PRIVILEGES ON *.* TO 'root'@'%' WITH GRANT OPTION;\n"

func (h *home) initialise(ctx context.Context, flags []string) error {
	if err := os.WriteFile(h.outside("init.sql"), []byte(initSQL), 0o600); err != nil {
		return fmt.Errorf("mysqltest: write init file: %w", err)
	}
	args := append(baseArgs(h), "--initialize-insecure", "--disable-log-bin", "--innodb-redo-log-capacity=64M",
		"--datadir="+h.seen("data.partial"), "--init-file="+h.seen("init.sql"))
	cmd, err := h.in.command(ctx, h.in.mysqld, append(args, flags...)...)
	if err != nil {
		return err
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	p, err := child.Start(cmd)
	if err != nil {
		return fmt.Errorf("mysqltest: initialise datadir: %w", err)
	}
	if err := p.Wait(); err != nil {
		return fmt.Errorf("mysqltest: initialise datadir with %v: %w\n%s", flags, err, lastLines(out.String(), 20))
	}
	return nil
}

// outside is the path of a file in the home.
func (h *home) outside(name string) string { return filepath.Join(h.path, name) }

// seen is the path of a file in the home as mysqld sees it.
func (h *home) seen(name string) string { return h.in.seen(h.outside(name)) }

// socket is the path of the Unix socket as mysqld sees it. The kernel takes no path of more than 107
// bytes; a longer one is replaced by one in the temporary folder, which the port makes unique.
func (h *home) socket(port int) string {
	if path := h.seen("mysqld.sock"); len(path) < 104 {
		return path
	}
	return filepath.Join(os.TempDir(), fmt.Sprintf("towline-mysqld-%d.sock", port))
}

// errorLog is the end of the server's error log.
func (h *home) errorLog(lines int) string {
	b, err := os.ReadFile(h.outside("error.log"))
	if err != nil {
		return err.Error()
	}
	return lastLines(string(b), lines)
}

// close gives the home up and removes it unless it is to be kept.
func (h *home) close() error {
	defer h.lock.Close()
	if h.keep {
		return nil
	}
	all, err := lockHomes(h.in)
	if err != nil {
		return err
	}
	defer all.Close()
	if err := os.RemoveAll(h.path); err != nil {
		return fmt.Errorf("mysqltest: remove datadir: %w", err)
	}
	return nil
}

func lastLines(s string, n int) string {
	lines := strings.Split(strings.TrimRight(s, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// copyTree copies a datadir. Runs of zeros become holes: most of a fresh datadir is zeros, and
// leaving them out makes the copy several times faster and smaller.
func copyTree(ctx context.Context, dst, src string) error {
	return filepath.WalkDir(src, func(path string, e fs.DirEntry, err error) error {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(src, path)
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		switch to := filepath.Join(dst, rel); {
		case e.IsDir():
			return os.MkdirAll(to, info.Mode().Perm()|0o700)
		case info.Mode().IsRegular():
			return copySparse(to, path, info.Mode().Perm())
		default:
			return nil // sockets and links of a live server are of no use in a copy
		}
	})
}

func copySparse(dst, src string, perm fs.FileMode) (err error) {
	in, err := os.Open(src)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(dst, os.O_CREATE|os.O_EXCL|os.O_WRONLY, perm)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()

	const block = 64 << 10
	buf, zeros := make([]byte, block), make([]byte, block)
	var size int64
	for {
		n, rerr := io.ReadFull(in, buf)
		if !bytes.Equal(buf[:n], zeros[:n]) {
			if _, err := out.WriteAt(buf[:n], size); err != nil {
				return err
			}
		}
		size += int64(n)
		if rerr == io.EOF || rerr == io.ErrUnexpectedEOF {
			return out.Truncate(size)
		}
		if rerr != nil {
			return rerr
		}
	}
}
