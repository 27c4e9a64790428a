package peers

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// Names of the peers, as PEERS gives them.
const (
	NameGoMySQL   = "go-mysql"
	NameReplica   = "replica"
	NameMySQLDump = "mysqldump"
	NameMyDumper  = "mydumper"
	NameSysbench  = "sysbench"
	NameDebezium  = "debezium"
)

// Tools are the peers that are at hand.
type Tools struct {
	root string // the Debian root of e2e/servers/peers.sh; empty: there is none
}

// Find looks what there is.
func Find() *Tools {
	dir := os.Getenv("TOWLINE_SERVERS")
	if dir == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return &Tools{}
		}
		dir = filepath.Join(cache, "towline", "servers")
	}
	root := filepath.Join(dir, "peers", "root")
	if _, err := os.Stat(filepath.Join(root, "usr")); err != nil || os.Geteuid() != 0 {
		return &Tools{}
	}
	return &Tools{root: root}
}

// Has reports whether a peer can be run.
func (t *Tools) Has(peer string) bool {
	file := map[string]string{NameMyDumper: "usr/bin/mydumper", NameSysbench: "usr/bin/sysbench", NameDebezium: debeziumHome}[peer]
	if file == "" {
		return true // it comes with Go or with MySQL
	}
	if t.root == "" {
		return false
	}
	_, err := os.Stat(filepath.Join(t.root, file))
	return err == nil
}

// command is a program of the root. It sees the file system of the root, and
// ends with ctx.
func (t *Tools) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "/usr/bin/"+name, args...)
	cmd.Err = nil // it is looked up outside of the root
	cmd.Path = "/usr/bin/" + name
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/bin:/bin", "HOME=/root", "LC_ALL=C"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: t.root, Setpgid: true}
	return cmd
}

// commandWithProc is a program of the root that needs /proc, as Java does, and
// runs in a folder of the root; the mount is seen by nobody else and ends with
// it. Its settings are in that folder.
func (t *Tools) commandWithProc(folder, name string, args ...string) *exec.Cmd {
	const script = `mount -t proc proc "$0/proc" && exec chroot "$0" /bin/sh -c 'cd "$0" && exec "$@"' "$@"`
	cmd := exec.Command("unshare", append([]string{"--mount", "--propagation", "private", "sh", "-c", script, t.root, folder, "/usr/bin/" + name}, args...)...)
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin", "HOME=/root", "LC_ALL=C.UTF-8"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd
}

// Folder makes a folder in the root for the files of one run; it returns its
// path in the root and outside of it.
func (t *Tools) Folder(name string) (inside, outside string, err error) {
	inside = "/tmp/towline-" + name
	outside = filepath.Join(t.root, inside)
	if err := os.RemoveAll(outside); err != nil {
		return "", "", err
	}
	return inside, outside, os.MkdirAll(outside, 0o755)
}

// Version is a peer and its version.
type Version struct{ Name, Version string }

// Versions returns those of the tools that are programs.
func (t *Tools) Versions(ctx context.Context) []Version {
	var list []Version
	for _, name := range []string{NameMyDumper, NameSysbench} {
		if !t.Has(name) {
			continue
		}
		out, err := t.command(ctx, name, "--version").CombinedOutput()
		if err != nil {
			out = []byte(err.Error())
		}
		first, _, _ := strings.Cut(string(out), ",")
		list = append(list, Version{name, strings.TrimSpace(strings.TrimPrefix(first, name))})
	}
	if t.Has(NameDebezium) {
		list = append(list, Version{NameDebezium, t.debeziumVersion()})
	}
	return append(list, Version{NameGoMySQL, goMySQLVersion()})
}
