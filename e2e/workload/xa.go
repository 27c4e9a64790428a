package workload

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/go-sql-driver/mysql"
)

// maxPrepared is how many XA transactions may wait for their outcome at once:
// each holds the locks of its rows.
const maxPrepared = 6

// xa makes an XA transaction up to its PREPARE. Its outcome comes at once, or
// later, from whoever it may be.
func (w *Workload) xa(ctx context.Context, conn *sql.Conn, r *rand.Rand) error {
	name := fmt.Sprintf("'towline-%d-%d'", w.opt.Seed, w.serial.Add(1))
	if err := w.prepare(ctx, conn, r, name); err != nil {
		_, _ = conn.ExecContext(ctx, "XA END "+name) // as far as it came
		_, _ = conn.ExecContext(ctx, "XA ROLLBACK "+name)
		return err
	}
	w.mu.Lock()
	if len(w.prepared) < maxPrepared && r.IntN(3) == 0 {
		w.prepared = append(w.prepared, name)
		name = ""
	} else if n := len(w.prepared); n > 0 && r.IntN(2) == 0 {
		i := r.IntN(n)
		name, w.prepared[i] = w.prepared[i], name
	}
	w.mu.Unlock()
	if name == "" {
		return nil
	}
	return decide(ctx, conn, r, name)
}

func (w *Workload) prepare(ctx context.Context, conn *sql.Conn, r *rand.Rand, name string) error {
	if _, err := conn.ExecContext(ctx, "XA START "+name); err != nil {
		return err
	}
	for range 1 + r.IntN(3) { // of rows that nobody else changes: they may be locked for long
		k := r.IntN(500)
		for _, q := range []string{
			"INSERT INTO " + w.t("hot") + " (id, v, s) VALUES (?, ?, 'xa') ON DUPLICATE KEY UPDATE v = v + 1, s = VALUES(s)",
			"INSERT INTO " + w.t("accounts") + " (id, balance, owner) VALUES (?, ?, 'xa') ON DUPLICATE KEY UPDATE balance = balance + 1",
		} {
			if err := exec(ctx, conn, q, 1000000+k, k); err != nil {
				return err
			}
		}
	}
	for _, q := range []string{"XA END ", "XA PREPARE "} {
		if _, err := conn.ExecContext(ctx, q+name); err != nil {
			return err
		}
	}
	return nil
}

// decide gives a prepared transaction its outcome.
func decide(ctx context.Context, conn session, r *rand.Rand, name string) error {
	outcome := "XA COMMIT "
	if r.IntN(4) == 0 {
		outcome = "XA ROLLBACK "
	}
	_, err := conn.ExecContext(ctx, outcome+name)
	return err
}

// Finish gives every prepared XA transaction of the server its outcome. Nobody
// may write any more.
func (w *Workload) Finish(ctx context.Context) error {
	if !w.opt.XA {
		return nil
	}
	rows, err := w.pool().QueryContext(ctx, "XA RECOVER")
	if err != nil {
		return fmt.Errorf("workload: %w", err)
	}
	var names []string
	for rows.Next() {
		var format, gtrid, bqual int
		var name string
		if err := rows.Scan(&format, &gtrid, &bqual, &name); err != nil {
			return errors.Join(err, rows.Close())
		}
		names = append(names, "'"+name+"'")
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return fmt.Errorf("workload: %w", err)
	}
	w.mu.Lock()
	w.prepared = nil
	w.mu.Unlock()
	slices.Sort(names)
	r := rand.New(rand.NewPCG(w.opt.Seed, 99))
	for _, name := range names {
		var me *mysql.MySQLError
		if err := decide(ctx, w.pool(), r, name); err != nil && (!errors.As(err, &me) || me.Number != errUnknownXID) {
			return fmt.Errorf("workload: %w", err)
		}
	}
	return nil
}

const errUnknownXID = 1397
