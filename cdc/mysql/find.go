package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sort"
	"time"

	"github.com/towline/towline/cdc/binlog"
	"github.com/towline/towline/cdc/gtid"
	"github.com/towline/towline/connect"
)

// Find returns the place, by the names of Fields, of the first transaction that was
// committed at a time or later: the end of the log if there is none. The source is
// not open, and nothing else reads the log by its server id. A time that the log
// does not reach back to is a permanent error.
func (s *Source) Find(ctx context.Context, at time.Time) (map[string]any, error) {
	db, err := s.settings.openDB()
	if err != nil {
		return nil, err
	}
	defer db.Close()
	f, err := readFacts(ctx, db)
	if err != nil {
		return nil, err
	}
	x := position{mode: f.mode(), gtids: new(gtid.Set)}
	if x.mode == byDomain {
		x.domains = new(gtid.Domains)
	}
	if x.server, err = f.uuid(); err == nil {
		err = s.find(ctx, db, &x, at)
	}
	if err != nil {
		return nil, s.settings.explain("look for a time in the log of", err)
	}
	place := map[string]any{"file": x.file, "pos": x.pos, "server_uuid": gtid.FormatUUID(x.server)}
	if x.mode.gtids() {
		place["gtids"] = x.done()
	}
	return place, nil
}

func (s *Source) find(ctx context.Context, db *sql.DB, x *position, at time.Time) error {
	files, err := readLogFiles(ctx, db)
	if err != nil {
		return err
	}
	endFile, endPos, err := logEnd(ctx, db)
	if err != nil {
		return err
	}
	var began int64
	// Files begin in whole seconds: one that began in the second meant may have
	// another before it that ends in it.
	later := sort.Search(len(files.names), func(i int) bool {
		if err == nil {
			began, err = s.began(ctx, x, files.names[i])
		}
		return err != nil || began >= at.Unix()
	})
	if err != nil {
		return err
	}
	if later == 0 {
		if began, err = s.began(ctx, x, files.names[0]); err != nil || began > at.Unix() {
			return errors.Join(err, connect.Permanent(fmt.Errorf("the server's log begins at %s", time.Unix(began, 0).UTC().Format(time.RFC3339))))
		}
		later = 1
	}
	return s.scan(ctx, x, files.names[later-1], func(file string, pos uint64) bool {
		return fileNumber(file) > fileNumber(endFile) || file == endFile && pos >= endPos
	}, at)
}

// began returns when a file of the log begins, in seconds.
func (s *Source) began(ctx context.Context, x *position, file string) (at int64, err error) {
	err = s.events(ctx, x, file, func(h *binlog.Header, _ []byte) (bool, error) {
		at = int64(h.Timestamp)
		return h.Type == binlog.FormatDescriptionEvent, nil
	})
	return at, err
}

// events gives look what is in the log from the begin of a file on, until it has
// seen enough.
func (s *Source) events(ctx context.Context, x *position, file string, look func(h *binlog.Header, event []byte) (enough bool, err error)) error {
	return s.eventsFrom(ctx, &position{mode: byFile, server: x.server, file: file, pos: 4}, x.mode == byDomain, look)
}

// eventsFrom is events from a position on.
func (s *Source) eventsFrom(ctx context.Context, from *position, maria bool, look func(h *binlog.Header, event []byte) (enough bool, err error)) error {
	d, _, err := s.settings.openDumpOf(ctx, from, maria)
	if err != nil {
		return err
	}
	defer d.close()
	defer context.AfterFunc(ctx, func() { d.end(ctx.Err()) })()
	for {
		event, err := d.next()
		if err != nil {
			return err
		}
		h, err := binlog.ParseHeader(event)
		if err != nil {
			return err
		}
		if enough, err := look(&h, event); enough || err != nil {
			return err
		}
	}
}

// scan puts x before the first transaction from a time on, or at the end.
func (s *Source) scan(ctx context.Context, x *position, file string, end func(file string, pos uint64) bool, at time.Time) error {
	x.file, x.pos = file, 4
	w := &timeScan{x: x, at: at.UnixMicro(), end: end, here: x.pos}
	return s.events(ctx, x, file, w.look)
}

// timeScan goes through a log from the begin of a file on.
type timeScan struct {
	x      *position // before the transaction under way
	at     int64     // the time looked for, in microseconds
	end    func(file string, pos uint64) bool
	here   uint64 // where the next event begins
	format *binlog.Format
	open   *binlog.GTID // of the transaction under way
}

// look takes in an event, and returns true once x is where it is to be.
func (w *timeScan) look(h *binlog.Header, event []byte) (enough bool, err error) {
	switch {
	case h.Type == binlog.RotateEvent:
		r, err := binlog.ParseRotate(bareBody(event))
		if err == nil && r.File != w.x.file {
			w.done()
			w.x.file, w.x.pos, w.here = r.File, r.Pos, r.Pos
		}
		return err == nil && w.end(w.x.file, w.here), err
	case h.Flags&binlog.FlagArtificial != 0 || h.LogPos == 0 || h.Type == binlog.HeartbeatEvent || h.Type == binlog.HeartbeatEventV2:
		return false, nil
	case h.Type == binlog.FormatDescriptionEvent:
		if w.format, err = binlog.ParseFormat(event); err != nil {
			return false, err
		}
	}
	body, err := w.format.Body(event)
	if err == nil {
		enough, err = w.inside(h, body)
	}
	if err != nil || enough {
		return enough, err
	}
	if w.here += uint64(h.Size); w.end(w.x.file, w.here) {
		w.done()
		w.x.pos = w.here
		return true, nil
	}
	return false, nil
}

// inside takes in an event that stands in the log.
func (w *timeScan) inside(h *binlog.Header, body []byte) (enough bool, err error) {
	switch h.Type {
	case binlog.PreviousGTIDsEvent:
		before, err := gtid.ParseDump(body)
		if err == nil {
			w.x.gtids.Union(before)
		}
		return false, err
	case binlog.MariaGTIDListEvent:
		before, err := binlog.ParseMariaGTIDList(body)
		for _, last := range before {
			w.x.domains.Set(last)
		}
		return false, err
	case binlog.GTIDEvent, binlog.AnonymousGTIDEvent, binlog.GTIDTaggedEvent:
		g, err := binlog.ParseGTID(h.Type, body)
		return err == nil && w.begin(h, g), err
	case binlog.MariaGTIDEvent:
		g, err := binlog.ParseMariaGTID(*h, body)
		return err == nil && w.begin(h, g), err
	}
	return false, nil
}

// begin puts x before a transaction, and returns whether it is one that is looked for.
func (w *timeScan) begin(h *binlog.Header, g binlog.GTID) bool {
	w.done()
	w.x.pos, w.open = w.here, &g
	committed := int64(g.CommitTime)
	if committed == 0 {
		committed = int64(h.Timestamp) * 1e6
	}
	return committed >= w.at
}

// done puts x behind the transaction under way.
func (w *timeScan) done() {
	switch g := w.open; {
	case g == nil || g.GNO == 0:
	case w.x.mode == byDomain:
		w.x.domains.Set(g.Last())
	default:
		w.x.gtids.Add(g.SID, g.Tag, g.GNO)
	}
	w.open = nil
}
