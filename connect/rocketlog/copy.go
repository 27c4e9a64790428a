package rocketlog

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
)

// localCopy keeps an image of the state in a file of this machine. With it a state
// is opened by reading what came since, and one of which a broker has lost a part
// is whole again: the checksum of the newest save says so.
type localCopy struct {
	path   string
	logger *slog.Logger

	since int // about the bytes of messages since it was written; who has acquired the queue
	busy  chan struct{}
	wg    sync.WaitGroup
}

// newCopy returns the copy in a folder, which is made if it is not there; nil for
// no folder.
func newCopy(folder, namespace string, logger *slog.Logger) (*localCopy, error) {
	if folder == "" {
		return nil, nil
	}
	if err := os.Mkdir(folder, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("rocketlog: folder for a copy of the state: %w", err)
	}
	return &localCopy{path: filepath.Join(folder, namespace+".state"), logger: logger, busy: make(chan struct{}, 1)}, nil
}

// read returns the image in the file, nil if there is none or it is damaged.
func (c *localCopy) read() *image {
	if c == nil {
		return nil
	}
	data, err := os.ReadFile(c.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var im *image
	if err == nil {
		im, err = decodeImage(data)
	}
	if err != nil {
		c.logger.Warn("the copy of the state cannot be read and is not used", "file", c.path, "error", err)
	}
	return im
}

// due reports whether it is time to write the file anew.
func (c *localCopy) due(s *state) bool { return c != nil && s.imageDue(c.since) }

// write writes the state as it is now, beside whatever comes next. The queue of
// the state is acquired.
func (c *localCopy) write(s *state) {
	select {
	case c.busy <- struct{}{}:
	default:
		return // the disk is slow
	}
	c.since = 0
	data := s.encodeImage()
	c.wg.Go(func() {
		defer func() { <-c.busy }()
		if err := c.store(data); err != nil {
			c.logger.Warn("the copy of the state could not be written", "file", c.path, "error", err)
		}
	})
}

// store replaces the file.
func (c *localCopy) store(data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(c.path), filepath.Base(c.path)+".*.new") // readable for its owner alone: there may be passwords in it
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), c.path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}
