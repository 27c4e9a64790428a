package mysqltest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
)

// Free ports are taken from below the range that the kernel gives to outgoing connections (32768 on
// Linux). Asking the kernel for a free port would yield one that any connection may take before
// mysqld binds it, or while a server that is to be restarted is down.
const (
	firstPort = 24000
	lastPort  = 31999
)

// portLease holds a port against other processes that use this package.
type portLease struct {
	port int
	lock *os.File
}

// leasePort takes the given port, or a free one when it is 0.
func leasePort(port int) (*portLease, error) {
	dir := filepath.Join(os.TempDir(), fmt.Sprintf("towline-ports-%d", os.Geteuid()))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("mysqltest: make folder of port locks: %w", err)
	}
	if port != 0 {
		return tryPort(dir, port)
	}
	const count = lastPort - firstPort + 1
	start := rand.IntN(count)
	var errs error
	for i := range count {
		l, err := tryPort(dir, firstPort+(start+i)%count)
		if err == nil {
			return l, nil
		}
		if i < 3 {
			errs = errors.Join(errs, err)
		}
	}
	return nil, fmt.Errorf("mysqltest: no port from %d to %d is free: %w", firstPort, lastPort, errs)
}

func tryPort(dir string, port int) (*portLease, error) {
	lock, err := flock(filepath.Join(dir, strconv.Itoa(port)))
	if err != nil {
		return nil, fmt.Errorf("mysqltest: port %d is in use by another server: %w", port, err)
	}
	ln, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		lock.Close()
		return nil, fmt.Errorf("mysqltest: port %d is not free: %w", port, err)
	}
	if err := ln.Close(); err != nil {
		lock.Close()
		return nil, fmt.Errorf("mysqltest: probe port %d: %w", port, err)
	}
	return &portLease{port: port, lock: lock}, nil
}

func (l *portLease) close() error { return l.lock.Close() }
