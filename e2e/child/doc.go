// Package child holds what helpers share that start servers for tests: programs that die with the
// process that started them, ports that nobody else takes meanwhile, and file locks.
//
// # Ownership
//
// A Lease and a lock last until they are closed, or until this process ends. A Process belongs to
// who started it; Wait and Running may be called from anywhere.
package child

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// Lock takes the lock file at path without waiting. The lock lasts until the file is closed, by the
// holder or by the end of its process.
func Lock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, &os.PathError{Op: "lock", Path: path, Err: err}
	}
	return f, nil
}

// ServersDir is the folder that the scripts of e2e/servers install into; both must agree on it.
func ServersDir() (string, error) {
	if dir := os.Getenv("TOWLINE_SERVERS"); dir != "" {
		abs, err := filepath.Abs(dir)
		if err != nil {
			return "", fmt.Errorf("child: resolve TOWLINE_SERVERS: %w", err)
		}
		return abs, nil
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("child: find the cache folder, or set TOWLINE_SERVERS: %w", err)
	}
	return filepath.Join(cache, "towline", "servers"), nil
}
