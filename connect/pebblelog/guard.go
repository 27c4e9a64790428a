package pebblelog

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// compactionCategory is what Pebble says of the files that compactions write.
const compactionCategory vfs.DiskWriteCategory = "pebble-compaction"

// compactionPause is how long a compaction that could not write waits before
// it fails, since Pebble tries again at once.
const compactionPause = time.Second

// guard stands between Pebble and the file system. Pebble answers a failed
// write to its log or manifest by panics or by ending the process, and retries
// a failed flush for ever. So on the first failure guard freezes: it reports
// the error, and from then on nothing is written to the file system while
// Pebble is told that all went well. To the folder this looks as if the
// process had been killed at that point, which is what Pebble recovers from;
// to Pebble it looks like a disk that works, so that it comes to rest and can
// be closed. The log returns no success once it is frozen: report is called
// before Pebble gets to see the write as done.
type guard struct {
	vfs.FS
	report func(op, name string, err error)
	frozen atomic.Bool
	// stop ends pauses; closed by quit.
	stop chan struct{}
	once sync.Once
}

func newGuard(under vfs.FS, report func(op, name string, err error)) *guard {
	return &guard{FS: under, report: report, stop: make(chan struct{})}
}

// quit ends all pauses.
func (g *guard) quit() { g.once.Do(func() { close(g.stop) }) }

// failed freezes g and returns what Pebble is to see.
func (g *guard) failed(op, name string, category vfs.DiskWriteCategory, err error) error {
	if err == nil {
		return nil
	}
	if category == compactionCategory && !g.frozen.Load() {
		select {
		case <-g.stop:
		case <-time.After(compactionPause):
		}
		return err
	}
	g.report(op, name, err) // before frozen: who sees it frozen finds the reason
	g.frozen.Store(true)
	return nil
}

// create opens a file for writing by f, or a file that goes nowhere.
func (g *guard) create(op, name string, category vfs.DiskWriteCategory, f func() (vfs.File, error)) (vfs.File, error) {
	if g.frozen.Load() {
		return nowhere{name: name}, nil
	}
	file, err := f()
	if err != nil {
		if err := g.failed(op, name, category, err); err != nil {
			return nil, err
		}
		return nowhere{name: name}, nil
	}
	return &guardedFile{File: file, g: g, name: name, category: category}, nil
}

// change does f unless g is frozen.
func (g *guard) change(op, name string, f func() error) error {
	if g.frozen.Load() {
		return nil
	}
	return g.failed(op, name, vfs.WriteCategoryUnspecified, f())
}

func (g *guard) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return g.create("create", name, c, func() (vfs.File, error) {
		if strings.HasPrefix(g.FS.PathBase(name), markerPrefix) {
			if err := g.syncDir(g.FS.PathDir(name)); err != nil {
				return nil, err
			}
		}
		return g.FS.Create(name, c)
	})
}

// markerPrefix begins the name of a file that names another one, such as the
// manifest. Pebble makes both and then syncs their folder, so that after a crash
// the marker may be there without what it names. So that is made to last first.
const markerPrefix = "marker."

func (g *guard) syncDir(name string) error {
	dir, err := g.FS.OpenDir(name)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

func (g *guard) OpenReadWrite(name string, c vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	return g.create("open", name, c, func() (vfs.File, error) { return g.FS.OpenReadWrite(name, c, opts...) })
}

func (g *guard) ReuseForWrite(from, to string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return g.create("rename", from, c, func() (vfs.File, error) { return g.FS.ReuseForWrite(from, to, c) })
}

func (g *guard) OpenDir(name string) (vfs.File, error) {
	f, err := g.FS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	return &guardedFile{File: f, g: g, name: name, category: vfs.WriteCategoryUnspecified}, nil
}

func (g *guard) Link(from, to string) error {
	return g.change("link", to, func() error { return g.FS.Link(from, to) })
}

func (g *guard) Rename(from, to string) error {
	return g.change("rename", to, func() error { return g.FS.Rename(from, to) })
}

func (g *guard) MkdirAll(dir string, perm os.FileMode) error {
	return g.change("make folder", dir, func() error { return g.FS.MkdirAll(dir, perm) })
}

// Remove that fails leaves a file too many, which does no harm.
func (g *guard) Remove(name string) error {
	if g.frozen.Load() {
		return nil
	}
	return g.FS.Remove(name)
}

func (g *guard) RemoveAll(name string) error {
	if g.frozen.Load() {
		return nil
	}
	return g.FS.RemoveAll(name)
}

func (g *guard) Unwrap() vfs.FS { return g.FS }

// guardedFile is a file or folder that may be written.
type guardedFile struct {
	vfs.File
	g        *guard
	name     string
	category vfs.DiskWriteCategory
}

func (f *guardedFile) do(op string, deed func() error) error {
	if f.g.frozen.Load() {
		return nil
	}
	return f.g.failed(op, f.name, f.category, deed())
}

func (f *guardedFile) Write(p []byte) (int, error) {
	err := f.do("write", func() error { _, err := f.File.Write(p); return err })
	if err != nil {
		return 0, err
	}
	return len(p), nil
}

func (f *guardedFile) WriteAt(p []byte, off int64) (int, error) {
	err := f.do("write", func() error { _, err := f.File.WriteAt(p, off); return err })
	if err != nil {
		return 0, err
	}
	return len(p), nil
}

func (f *guardedFile) Sync() error     { return f.do("sync", f.File.Sync) }
func (f *guardedFile) SyncData() error { return f.do("sync", f.File.SyncData) }

func (f *guardedFile) SyncTo(length int64) (full bool, err error) {
	err = f.do("sync", func() error { full, err = f.File.SyncTo(length); return err })
	return full, err
}

func (f *guardedFile) Preallocate(offset, length int64) error {
	if f.g.frozen.Load() {
		return nil
	}
	return f.File.Preallocate(offset, length) // a hint: Pebble goes on without
}

// Close closes the file below in any case.
func (f *guardedFile) Close() error {
	err := f.File.Close()
	return f.do("close", func() error { return err })
}

// nowhere is a file that keeps nothing.
type nowhere struct{ name string }

func (n nowhere) Close() error                           { return nil }
func (n nowhere) Read([]byte) (int, error)               { return 0, errNowhere }
func (n nowhere) ReadAt([]byte, int64) (int, error)      { return 0, errNowhere }
func (n nowhere) Write(p []byte) (int, error)            { return len(p), nil }
func (n nowhere) WriteAt(p []byte, _ int64) (int, error) { return len(p), nil }
func (n nowhere) Preallocate(int64, int64) error         { return nil }
func (n nowhere) Stat() (vfs.FileInfo, error)            { return nowhereInfo{n.name}, nil }
func (n nowhere) Sync() error                            { return nil }
func (n nowhere) SyncTo(int64) (bool, error)             { return false, nil }
func (n nowhere) SyncData() error                        { return nil }
func (n nowhere) Prefetch(int64, int64) error            { return nil }
func (n nowhere) Fd() uintptr                            { return vfs.InvalidFd }

var errNowhere = &fs.PathError{Op: "read", Path: "frozen log", Err: fs.ErrInvalid}

// nowhereInfo describes a nowhere.
type nowhereInfo struct{ name string }

func (i nowhereInfo) Name() string           { return i.name }
func (i nowhereInfo) Size() int64            { return 0 }
func (i nowhereInfo) Mode() fs.FileMode      { return 0o644 }
func (i nowhereInfo) ModTime() time.Time     { return time.Time{} }
func (i nowhereInfo) IsDir() bool            { return false }
func (i nowhereInfo) Sys() any               { return nil }
func (i nowhereInfo) DeviceID() vfs.DeviceID { return vfs.DeviceID{} }
