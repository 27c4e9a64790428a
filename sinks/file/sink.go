package file

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/offsets"
)

// fileSink writes lines to a file that is its own.
type fileSink struct {
	path      string
	connector string
	lines     liner

	file  *os.File
	state state // as on disk, but for Length, which is that of the file
}

// Open implements connect.Sink.
func (s *fileSink) Open(context.Context) ([]offsets.Entry, error) {
	_ = s.Close()
	if err := s.open(); err != nil {
		_ = s.Close()
		return nil, fmt.Errorf("file: open %s: %w", s.path, explain(s.path, err))
	}
	return s.state.entries(), nil
}

func (s *fileSink) open() error {
	st, err := readState(s.path)
	known := err == nil
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	flags := os.O_RDWR
	if !known {
		flags |= os.O_CREATE // a file that has state is there, or somebody took it away
	}
	if s.file, err = os.OpenFile(s.path, flags, 0o644); err != nil {
		if known && errors.Is(err, fs.ErrNotExist) {
			return connect.Permanent(fmt.Errorf("it is gone, but %s says that it holds %d bytes; bring it back, or remove that too to begin anew", stateName(s.path), st.Length))
		}
		return err
	}
	if err := lock(s.file); err != nil {
		return err
	}
	info, err := s.file.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return connect.Permanent(errors.New("it is not a regular file"))
	}
	if !known {
		return s.begin(info.Size())
	}
	s.state = *st
	return s.resume(info.Size())
}

// begin starts with a file that has no state.
func (s *fileSink) begin(size int64) error {
	if size > 0 {
		return connect.Permanent(fmt.Errorf("it holds %d bytes, but there is no %s, so what is in it is not known; move it away, or name another file", size, stateName(s.path)))
	}
	s.state = state{Version: stateVersion, Connector: s.connector, Marks: map[string][]byte{}}
	return s.save()
}

// resume checks that the file is as its state says, and cuts off the rest.
func (s *fileSink) resume(size int64) error {
	if s.state.Connector != s.connector {
		return connect.Permanent(fmt.Errorf("it belongs to connector %q, as %s says; name another file", s.state.Connector, stateName(s.path)))
	}
	if size < s.state.Length {
		return connect.Permanent(fmt.Errorf("it was shortened to %d bytes, but %s says that it holds %d; bring it back, or remove both to begin anew",
			size, stateName(s.path), s.state.Length))
	}
	tail, err := s.tail()
	if err != nil {
		return err
	}
	if tail != s.state.Tail {
		return connect.Permanent(fmt.Errorf("it was changed: its end at %d bytes is not what %s says; bring it back, or remove both to begin anew",
			s.state.Length, stateName(s.path)))
	}
	if size > s.state.Length {
		if err := s.file.Truncate(s.state.Length); err != nil {
			return err
		}
		return s.file.Sync()
	}
	return nil
}

// Write implements connect.Sink.
func (s *fileSink) Write(_ context.Context, b *connect.Batch) error {
	lines, failed := s.lines.encode(b)
	if err := s.write(lines); err != nil {
		return fmt.Errorf("file: write %s: %w", s.path, explain(s.path, err))
	}
	if len(b.State) > 0 || failed != nil {
		if err := s.file.Sync(); err != nil { // invariant 1
			return fmt.Errorf("file: sync %s: %w", s.path, explain(s.path, err))
		}
	}
	if failed != nil {
		return failed // the State comes again
	}
	if len(b.State) == 0 {
		return nil // durable with the next batch that has State
	}
	s.state.set(b.State)
	if err := s.save(); err != nil {
		return fmt.Errorf("file: save the state of %s: %w", s.path, explain(s.path, err))
	}
	return nil
}

func (s *fileSink) write(lines []byte) error {
	if s.file == nil {
		return errors.New("it is not open")
	}
	if err := s.undisturbed(); err != nil {
		return err
	}
	n, err := s.file.WriteAt(lines, s.state.Length)
	s.state.Length += int64(n)
	return err
}

// undisturbed reports whether the file is still the one at its path and as
// long as it was left.
func (s *fileSink) undisturbed() error {
	own, err := s.file.Stat()
	if err != nil {
		return err
	}
	there, err := os.Stat(s.path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !os.SameFile(own, there) {
		return connect.Permanent(errors.New("it was moved, removed or replaced while in use; bring it back, or remove it and its state to begin anew"))
	}
	if err == nil && own.Size() != s.state.Length {
		err = connect.Permanent(fmt.Errorf("somebody else changed it: it holds %d bytes instead of %d", own.Size(), s.state.Length))
	}
	return err
}

// save makes the state durable. The lines are.
func (s *fileSink) save() error {
	tail, err := s.tail()
	if err != nil {
		return err
	}
	s.state.Tail = tail
	return s.state.write(s.path)
}

// Close implements connect.Sink.
func (s *fileSink) Close() error {
	if s.file == nil {
		return nil
	}
	err := s.file.Close() // and with it goes the lock
	s.file = nil
	return err
}

// explain adds what to do to errors of the system, and marks those that no
// retry mends.
func explain(path string, err error) error {
	info, statErr := os.Stat(path)
	switch {
	case connect.IsPermanent(err):
		return err
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("the disk is full; it is tried again until there is room: %w", err)
	case statErr == nil && info.IsDir():
		return connect.Permanent(fmt.Errorf("it is a directory; name a file in it: %w", err))
	case errors.Is(err, fs.ErrNotExist):
		return connect.Permanent(fmt.Errorf("the folder %s is not there; make it: %w", filepath.Dir(path), err))
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS), errors.Is(err, syscall.ENOTDIR):
		return connect.Permanent(fmt.Errorf("it and its folder must be writable for this process: %w", err))
	}
	return err
}
