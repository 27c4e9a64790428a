package worker

import (
	"maps"
	"sync"
	"time"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/offsets"
)

// progress is how far a task has got, for status and for those who wait.
// Safe for concurrent use. It observes and never decides.
type progress struct {
	mu     sync.Mutex
	pos    offsets.Position // of a source: what is saved
	marks  map[partition]offsets.Mark
	time   int64 // commit time of the last record that is through, microseconds
	tables map[string]connect.TableStatus
	queue  func() (used, size int) // of the running attempt; nil: there is none

	// Of the running attempt of a source: whether it reads, how many batches it has
	// read, and how many of them are in the log. Of a table whose copy is complete
	// the rows are in the log when needs of them are.
	reading               bool
	taken, through, needs int64
}

func newProgress() *progress {
	return &progress{marks: map[partition]offsets.Mark{}, tables: map[string]connect.TableStatus{}}
}

// opening begins an attempt. What is told of tables before it is opened is as
// it was saved.
func (p *progress) opening() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reading, p.taken, p.through, p.needs = false, 0, 0, 0
}

func (p *progress) opened(pos offsets.Position) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pos, p.reading = append(offsets.Position(nil), pos...), true
}

// took notes a batch that was read.
func (p *progress) took() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.taken++
}

// wrote notes that a batch is in the log.
func (p *progress) wrote() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.through++
}

// onTheWay reports whether rows of a copy that is complete are not in the log yet.
func (p *progress) onTheWay() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.through < p.needs
}

func (p *progress) saved(pos offsets.Position) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pos = append(p.pos[:0], pos...)
}

func (p *progress) begin(part partition, m offsets.Mark) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.marks[part] = m
}

// mark returns how far a partition is done; the zero Mark if nothing is.
func (p *progress) mark(part partition) offsets.Mark {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.marks[part]
}

// finished notes a unit that all lanes are through with.
func (p *progress) finished(u *sinkUnit) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range u.marks {
		p.marks[u.marks[i].p] = u.marks[i].m
	}
	if n := len(u.msgs.List); n > 0 {
		p.time = u.msgs.List[n-1].Time
	}
}

// queued tells how full the task's ring is, from now on; nil: there is none.
func (p *progress) queued(queue func() (used, size int)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.queue = queue
}

// fill returns how many units are between the stages, and how many there may
// be.
func (p *progress) fill() (used, size int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.queue == nil {
		return 0, 0
	}
	return p.queue()
}

// report takes note of a table's state and returns the one before, "" if
// there was none.
func (p *progress) report(s connect.TableStatus) connect.TableState {
	p.mu.Lock()
	defer p.mu.Unlock()
	before := p.tables[s.Table].State
	if p.reading && s.State == connect.TableFollowing && before != "" && before != s.State {
		p.needs = p.taken + 1 // it is told with the batch that is being read
	}
	p.tables[s.Table] = s
	return before
}

// snapshot returns copies of what p holds.
func (p *progress) snapshot() (pos offsets.Position, marks map[partition]offsets.Mark, tables map[string]connect.TableStatus) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append(offsets.Position(nil), p.pos...), maps.Clone(p.marks), maps.Clone(p.tables)
}

// done returns a copy of how far a sink has got.
func (p *progress) done() map[partition]offsets.Mark {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.marks)
}

// lastTime returns the commit time of the last record that is through.
func (p *progress) lastTime() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.time == 0 {
		return time.Time{}
	}
	return time.UnixMicro(p.time)
}
