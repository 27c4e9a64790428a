package mysqltest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/towline/towline/e2e/child"
)

// ErrNotInstalled is returned by Launch when there is no server to start.
var ErrNotInstalled = errors.New("no such server is installed: run 'make servers'")

// installation is what the scripts in e2e/servers made: a mysqld, the root it runs in, and a template.
type installation struct {
	root   string // the Debian root to enter; empty when the mysqld is the machine's own
	mysqld string // path of mysqld as seen from inside root
	data   string // folder of template and datadirs, as seen from outside
}

// findInstallation looks where the scripts install.
func findInstallation(mariaDB bool) (*installation, error) {
	dir, err := child.ServersDir()
	if err != nil {
		return nil, err
	}
	name, mysqld := "mysql", "/usr/sbin/mysqld"
	if mariaDB {
		name, mysqld = "mariadb", "/usr/sbin/mariadbd"
	}
	dir = filepath.Join(dir, name)
	if _, err := os.Stat(filepath.Join(dir, "installed")); err != nil {
		return nil, fmt.Errorf("mysqltest: look into %s: %w", dir, ErrNotInstalled)
	}
	host, err := os.ReadFile(filepath.Join(dir, "host"))
	if err == nil {
		return &installation{mysqld: strings.TrimSpace(string(host)), data: filepath.Join(dir, "data")}, nil
	}
	if os.Geteuid() != 0 {
		return nil, fmt.Errorf("mysqltest: the server in %s runs by chroot, which needs root: %w", dir, ErrNotInstalled)
	}
	root := filepath.Join(dir, "root")
	return &installation{
		root:   root,
		mysqld: mysqld,
		data:   filepath.Join(root, "var/lib/towline"),
	}, nil
}

// seen is a path as a program inside the root sees it.
func (in *installation) seen(path string) string {
	return strings.TrimPrefix(path, in.root)
}

// command is a program of the installation, given by its name or path inside the root.
func (in *installation) command(ctx context.Context, name string, args ...string) (*exec.Cmd, error) {
	path, err := in.lookPath(name)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.SysProcAttr = child.DieWithParent()
	if in.root != "" {
		cmd.Dir = "/"
		cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8", "HOME=/root"}
		cmd.SysProcAttr.Chroot = in.root
	}
	return cmd, nil
}

// lookPath resolves a program's name inside the root, or on the machine's PATH.
func (in *installation) lookPath(name string) (string, error) {
	if filepath.IsAbs(name) {
		return name, nil
	}
	if in.root == "" {
		path, err := exec.LookPath(name)
		if err != nil {
			return "", fmt.Errorf("mysqltest: find program: %w", err)
		}
		return path, nil
	}
	for _, dir := range []string{"/usr/sbin", "/usr/bin"} {
		if _, err := os.Stat(filepath.Join(in.root, dir, name)); err == nil {
			return filepath.Join(dir, name), nil
		}
	}
	return "", fmt.Errorf("mysqltest: find program %s in %s: %w", name, in.root, os.ErrNotExist)
}
