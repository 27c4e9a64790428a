// Package loggers gives the loggers of the program names, and each name a level
// that can be changed while the program runs.
//
// A logger has the name of the package that logs: connect.cluster, cdc.mysql. It
// is read off each record, so nobody hands names around. Names form a tree with
// Root at its root; what a logger logs is decided by its own level or, where it has
// none, by that of its nearest ancestor.
//
// Changes count for what is logged after them. All of a Levels may be called from
// anywhere; logging takes no lock.
package loggers

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Root is the name of the logger that all others descend from.
const Root = "root"

// Names returns the names of all loggers of the program, without their ancestors.
func Names() []string {
	return []string{"cdc.mysql", "connect.cluster", "connect.pebblelog", "connect.report", "connect.rest", "connect.rocketlog", "connect.standalone", "connect.worker",
		"sinks.jdbc", "snapshot", "towline"}
}

// Level is the level of a logger that has one of its own.
type Level struct {
	Name string
	// Modified is when it was given; zero: as the program was started.
	Modified time.Time
}

// levelNames are the names that Log4j has, and so Kafka Connect.
var levelNames = map[string]slog.Level{
	"ALL": math.MinInt, "TRACE": slog.LevelDebug - 4, "DEBUG": slog.LevelDebug, "INFO": slog.LevelInfo, "WARN": slog.LevelWarn, "ERROR": slog.LevelError,
	"FATAL": slog.LevelError + 4, "OFF": math.MaxInt,
}

// Valid reports whether there is a level of a name.
func Valid(level string) bool {
	_, ok := levelNames[strings.ToUpper(level)]
	return ok
}

// Levels are the levels of all loggers.
type Levels struct {
	mu    sync.Mutex // for changes
	own   map[string]Level
	now   atomic.Pointer[thresholds]
	rooms sync.Map // of a program counter: the name of its logger
}

// thresholds are Levels as they are asked. They are never changed.
type thresholds struct {
	of    map[string]slog.Level
	least slog.Level
}

// New returns levels of which only the root has one.
func New(level slog.Level) *Levels {
	l := &Levels{own: map[string]Level{Root: {Name: level.String()}}}
	l.publish()
	return l
}

// publish makes what is in own count. l.mu is held, or nobody else has l.
func (l *Levels) publish() {
	t := &thresholds{of: make(map[string]slog.Level, len(l.own)), least: math.MaxInt}
	for name, level := range l.own {
		t.of[name] = levelNames[level.Name]
		t.least = min(t.least, t.of[name])
	}
	l.now.Store(t)
}

// level returns what counts for a logger.
func (t *thresholds) level(name string) slog.Level {
	for {
		if level, ok := t.of[name]; ok {
			return level
		}
		at := strings.LastIndexByte(name, '.')
		if at < 0 {
			return t.of[Root]
		}
		name = name[:at]
	}
}

// All returns the loggers that have a level of their own.
func (l *Levels) All() map[string]Level {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.own)
}

// Get returns the level that counts for a logger, and whether there is one of the
// name.
func (l *Levels) Get(name string) (Level, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !slices.Contains(nodes(Root), name) {
		return Level{}, false
	}
	for at := name; ; {
		if level, ok := l.own[at]; ok {
			if at != name {
				level.Modified = time.Time{} // of another
			}
			return level, true
		}
		i := strings.LastIndexByte(at, '.')
		if i < 0 {
			at = Root
			continue
		}
		at = at[:i]
	}
}

// Set gives a logger and all that descend from it a level, and returns their
// names; none if there is no such logger.
func (l *Levels) Set(name, level string) ([]string, error) {
	level = strings.ToUpper(level)
	if !Valid(level) {
		return nil, fmt.Errorf("loggers: %q is not one of the levels %s", level, strings.Join(slices.Sorted(maps.Keys(levelNames)), ", "))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	names, now := nodes(name), time.Now()
	for _, n := range names {
		if l.own[n].Name != level {
			l.own[n] = Level{level, now}
		}
	}
	l.publish()
	return names, nil
}

// nodes returns a logger and all that descend from it, in order.
func nodes(name string) []string {
	all := map[string]bool{Root: true}
	for _, n := range Names() {
		for at := len(n); at > 0; at = strings.LastIndexByte(n[:at], '.') {
			all[n[:at]] = true
		}
	}
	if name != Root {
		maps.DeleteFunc(all, func(n string, _ bool) bool { return n != name && !strings.HasPrefix(n, name+".") })
	}
	return slices.Sorted(maps.Keys(all))
}

// Handler returns a handler that hands to next, which lets everything through,
// what the levels let through, with the name of its logger.
func (l *Levels) Handler(next slog.Handler) slog.Handler { return handler{l, next} }

type handler struct {
	levels *Levels
	next   slog.Handler
}

// Enabled implements slog.Handler: whose record it would be is not known here.
func (h handler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= h.levels.now.Load().least
}

// Handle implements slog.Handler.
func (h handler) Handle(ctx context.Context, r slog.Record) error {
	name := h.levels.room(r.PC)
	if r.Level < h.levels.now.Load().level(name) {
		return nil
	}
	r.AddAttrs(slog.String("logger", name))
	return h.next.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (h handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return handler{h.levels, h.next.WithAttrs(attrs)}
}

// WithGroup implements slog.Handler.
func (h handler) WithGroup(name string) slog.Handler {
	return handler{h.levels, h.next.WithGroup(name)}
}

// room returns the name of the logger that a program counter belongs to.
func (l *Levels) room(pc uintptr) string {
	if name, ok := l.rooms.Load(pc); ok {
		return name.(string)
	}
	frame, _ := runtime.CallersFrames([]uintptr{pc}).Next()
	name := nameOf(frame.Function)
	l.rooms.Store(pc, name) // there are as many as there are places that log
	return name
}

// nameOf returns the name of the logger of a function's package; Root for those of
// others.
func nameOf(function string) string {
	const module = "github.com/towline/towline/"
	dir := strings.LastIndexByte(function, '/') + 1
	pkg, _, _ := strings.Cut(function[dir:], ".")
	switch path, ours := strings.CutPrefix(function[:dir]+pkg, module); {
	case ours:
		return strings.ReplaceAll(path, "/", ".")
	case function[:dir]+pkg == "main":
		return "towline"
	}
	return Root
}
