package snapshot

import (
	"fmt"
	"strings"

	"github.com/towline/towline/connect"
)

// Mode says which tables are copied.
type Mode string

// The modes.
const (
	Initial     Mode = "initial"      // copy all, then follow
	NoData      Mode = "no_data"      // copy nothing, follow
	InitialOnly Mode = "initial_only" // copy all, then end
	WhenNeeded  Mode = "when_needed"  // as Initial, and again when the position is lost
)

// Config says how a Source copies.
type Config struct {
	Mode       Mode
	Threads    int    // chunk readers
	ChunkBytes int    // aimed at for one chunk
	MaxBytes   int64  // of rows waiting in windows
	FetchRows  int    // most rows of one chunk; 0: no bound but bytes
	NoLocks    bool   // never lock, not even a table without a key
	Editor     Editor // nil: none
	RowRate    int64  // the most rows to read in a second; 0: no bound
	Throttle   Throttle
	Brake      Brake // looks for what Throttle says; nil: none
	// SignalTable is the database.table whose new rows are signals, SignalFile
	// the file whose lines are; "" is none.
	SignalTable, SignalFile string
}

// Editor has the last word on what Read returns.
type Editor interface {
	// Reset is called by Open.
	Reset()
	// Edit changes a batch. It may take out all of it but its Pos.
	Edit(*connect.Batch) error
}

// The names of the options.
const (
	optMode        = "snapshot.mode"
	optThreads     = "snapshot.max.threads"
	optChunk       = "snapshot.chunk.bytes"
	optMax         = "snapshot.max.bytes"
	optFetch       = "snapshot.fetch.size"
	optLocking     = "snapshot.locking.mode"
	optRate        = "snapshot.max.rows.per.second"
	optMaxLoad     = "snapshot.throttle.max.load"
	optCritical    = "snapshot.throttle.critical.load"
	optReplicas    = "snapshot.throttle.control.replicas"
	optMaxLag      = "snapshot.throttle.max.lag.ms"
	optSignalTable = "signal.data.collection"
	optSignalFile  = "signal.file"
	optChannels    = "signal.enabled.channels"
)

// Options declares what ParseConfig reads.
func Options() []connect.Option {
	return []connect.Option{
		{Name: optMode, Type: connect.TypeString, Default: string(Initial), Importance: connect.High, Group: "Snapshot",
			Values: []string{"initial", "no_data", "schema_only", "never", "initial_only", "when_needed"},
			Doc: "Which rows are copied before changes are all there is. `initial` copies every captured table once; `no_data` (also `schema_only`, `never`) copies none; " +
				"`initial_only` ends when all are copied; `when_needed` is `initial`, and when the server no longer has the log that follows the saved position it empties all tables " +
				"in the targets and copies them again, so that rows deleted in that gap go too. The others stop then, with an error."},
		{Name: optThreads, Type: connect.TypeInt, Default: "2", Min: 1, Max: 64, Importance: connect.Medium, Group: "Snapshot",
			Doc: "How many connections read rows at once, from several tables and from several places of one table."},
		{Name: optChunk, Type: connect.TypeInt, Default: "4194304", Min: 64 << 10, Max: 1 << 30, Importance: connect.Low, Group: "Snapshot",
			Doc: "The memory for rows that one chunk aims at. Chunks are the unit of progress: what was not finished is read again after a restart."},
		{Name: optMax, Type: connect.TypeLong, Default: "67108864", Min: 1 << 20, Max: 1 << 40, Importance: connect.Low, Group: "Snapshot",
			Doc: "The memory for rows that may wait for the stream to catch up with them. Each chunk under way counts as twice `snapshot.chunk.bytes`; at least one is always allowed."},
		{Name: optFetch, Aliases: []string{"incremental.snapshot.chunk.size"}, Type: connect.TypeInt, Default: "0", Min: 0, Max: 1 << 30, Importance: connect.Low, Group: "Snapshot",
			Doc: "The most rows of one chunk. 0 leaves it to the sizes in bytes."},
		{Name: optLocking, Type: connect.TypeString, Default: "minimal", Values: []string{"minimal", "none"}, Importance: connect.Low, Group: "Snapshot",
			Doc: "Tables with a key are never locked. `minimal` allows a `LOCK TABLES ... READ` of some milliseconds for a table without a key that is large or busy; `none` stops such a table instead."},
		{Name: optRate, Type: connect.TypeLong, Default: "0", Min: 0, Max: 1 << 40, Importance: connect.Medium, Group: "Snapshot",
			Doc: "The most rows that copies read in a second, all tables together, to spare the server. 0 is no bound. A table without a key that is large or busy is read in one go, whatever this says."},
		{Name: optMaxLoad, Type: connect.TypeList, Importance: connect.Low, Group: "Snapshot", Check: checkLoads,
			Doc: "Status variables of the source and their limits, such as `Threads_running=25`. While one is above its limit copies rest, until all are at four fifths or below. They are asked for once a second while there is something to copy; the connections that read rows count too."},
		{Name: optCritical, Type: connect.TypeList, Importance: connect.Low, Group: "Snapshot", Check: checkLoads,
			Doc: "The same, but copies are paused then, as `towline snapshot pause` does it, until an operator resumes them."},
		{Name: optReplicas, Type: connect.TypeList, Importance: connect.Low, Group: "Snapshot", Check: checkReplicas,
			Doc: "Replicas, as `host:port`, for whose sake copies rest while one lags or does not replicate. The user is that of the source, and needs REPLICATION CLIENT there."},
		{Name: optMaxLag, Type: connect.TypeLong, Default: "10000", Min: 1000, Max: 1 << 32, Importance: connect.Low, Group: "Snapshot",
			Doc: "How far a replica of `snapshot.throttle.control.replicas` may lag, in milliseconds. Servers tell whole seconds."},
		{Name: optChannels, Type: connect.TypeList, Default: "source,file", Importance: connect.Low, Group: "Signals", Check: checkChannels,
			Doc: "Where signals come from: `source`, rows that are inserted into the table `signal.data.collection`; `file`, lines that are appended to `signal.file`. `towline snapshot` always works."},
		{Name: optSignalTable, Type: connect.TypeString, Importance: connect.Medium, Group: "Signals",
			Doc: "`database.table` with the columns `id`, `type` and `data`. Each row that is inserted is a signal. The table must be captured; its rows go to no topic."},
		{Name: optSignalFile, Type: connect.TypeString, Importance: connect.Low, Group: "Signals",
			Doc: "File to which signals are appended, each a line `{\"id\": ..., \"type\": ..., \"data\": {...}}`. It is only read: lines that were carried out stay."},
	}
}

func checkChannels(value string) error {
	for _, c := range connect.SplitList(value) {
		if !strings.EqualFold(c, "source") && !strings.EqualFold(c, "file") {
			return fmt.Errorf("there is no channel %q; there are source and file", c)
		}
	}
	return nil
}

// ParseConfig reads the options.
func ParseConfig(c connect.Config) Config {
	mode := Mode(strings.ToLower(c.String(optMode)))
	if mode == "schema_only" || mode == "never" {
		mode = NoData
	}
	cfg := Config{
		Mode: mode, Threads: int(c.Int(optThreads)), ChunkBytes: int(c.Int(optChunk)), MaxBytes: c.Int(optMax),
		FetchRows: int(c.Int(optFetch)), NoLocks: strings.EqualFold(c.String(optLocking), "none"),
		RowRate: c.Int(optRate), Throttle: Throttle{Replicas: c.List(optReplicas), MaxLag: c.Millis(optMaxLag)},
	}
	cfg.Throttle.MaxLoad, _ = parseLoads(c.String(optMaxLoad)) // they are checked
	cfg.Throttle.CriticalLoad, _ = parseLoads(c.String(optCritical))
	for _, channel := range c.List(optChannels) {
		switch strings.ToLower(channel) {
		case "source":
			cfg.SignalTable = c.String(optSignalTable)
		case "file":
			cfg.SignalFile = c.String(optSignalFile)
		}
	}
	return cfg
}

// filled returns c with defaults in place of zeros.
func (c Config) filled() Config {
	set := func(p *int, v int) {
		if *p <= 0 {
			*p = v
		}
	}
	if c.Mode == "" {
		c.Mode = Initial
	}
	if c.MaxBytes <= 0 {
		c.MaxBytes = 64 << 20
	}
	set(&c.Threads, 2)
	set(&c.ChunkBytes, 4<<20)
	return c
}
