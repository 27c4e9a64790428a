package pebblelog

import (
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// Pebble's memtables grow to 12 MB and never shrink, and one that it does not need
// is kept for later: 24 MB for a log in which nothing happens. So a log to which
// no message has come for a while closes the database and opens it again, which
// takes some tens of milliseconds, after a flush, so that there is nothing to
// replay. Calls that come meanwhile wait.

const (
	// restEvery is how often it is looked whether messages have come.
	restEvery = 5 * time.Second
	// restBytes in memtables are worth it.
	restBytes = 2 << 20
)

const restedText = "pebblelog: the log rests, and has given back its memory"

// rests reports whether the log is to rest, given how many messages it had when it
// was asked last; it notes how many it has.
func (l *Log) rests(seen *int64) bool {
	before := *seen
	*seen = l.appendedMessages.Load()
	if *seen != before {
		return false
	}
	m := l.db.Metrics()
	return m.MemTable.Size+m.MemTable.ZombieSize > l.opts.restBytes
}

// rest gives back what the database holds in memory. What goes wrong freezes the
// log, as any other write that fails. Of the goroutine.
func (l *Log) rest() {
	if err := l.db.Flush(); err != nil || l.db.Metrics().Compact.NumInProgress > 0 {
		return // it has told, or closing would wait for long
	}
	resume, ok := l.pause()
	if !ok {
		return
	}
	defer debug.FreeOSMemory() // else it is Go's for minutes
	defer resume()
	l.free = sync.Pool{} // what is in there belongs to the database
	if err := l.reopenDB(); err != nil {
		l.end(fmt.Errorf("%s cannot be opened again after a rest: %w", l.opts.Dir, err))
		return
	}
	l.opts.Logger.Debug(restedText, "folder", l.opts.Dir)
}

// pause waits until no call is under way, and keeps new ones waiting until resume.
// ok is false if that is not to be: the log has ended, or appends wait for the
// goroutine.
func (l *Log) pause() (resume func(), ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.gate != nil || l.refusal() != nil {
		return nil, false
	}
	paused := make(chan struct{})
	l.paused = paused
	l.mu.Unlock()
	l.calls.Wait()
	l.mu.Lock()
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.paused = nil
		close(paused)
	}, true
}

// awaitResume waits while calls are kept waiting. Call with mu, which it gives up
// meanwhile.
func (l *Log) awaitResume() {
	for l.paused != nil {
		paused := l.paused
		l.mu.Unlock()
		<-paused
		l.mu.Lock()
	}
}

// reopenDB closes the database and opens it again. What is known of topics and
// partitions stays.
func (l *Log) reopenDB() error {
	if err := l.Err(); err != nil {
		return err
	}
	dir, under := l.opts.Dir, l.opts.FS
	// While it is opened there may be no write-ahead log, and who finds that after
	// a crash is to know.
	if err := writeMark(under, dir, stateOpening); err != nil {
		return hinted(err)
	}
	old := l.db
	l.db, l.writtenBefore = nil, l.writtenBefore+written(old.Metrics())
	if err := old.Close(); err != nil {
		return openError(err)
	}
	o := l.pebbleOptions()
	o.Lock = l.lock
	o.ErrorIfNotExists = true
	db, err := pebble.Open(dir, o)
	if err != nil {
		return openError(err)
	}
	l.db = db
	if err := l.Err(); err != nil {
		return err
	}
	return hinted(writeMark(under, dir, stateReady))
}
