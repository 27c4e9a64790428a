package snapshot

import (
	"slices"
	"time"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/schema"
)

// tableName identifies a table by name.
type tableName struct{ database, name string }

func (n tableName) String() string { return n.database + "." + n.name }

// table is one captured table: how far its copy is, and what goes on with it.
type table struct {
	tableName
	progress
	shape   *schema.Table // as the stream has it; nil: not there
	stopped bool
	unsaved bool
	listed  bool // in weaver.work
	// revivals are signals to follow it again that no OpSchema has answered yet;
	// of asked ones the change source knows.
	revivals, asked int
	note            string // why its last copy was given up
	// announce: targets are yet to be told of the table's shape, so that one
	// without rows gets there too.
	announce bool

	log  touchLog
	open int // windows
	busy bool
	// hold keeps windows shut until the stream has passed it; needHigh means
	// that it is yet to be asked for.
	hold     High
	needHigh bool
	// retryAt keeps everything shut until then.
	retryAt time.Time

	estimated  bool
	big        bool  // without a key, and too large for a window
	rowBytes   int64 // of one row, as seen lately
	tries      int   // windows thrown away since the last success
	shapeFails int
	tableFails int

	reported   connect.TableState
	reportedAt time.Time
}

// keyless reports whether the rows have no identity.
func (t *table) keyless() bool { return t.shape != nil && len(t.shape.Key) == 0 }

// settled is called when a chunk of t has come through.
func (t *table) settled() { t.tries, t.shapeFails, t.tableFails = 0, 0, 0 }

// sameKey reports whether bounds of chunks of a are bounds of chunks of b.
func sameKey(a, b *schema.Table) bool {
	if len(a.Key) != len(b.Key) {
		return false
	}
	for i := range a.Key {
		x, y := &a.Columns[a.Key[i]], &b.Columns[b.Key[i]]
		if x.Type != y.Type || x.Unsigned != y.Unsigned || x.Charset != y.Charset || x.Collation != y.Collation ||
			x.Scale != y.Scale || x.Type == schema.TypeBinary && x.Length != y.Length || !slices.Equal(x.Elements, y.Elements) {
			return false
		}
	}
	return true
}

// chunkRows returns how many rows a chunk of t should have.
func (t *table) chunkRows(cfg *Config) int {
	n := int64(1000) // nothing is known of the rows
	if t.rowBytes > 0 {
		n = int64(cfg.ChunkBytes) / t.rowBytes
	}
	n = min(max(n, 1), 1<<20)
	if cfg.FetchRows > 0 {
		n = min(n, int64(cfg.FetchRows))
	}
	return int(n)
}

// measure takes the size of a chunk's rows into the estimate.
func (t *table) measure(rows, bytes int64) {
	if rows == 0 {
		return
	}
	if seen := max(bytes/rows, 1); t.rowBytes == 0 {
		t.rowBytes = seen
	} else {
		t.rowBytes = max((t.rowBytes+seen)/2, 1)
	}
}

// reportEvery is how often the progress of one table is told at most.
const reportEvery = 300 * time.Millisecond

// report tells the state of t, at once if it is another one than before, and
// why its copy does not go on.
func (t *table) report(env *connect.Env, reason error, why string) {
	state := connect.TableWaiting
	switch {
	case t.stopped:
		state = connect.TableStopped
	case t.status == done, t.shape == nil: // of a table that is gone nothing is missing
		state = connect.TableFollowing
	case t.status == copying:
		state = connect.TableCopying
	}
	now := time.Now()
	if env.Report == nil || state == t.reported && (now.Sub(t.reportedAt) < reportEvery || t.stopped && reason == nil) {
		return // that it is stopped is told once, with the reason
	}
	t.reported, t.reportedAt = state, now
	st := connect.TableStatus{Table: t.String(), State: state, Rows: t.rows, Total: max(t.total, t.rows),
		Bytes: t.bytes, Started: t.started, Ended: t.ended}
	if t.status == done {
		st.Total = t.rows
	}
	switch {
	case reason != nil:
		st.Reason = reason.Error()
	case state == connect.TableFollowing:
		st.Reason = t.note
	default:
		st.Reason = why
	}
	env.Report(st)
}
