package child

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
// a server binds it, or while a server that is to be restarted is down.
const (
	firstPort = 24000
	lastPort  = 31999
)

// Lease holds a port against other processes that use this package.
type Lease struct {
	Port int
	lock *os.File
}

// LeasePort takes the given port, or a free one when it is 0.
func LeasePort(port int) (*Lease, error) {
	dir := filepath.Join(os.TempDir(), fmt.Sprintf("towline-ports-%d", os.Geteuid()))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("child: make folder of port locks: %w", err)
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
	return nil, fmt.Errorf("child: no port from %d to %d is free: %w", firstPort, lastPort, errs)
}

func tryPort(dir string, port int) (*Lease, error) {
	lock, err := Lock(filepath.Join(dir, strconv.Itoa(port)))
	if err != nil {
		return nil, fmt.Errorf("child: port %d is in use by another server: %w", port, err)
	}
	ln, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		lock.Close()
		return nil, fmt.Errorf("child: port %d is not free: %w", port, err)
	}
	if err := ln.Close(); err != nil {
		lock.Close()
		return nil, fmt.Errorf("child: probe port %d: %w", port, err)
	}
	return &Lease{Port: port, lock: lock}, nil
}

// Close gives the port back.
func (l *Lease) Close() error { return l.lock.Close() }
