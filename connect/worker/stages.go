package worker

import (
	"fmt"
	"math/bits"
	"sync"
	"sync/atomic"
	"time"
)

// stage is what a goroutine of a task does, or that it waits.
type stage int

// The stages. Those of one goroutine stand together; it is always in one of
// them, so their times add up to the time that passes.
const (
	stageReadWait  stage = iota // all units are in use: what comes behind is slower
	stageRead                   // from the source or the log, waiting for something new included
	stageBuildWait              // nothing was read
	stageDecode
	stageTransform // transforms, partitions, lanes
	stageEncode
	stageHandOff   // lanes have no room, or are to come together
	stageWriteWait // nothing is to be written
	stageWrite     // to the log or the target
	stageCommit    // telling the source
	stageSaveWait
	stageSave  // positions of a sink
	stageQueue // no goroutine's: how long units waited for one
	numStages
)

var stageNames = [numStages]string{"read_wait", "read", "build_wait", "decode", "transform", "encode", "handoff",
	"write_wait", "write", "commit", "save_wait", "save", "queue"}

// goroutineOf numbers the goroutines that the stages are of.
var goroutineOf = [numStages]int{0, 0, 1, 1, 1, 1, 1, 2, 2, 2, 3, 3, 4}

func (s stage) waits() bool {
	return s == stageReadWait || s == stageBuildWait || s == stageWriteWait || s == stageSaveWait || s == stageHandOff
}

// Buckets of times: bucket i has those below 2^(firstBucket+i) ns, from 16 us
// on, and above the one before; the last has the rest.
const (
	firstBucket = 14
	numBuckets  = 22
)

// timing counts how often and how long a stage was.
type timing struct {
	nanos   atomic.Int64
	count   atomic.Int64
	buckets [numBuckets]atomic.Int64
}

func (t *timing) add(d time.Duration) {
	d = max(d, 0)
	t.nanos.Add(int64(d))
	t.count.Add(1)
	t.buckets[min(bits.Len64(uint64(d)>>firstBucket), numBuckets-1)].Add(1)
}

// quantile returns the upper end of the bucket that has the q-th part of the
// times.
func (t *timing) quantile(q float64) time.Duration {
	want, sum := int64(q*float64(t.count.Load())), int64(0)
	for i := range t.buckets {
		if sum += t.buckets[i].Load(); sum > want {
			return 1 << (firstBucket + i)
		}
	}
	return 0
}

// stages is how the goroutines of a task spend their time. Safe for concurrent
// use; it is told of batches, never of records.
type stages struct {
	timings [numStages]timing

	mu     sync.Mutex
	tracks map[*track]struct{}
	// The window that shares are of begins at before, and is between one and
	// two turns long while the task does something.
	before, latest   window
	beforeAt, lastAt time.Time
	turned           atomic.Int64 // when latest was taken, nanoseconds since begun
	begun            time.Time
}

// window is what was counted at one time.
type window [numStages]int64

// turn is how long a window stays the latest one.
const turn = 5 * time.Second

func newStages() *stages {
	now := time.Now()
	return &stages{tracks: map[*track]struct{}{}, begun: now, beforeAt: now, lastAt: now}
}

// track is one goroutine of a task.
type track struct {
	s     *stages
	mu    sync.Mutex
	stage stage
	since time.Time
	wrote time.Duration // in stageWrite, up to since

	// What wrote was when the windows began, and when it was 0; under stages.mu.
	before, latest time.Duration
	began          time.Time
}

// writing returns how long the goroutine was in stageWrite by now.
func (t *track) writing(now time.Time) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.stage == stageWrite {
		return t.wrote + max(0, now.Sub(t.since))
	}
	return t.wrote
}

// track begins to follow a goroutine, which waits at first.
func (s *stages) track(first stage) *track {
	now := time.Now()
	t := &track{s: s, stage: first, since: now, began: now}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tracks[t] = struct{}{}
	return t
}

// enter says what the goroutine does from now on, and returns the time.
func (t *track) enter(next stage) time.Time {
	now := time.Now()
	if at := t.s.turned.Load(); now.Sub(t.s.begun)-time.Duration(at) > turn && t.s.turned.CompareAndSwap(at, int64(now.Sub(t.s.begun))) {
		t.s.turn(now)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.s.timings[t.stage].add(now.Sub(t.since))
	if t.stage == stageWrite {
		t.wrote += now.Sub(t.since)
	}
	t.stage, t.since = next, now
	return now
}

// end ends it.
func (t *track) end() {
	t.enter(t.stage)
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	delete(t.s.tracks, t)
}

// queued says how long a unit waited that was handed over at sent.
func (s *stages) queued(now, sent time.Time) { s.timings[stageQueue].add(now.Sub(sent)) }

// turn begins a new window.
func (s *stages) turn(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.before, s.latest = s.latest, s.countLocked(now)
	s.beforeAt, s.lastAt = s.lastAt, now
	for t := range s.tracks {
		t.before, t.latest = t.latest, t.writing(now)
	}
}

// busiestLocked returns the share of its time that the busiest of those that
// write was in stageWrite: one lane may hold back the others.
func (s *stages) busiestLocked(now time.Time) (share float64) {
	for t := range s.tracks {
		from := s.beforeAt
		if t.began.After(from) {
			from = t.began
		}
		if d := now.Sub(from); d > 0 {
			share = max(share, float64(t.writing(now)-t.before)/float64(d))
		}
	}
	return share
}

// count returns the time spent in each stage, what goes on now included.
func (s *stages) count(now time.Time) window {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.countLocked(now)
}

func (s *stages) countLocked(now time.Time) (w window) {
	for t := range s.tracks {
		t.mu.Lock()
		w[t.stage] += max(0, int64(now.Sub(t.since)))
		t.mu.Unlock()
	}
	for i := range w {
		w[i] += s.timings[i].nanos.Load()
	}
	return w
}

// StageStatus is how a task spends its time in one stage.
type StageStatus struct {
	Name string `json:"name"`
	// Share of the time of the goroutine, or of the lanes, whose stage it is,
	// in the last seconds.
	Share float64 `json:"share"`
	// Count, P50 and P99 are since the start: how often, and milliseconds that
	// a batch took at most in half and in 99 of 100 cases, rounded up to a
	// power of two.
	Count int64   `json:"count"`
	P50   float64 `json:"p50_ms"`
	P99   float64 `json:"p99_ms"`
}

// status returns the stages that were, and which of them is the limit.
func (s *stages) status(now time.Time, source bool) (list []StageStatus, limit string) {
	s.mu.Lock()
	w, before, busiest := s.countLocked(now), s.before, s.busiestLocked(now)
	s.mu.Unlock()
	var of [5]float64
	for i := range w {
		of[goroutineOf[i]] += float64(w[i] - before[i])
	}
	var shares [numStages]float64
	for i := range stage(numStages) {
		t := &s.timings[i]
		if d := w[i] - before[i]; d > 0 && i != stageQueue {
			shares[i] = float64(d) / of[goroutineOf[i]]
		}
		if n := t.count.Load(); n > 0 || shares[i] > 0 {
			list = append(list, StageStatus{Name: stageNames[i], Share: shares[i], Count: n,
				P50: t.quantile(0.5).Seconds() * 1e3, P99: t.quantile(0.99).Seconds() * 1e3})
		}
	}
	shares[stageWrite] = max(shares[stageWrite], busiest)
	return list, limitOf(&shares, source)
}

// limitOf says in words which stage holds back the others: the busiest one,
// but reading only if no other is busy half of the time, since it includes
// waiting.
func limitOf(shares *[numStages]float64, source bool) string {
	top := stageDecode
	for i, v := range shares {
		if s := stage(i); !s.waits() && s != stageRead && v > shares[top] {
			top = s
		}
	}
	if shares[top] < 0.5 && shares[top] < shares[stageRead] {
		top = stageRead
	}
	if shares[top] == 0 {
		return ""
	}
	var what string
	switch top {
	case stageRead:
		what = "the log is the limit, or has nothing new"
		if source {
			what = "the source is the limit, or has nothing new"
		}
	case stageWrite:
		what = "the target is the limit"
		if source {
			what = "the log is the limit"
		}
	case stageDecode, stageEncode:
		what = "the converter is the limit"
	case stageTransform:
		what = "transforms and routing are the limit"
	case stageCommit:
		what = "the source is the limit"
	default:
		what = "the log is the limit"
	}
	return fmt.Sprintf("%s: %.0f %% of the time in %s", what, 100*shares[top], stageNames[top])
}
