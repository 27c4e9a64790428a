package workload

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// lightBatch is how many small transactions go to the server in one packet:
// what is wanted is many commits, not many round trips.
const lightBatch = 25

// lightWriter makes small transactions at a rate.
func (w *Workload) lightWriter(ctx context.Context, number int) error {
	s := &sessions{w: w, number: number}
	defer s.close()
	r := rand.New(rand.NewPCG(w.opt.Seed, uint64(1000+number)))
	var every time.Duration
	if w.opt.Rate > 0 {
		every = time.Second * time.Duration(lightBatch*w.opt.Light) / time.Duration(w.opt.Rate)
	}
	for next := time.Now(); ctx.Err() == nil; next = next.Add(every) {
		if wait := time.Until(next); wait > 0 {
			select {
			case <-time.After(wait):
			case <-ctx.Done():
				return nil
			}
		} else if wait < -time.Second { // what was missed is not made up for
			next = time.Now()
		}
		if err := w.count(s.with(context.WithoutCancel(ctx), func(ctx context.Context, conn *sql.Conn) error {
			return w.lightly(ctx, conn, r)
		}), lightBatch); err != nil {
			return err
		}
	}
	return nil
}

func (w *Workload) lightly(ctx context.Context, conn *sql.Conn, r *rand.Rand) error {
	var q strings.Builder
	hot, docs := w.t("hot"), w.t("docs")
	for range lightBatch {
		k := 1 + r.IntN(w.rows)
		switch n := r.IntN(100); {
		case n < 8:
			fmt.Fprintf(&q, "DELETE FROM %s WHERE id = %d;", hot, k)
		case n < 14:
			fmt.Fprintf(&q, "UPDATE IGNORE %s SET id = %d, v = v + 1 WHERE id = %d;", hot, 1+r.IntN(2*w.rows), k)
		case n < 18 && w.opt.JSON:
			fmt.Fprintf(&q, "UPDATE %s SET v = v + 1, doc = JSON_SET(doc, '$.n', %d, '$.list[%d]', %d) WHERE id = %d;", docs, r.IntN(1000), r.IntN(3), r.IntN(1000), r.IntN(300))
		case n < 50:
			fmt.Fprintf(&q, "INSERT INTO %s (id, v, s) VALUES (%d, %d, 'made') ON DUPLICATE KEY UPDATE v = v + 1;", hot, k, r.IntN(1000))
		default:
			fmt.Fprintf(&q, "UPDATE %s SET v = v + 1, s = CONCAT('at ', %d) WHERE id = %d;", hot, r.IntN(1000), k)
		}
	}
	_, err := conn.ExecContext(ctx, q.String())
	return err
}

// docRow changes documents in place, where the log holds only what changed.
func (w *Workload) docRow(ctx context.Context, tx session, r *rand.Rand) error {
	id := r.IntN(300)
	switch r.IntN(5) {
	case 0:
		return exec(ctx, tx, "REPLACE INTO "+w.t("docs")+" VALUES (?, 1, JSON_OBJECT('n', 1, 'list', JSON_ARRAY(1, 2, 3), 'pad', REPEAT('p', ?)), JSON_ARRAY())", id, r.IntN(2000))
	case 1:
		return exec(ctx, tx, "UPDATE "+w.t("docs")+" SET v = v + 1, doc = JSON_REMOVE(doc, '$.list[1]'), other = JSON_SET(other, '$[2]', ?) WHERE id BETWEEN ? AND ?", r.IntN(9), id, id+3)
	case 2:
		return exec(ctx, tx, "UPDATE "+w.t("docs")+" SET v = v + 1, doc = JSON_REPLACE(doc, '$.pad', ?) WHERE id = ?", text(r, 300), id)
	case 3:
		return exec(ctx, tx, "DELETE FROM "+w.t("docs")+" WHERE id = ?", id)
	}
	return exec(ctx, tx, "UPDATE "+w.t("docs")+" SET v = v + 1, doc = JSON_SET(doc, '$.deep', JSON_OBJECT('a', ?), '$.n', ?) WHERE id = ?", r.Float64(), r.IntN(99), id)
}
