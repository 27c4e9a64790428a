package pebblelog

import (
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Options of a log. Dir is required, all else has a meaning when zero.
type Options struct {
	// Dir is the folder of the log. It is made if it is not there; its parent
	// must exist.
	Dir string
	// Retention is how long messages stay after they were appended; 0: for
	// ever.
	Retention time.Duration
	// RetentionBytes bounds what a partition holds, to within a segment (at
	// most 8 MiB); 0: no bound.
	RetentionBytes int64
	// Protect returns the offset from which on the messages of a partition
	// are still needed; retention keeps them whatever their age and size. ok
	// false: nobody needs any. nil: likewise. It must not call the Log.
	Protect func(topic string, partition int32) (offset int64, ok bool)
	// TrimInterval is the time between two looks at retention; default one
	// minute.
	TrimInterval time.Duration
	// Logger gets what Pebble has to say; default none.
	Logger *slog.Logger
	// Now is the clock by which messages age; default time.Now.
	Now func() time.Time
	// FS is where files live; default the operating system's.
	FS vfs.FS

	memTableBytes uint64 // tests make it small
	// restEvery is how often it is looked whether messages have come, and
	// restBytes in memtables are worth a rest; tests make them small.
	restEvery time.Duration
	restBytes uint64
}

func (o *Options) setDefaults() error {
	if o.Dir == "" {
		return fmt.Errorf("pebblelog: open: no folder given")
	}
	if o.Retention < 0 || o.RetentionBytes < 0 || o.TrimInterval < 0 {
		return fmt.Errorf("pebblelog: open %s: retention and its interval cannot be negative", o.Dir)
	}
	if o.TrimInterval == 0 {
		o.TrimInterval = time.Minute
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.memTableBytes == 0 {
		o.memTableBytes = memTableBytes
	}
	if o.restEvery == 0 {
		o.restEvery, o.restBytes = restEvery, restBytes
	}
	return nil
}

// segmentBytes and segmentAge say when a new segment begins: fine enough for
// the limits to be met closely, coarse enough to be few.
func (o *Options) segmentBytes() uint64 {
	if o.RetentionBytes == 0 {
		return 8 << 20
	}
	return uint64(min(max(o.RetentionBytes/16, 4<<10), 8<<20))
}

func (o *Options) segmentAge() time.Duration {
	if o.Retention == 0 {
		return time.Hour
	}
	return min(max(o.Retention/24, time.Second), time.Hour)
}

// compression of blocks. Small messages shrink well, and this keeps up with any
// disk; zstd saves another quarter of the space for much more of the processor.
// Frames are compressed already: where blocks shrink by less than a tenth, only
// one now and then is tried.
var compression = func() *sstable.CompressionProfile {
	p := *sstable.FastestCompression
	p.OtherBlocks = sstable.NoCompression.OtherBlocks // what Pebble falls back to
	p.MinReductionPercent, p.AdaptiveReductionCutoffPercent = 10, 10
	return &p
}()

const (
	memTableBytes = 12 << 20
	memTables     = 3
	cacheBytes    = 8 << 20
	// maxSublevels is how far compactions may fall behind before appends
	// wait. Pebble's own stop is set out of reach, because a writer that
	// waits there cannot be freed while the log is frozen.
	maxSublevels = 36
	// gatherSublevels is how many flushes are compacted together. Where there are
	// many partitions each flush has keys of all, and so has what it is merged with
	// below: the more go together, the less often that is written again. Range
	// deletions free files below level 0 only, which bounds the files there.
	gatherSublevels = 12
	flushFiles      = 2 // one of messages, one of the small keys
)

// pebbleOptions returns the settings of the database, for a log: much is
// written once, in rising order, read once, and dropped in ranges.
func (l *Log) pebbleOptions() *pebble.Options {
	o := &pebble.Options{
		FS:                          l.guard,
		FormatMajorVersion:          pebble.FormatTableFormatV6,
		Logger:                      pebbleLogger{l},
		CacheSize:                   cacheBytes,
		MemTableSize:                l.opts.memTableBytes,
		MemTableStopWritesThreshold: memTables,
		L0CompactionThreshold:       gatherSublevels,
		L0CompactionFileThreshold:   gatherSublevels * flushFiles,
		L0StopWritesThreshold:       1 << 20,
		LBaseMaxBytes:               256 << 20,
		FlushSplitBytes:             memTableBytes,
		FlushDelayDeleteRange:       10 * time.Second, // space comes back soon
		BytesPerSync:                1 << 20,
		WALBytesPerSync:             1 << 20,
		MaxOpenFiles:                500,
		CompactionConcurrencyRange:  func() (int, int) { return 1, 2 },
		EventListener:               l.listener(),
	}
	for i := range o.TargetFileSizes {
		o.TargetFileSizes[i] = 32 << 20
	}
	o.TargetFileSizes[0] = 16 << 20 // all of a memtable
	for i := range o.Levels {
		o.Levels[i].BlockSize = 32 << 10
		o.Levels[i].Compression = func() *sstable.CompressionProfile { return compression }
	}
	// No file holds both messages and the small keys before them, which every
	// append writes: such a file would overlap all others, and be rewritten
	// again and again with the messages in it.
	o.Experimental.SpanPolicyFunc = func(start []byte) (pebble.SpanPolicy, []byte, error) {
		if len(start) == 0 || start[0] < spaceMessage {
			return pebble.SpanPolicy{}, []byte{spaceMessage}, nil
		}
		return pebble.SpanPolicy{}, nil, nil
	}
	return o
}

func (l *Log) listener() *pebble.EventListener {
	return &pebble.EventListener{
		BackgroundError: func(err error) {
			l.opts.Logger.Warn("pebblelog: background work failed", "folder", l.opts.Dir, "error", err)
		},
		// Pebble reads files by itself, too, and may meet the damage first.
		DataCorruption: func(info pebble.DataCorruptionInfo) { l.end(l.damaged(fmt.Errorf("%s: %w", info.Path, info.Details))) },
		FlushEnd:       func(pebble.FlushInfo) { l.nudge() },
		CompactionEnd:  func(pebble.CompactionInfo) { l.nudge() },
	}
}

// pebbleLogger hands what Pebble says to the Logger. What it would end the
// process for poisons the log instead.
type pebbleLogger struct{ l *Log }

func (p pebbleLogger) Infof(format string, args ...any) {
	p.l.opts.Logger.Debug("pebble: "+strings.TrimSpace(fmt.Sprintf(format, args...)), "folder", p.l.opts.Dir)
}

func (p pebbleLogger) Errorf(format string, args ...any) {
	p.l.opts.Logger.Warn("pebble: "+strings.TrimSpace(fmt.Sprintf(format, args...)), "folder", p.l.opts.Dir)
}

func (p pebbleLogger) Fatalf(format string, args ...any) {
	p.l.end(fmt.Errorf("pebblelog: %s: pebble cannot go on: %s", p.l.opts.Dir, fmt.Sprintf(format, args...)))
}

// end has all that is asked of the log from now on fail with err, and nothing
// be written any more.
func (l *Log) end(err error) {
	l.poison(err)
	l.guard.frozen.Store(true)
}
