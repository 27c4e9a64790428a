//go:build unix

package file

import (
	"errors"
	"os"
	"syscall"
)

// lock takes the file for this sink alone, until it is closed.
func lock(f *os.File) error {
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case errors.Is(err, syscall.EINTR):
			continue
		case errors.Is(err, syscall.EWOULDBLOCK):
			return errors.New("another connector or process writes to it; each needs a file of its own")
		}
		return err
	}
}
