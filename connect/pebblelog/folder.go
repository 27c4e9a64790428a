package pebblelog

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// formatVersion is that of the folder and of the keys. 2 has runs of messages;
// a log of format 1 becomes one of format 2 when it is opened.
const formatVersion = 2

// Files beside Pebble's.
const (
	markFile = "TOWLINE-LOG" // says that this is a log, and of which format
	pidFile  = "PID"         // who has it open; meaningful while LOCK is held
)

// The states of a folder.
const (
	stateNew      = ""         // there is no log
	stateCreating = "creating" // nothing was ever appended
	stateOpening  = "opening"  // there may be no write-ahead log for a moment
	stateReady    = "ready"
)

// readMark returns the state that the mark of a folder tells.
func readMark(under vfs.FS, dir string) (state string, err error) {
	b, err := readFile(under, under.PathJoin(dir, markFile))
	if errors.Is(err, fs.ErrNotExist) {
		return stateNew, nil
	}
	if err != nil {
		return "", err
	}
	var version int
	if n, _ := fmt.Sscanf(string(b), "towline log\nformat %d\nstate %s\n", &version, &state); n != 2 {
		return "", fmt.Errorf("%w: file %s does not read as it was written; restore the folder from a copy, or remove it and take a new snapshot", ErrDamaged, markFile)
	}
	if version > formatVersion {
		return "", fmt.Errorf("%w: %d, and this program knows up to %d; run the version that wrote it or a later one", ErrNewer, version, formatVersion)
	}
	return state, nil
}

// writeMark replaces the mark in one step.
func writeMark(under vfs.FS, dir, state string) error {
	tmp := under.PathJoin(dir, markFile+".tmp")
	if err := writeFile(under, tmp, fmt.Sprintf("towline log\nformat %d\nstate %s\n", formatVersion, state)); err != nil {
		return err
	}
	if err := under.Rename(tmp, under.PathJoin(dir, markFile)); err != nil {
		return err
	}
	return syncDir(under, dir)
}

func readFile(under vfs.FS, name string) ([]byte, error) {
	f, err := under.Open(name)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(f)
	return b, errors.Join(err, f.Close())
}

func writeFile(under vfs.FS, name, content string) error {
	f, err := under.Create(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = f.Write([]byte(content))
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

func syncDir(under vfs.FS, dir string) error {
	d, err := under.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// makeDir makes the folder if only it is missing.
func makeDir(under vfs.FS, dir string) error {
	info, err := under.Stat(dir)
	if err == nil && !info.IsDir() {
		return errors.New("it is a file, not a folder")
	}
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	parent := under.PathDir(dir)
	if _, err := under.Stat(parent); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("its parent %s does not exist; make it, or name another folder", parent)
	} else if err != nil {
		return err
	}
	if err := under.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return syncDir(under, parent)
}

// lockDir takes the lock of the folder and leaves our process id in it.
func lockDir(under vfs.FS, dir string) (*pebble.Lock, error) {
	lock, err := pebble.LockDirectory(dir, under)
	if err != nil {
		if !isHeld(err) {
			return nil, err
		}
		who := "another process"
		if b, err := readFile(under, under.PathJoin(dir, pidFile)); err == nil {
			if pid, err := strconv.Atoi(strings.TrimSpace(string(b))); err == nil {
				who = "process " + strconv.Itoa(pid)
				if pid == os.Getpid() {
					who = "this process (" + strconv.Itoa(pid) + ")"
				}
			}
		}
		return nil, fmt.Errorf("%w: %s has it open; stop that one, or name another folder", ErrInUse, who)
	}
	if err := writeFile(under, under.PathJoin(dir, pidFile), strconv.Itoa(os.Getpid())+"\n"); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return lock, nil
}

// isHeld reports whether err means that somebody holds a lock; Pebble has no
// error value for a lock of the same process.
func isHeld(err error) bool {
	return errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EACCES) && !errors.Is(err, fs.ErrPermission) ||
		strings.Contains(err.Error(), "lock held by current process")
}

// checkFiles looks for what must be there, or not be there, before Pebble, which
// takes a folder without its marker files for a new one, gets to see it.
func checkFiles(under vfs.FS, dir, state string) error {
	names, err := under.List(dir)
	if err != nil {
		return err
	}
	var manifest, marker, format, wal, tables bool
	for _, n := range names {
		manifest = manifest || strings.HasPrefix(n, "MANIFEST-")
		marker = marker || strings.HasPrefix(n, "marker.manifest.")
		format = format || strings.HasPrefix(n, "marker.format-version.")
		wal = wal || strings.HasSuffix(n, ".log")
		tables = tables || strings.HasSuffix(n, ".sst") || n == "CURRENT"
	}
	if state == stateNew && (manifest || marker || format || wal || tables) {
		return fmt.Errorf("it holds a database but no file %s: it is not a log, or has lost that file; name another folder, or restore it from a copy", markFile)
	}
	if state != stateReady && state != stateOpening {
		return nil
	}
	for _, f := range []struct {
		there bool
		name  string
	}{{manifest, "MANIFEST-*"}, {marker, "marker.manifest.*"}, {format, "marker.format-version.*"}, {wal || state == stateOpening, "*.log"}} {
		if !f.there {
			return fmt.Errorf("%w: file %s is missing; %s", ErrDamaged, f.name, damageHint)
		}
	}
	return nil
}

const damageHint = "restore the whole folder from a copy, or move it away, start with an empty one and take a new snapshot"

// openError says what an error of pebble.Open means: one that does not come
// from the operating system is about what stands in the files.
func openError(err error) error {
	var errno syscall.Errno
	switch {
	case strings.Contains(err.Error(), "format major version"):
		return fmt.Errorf("%w: %w; run the version that wrote it or a later one", ErrNewer, err)
	case errors.Is(err, fs.ErrNotExist), !errors.As(err, &errno):
		return fmt.Errorf("%w: %w; %s", ErrDamaged, err, damageHint)
	}
	return hinted(err)
}

// readError is nil for nil; it tells damage from other faults of reading.
func (l *Log) readError(err error) error {
	if err == nil {
		return nil
	}
	if pebble.IsCorruptionError(err) || errors.Is(err, fs.ErrNotExist) {
		return l.damaged(err)
	}
	return fmt.Errorf("%s: %w", l.opts.Dir, hinted(err))
}

func (l *Log) damaged(err error) error {
	return fmt.Errorf("%s: %w: %w; %s", l.opts.Dir, ErrDamaged, err, damageHint)
}

// hinted adds what mends an error of the operating system.
func hinted(err error) error {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("%w: the disk is full; make room and open the log again", err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: the user who runs this needs to read and write the folder", err)
	case errors.Is(err, syscall.EROFS):
		return fmt.Errorf("%w: mount it for writing", err)
	}
	return err
}
