package jdbc

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"strings"

	"github.com/towline/towline/connect"
)

// emptying is a table that is emptied at a barrier.
type emptying struct {
	key, other barrierKey // other: not if that has come as far
	bar        *connect.Barrier
	at         *connect.Record
	name       name
	dropped    bool
	change     *change // of its columns, once it is empty; nil: none
	stmt       string  // "": its rows stay
	then       string  // what is committed with that it is empty
}

// emptyOnce empties a table if that is still to be done for a barrier. Everything
// is done in the session that has the lock.
func (s *Sink) emptyOnce(ctx context.Context, e *emptying) error {
	return s.catalogue.session(ctx, func(conn *sql.Conn) error {
		unlock, err := lockByName(ctx, conn, s.barrierHash(e.key.as(barrierLock)))
		if err != nil {
			return err
		}
		defer unlock()
		begun, over, err := s.lookAtBarrier(ctx, conn, e)
		if err != nil || over {
			return err
		}
		if !begun {
			if err := s.inOne(ctx, conn, s.headRow(e.key, e.bar, stateEmptying, e.dropped), s.raiseClaims()); err != nil {
				return err
			}
		}
		if e.stmt != "" {
			if _, err := conn.ExecContext(ctx, e.stmt); err != nil && !isCode(err, errNoTable, errNoDatabase) {
				return fmt.Errorf("%s: %w", e.stmt, err)
			}
		}
		if e.change != nil {
			if err := s.reshapeEmpty(ctx, conn, e); err != nil {
				return err
			}
		}
		return s.inOne(ctx, conn, s.headRow(e.key, e.bar, stateEmptied, e.dropped), e.then, s.raiseClaims())
	})
}

// reshapeEmpty has a table that was emptied follow a change of its columns. With
// schema.evolution=full one that cannot, for it was exchanged for another perhaps, is
// dropped, to be made anew by the first row: there is none that could be lost.
func (s *Sink) reshapeEmpty(ctx context.Context, conn *sql.Conn, e *emptying) error {
	done, err := s.catalogue.followIn(ctx, conn, e.name, e.change, e.at)
	if done != "" && err == nil {
		s.env.Logger.Info("table has followed the source", "table", e.name.String(), "statement", done)
	}
	if s.set.evolution != evolveFull || err != nil && !connect.IsPermanent(err) {
		return err
	}
	if err == nil {
		look, lerr := s.catalogue.lookIn(ctx, conn, e.name, e.change.now, e.change.nowKey)
		if lerr != nil || look.def == nil {
			return lerr
		}
		if err = s.catalogue.verdict(e.name, e.change.now, &look); err == nil {
			return nil
		}
	}
	s.env.Logger.Warn("a table without rows is made anew", "table", e.name.String(), "source", e.change.now.String(), "reason", err)
	_, err = conn.ExecContext(ctx, "DROP TABLE IF EXISTS "+e.name.quoted())
	return err
}

// lookAtBarrier reports whether a barrier has begun, and whether nothing is to be
// done for it any more. One that its partition has passed a later one before is no
// barrier of the source that made that.
func (s *Sink) lookAtBarrier(ctx context.Context, conn *sql.Conn, e *emptying) (begun, over bool, err error) {
	hashes := []string{literal(s.barrierHash(e.key)), literal(s.barrierHash(e.other))}
	switch e.key.kind { // either of these two makes up for the other
	case barrierEmpty:
		hashes = append(hashes, literal(s.barrierHash(e.key.as(barrierAnew))))
	case barrierAnew:
		hashes = append(hashes, literal(s.barrierHash(e.key.as(barrierEmpty))))
	}
	rows, err := conn.QueryContext(ctx, "SELECT kind, `partition`, id, state, `offset` FROM "+s.barriers.table.quoted()+" WHERE connector = "+literal(s.ledger.connector)+
		" AND barrier IN ("+strings.Join(hashes, ", ")+") AND `partition` IN (-1, "+strconv.Itoa(int(e.at.Partition))+")")
	if err != nil {
		return false, false, err
	}
	defer rows.Close()
	for rows.Next() {
		var kind, id, state string
		var partition int32
		var offset int64
		if err := rows.Scan(&kind, &partition, &id, &state, &offset); err != nil {
			return false, false, err
		}
		switch {
		case partition >= 0:
			if kind == e.key.kind && id > e.bar.ID && offset < e.at.Offset {
				return false, false, connect.Permanent(fmt.Errorf("jdbc: table %s was emptied at the source, and so it was later by the source's count and earlier in partition %d of topic %s: "+
					"another source has written to that topic before; have this one write to topics of its own (topic.prefix), and read them with a sink of another name", e.key.source, partition, e.key.topic))
			}
		case id > e.bar.ID, id == e.bar.ID && state != stateEmptying:
			over = true
		case id == e.bar.ID:
			begun = true
		}
	}
	return begun, over, rows.Err()
}

// inOne executes statements in one transaction.
func (s *Sink) inOne(ctx context.Context, conn *sql.Conn, stmts ...string) error {
	tx, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	for _, stmt := range stmts {
		if stmt == "" {
			continue
		}
		if _, err := tx.ExecContext(ctx, stmt); err != nil {
			return err
		}
	}
	return tx.Commit()
}
