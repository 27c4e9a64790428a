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
	if err == nil && f.mariaDB() {
		err = connect.Permanent(errors.New("places are looked for by time in MySQL's log, and this server is MariaDB"))
	}
	if err != nil {
		return nil, err
	}
	x := position{mode: f.mode(), gtids: new(gtid.Set)}
	if x.server, err = f.uuid(); err == nil {
		err = s.find(ctx, db, &x, at)
	}
	if err != nil {
		return nil, s.settings.explain("look for a time in the log of", err)
	}
	place := map[string]any{"file": x.file, "pos": x.pos, "server_uuid": gtid.FormatUUID(x.server)}
	if x.mode == byGTID {
		place["gtids"] = x.gtids.String()
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
	d, _, err := s.settings.openDump(ctx, &position{mode: byFile, server: x.server, file: file, pos: 4})
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
	var format *binlog.Format
	var open *binlog.GTID // the transaction under way
	done := func() {
		if open != nil && open.GNO != 0 {
			x.gtids.Add(open.SID, open.Tag, open.GNO)
		}
		open = nil
	}
	here := x.pos // where the next event begins
	return s.events(ctx, x, file, func(h *binlog.Header, event []byte) (bool, error) {
		switch {
		case h.Type == binlog.RotateEvent:
			r, err := binlog.ParseRotate(bareBody(event))
			if err == nil && r.File != x.file {
				done()
				x.file, here = r.File, r.Pos
				x.pos = here
			}
			return err == nil && end(x.file, here), err
		case h.Flags&binlog.FlagArtificial != 0 || h.LogPos == 0 || h.Type == binlog.HeartbeatEvent || h.Type == binlog.HeartbeatEventV2:
			return false, nil
		case h.Type == binlog.FormatDescriptionEvent:
			var err error
			if format, err = binlog.ParseFormat(event); err != nil {
				return false, err
			}
		}
		body, err := format.Body(event)
		if err != nil {
			return false, err
		}
		switch h.Type {
		case binlog.PreviousGTIDsEvent:
			before, err := gtid.ParseDump(body)
			if err != nil {
				return false, err
			}
			x.gtids.Union(before)
		case binlog.GTIDEvent, binlog.AnonymousGTIDEvent, binlog.GTIDTaggedEvent:
			done()
			g, err := binlog.ParseGTID(h.Type, body)
			if err != nil {
				return false, err
			}
			committed := int64(g.CommitTime)
			if committed == 0 {
				committed = int64(h.Timestamp) * 1e6
			}
			if x.pos = here; committed >= at.UnixMicro() {
				return true, nil
			}
			open = &g
		}
		if here += uint64(h.Size); end(x.file, here) {
			done()
			x.pos = here
			return true, nil
		}
		return false, nil
	})
}
