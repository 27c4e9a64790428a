// Package workload writes to a MySQL server the way that hurts replication:
// several tables in one transaction, keys that change, unique values that are
// swapped, rows that come and go under one key, wide and empty rows, odd
// names, tables without a key, rolled-back work, large transactions and, on
// request, DDL in between, XA transactions, documents that change in parts,
// compressed transactions and very many small ones. All randomness comes from
// a seed.
//
// Writers run at once and may deadlock; what the server refuses is rolled
// back and forgotten. What remains in the tables is the truth to compare
// targets with (package oracle).
package workload

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-sql-driver/mysql"
	"golang.org/x/sync/errgroup"
)

// Options say what to do beyond the ordinary.
type Options struct {
	Seed     uint64
	Writers  int  // sessions that write at once; default 4
	Keyless  bool // also write to a table without a key
	Types    bool // also write to a table of all types
	DDL      bool // also change tables' shapes, truncate, drop and make tables
	Truncate bool // also truncate
	Reshape  bool // DDL also takes columns and tables away, renames them, and changes keys
	Big      int  // rows of an occasional large transaction; 0: none
	// XA makes some transactions XA transactions, with any outcome, at once or
	// later; see Finish. JSON changes documents, in most sessions so that the
	// log has only parts of them. Compression compresses the log of every other
	// session.
	XA, JSON, Compression bool
	// Light is how many more sessions make small transactions, Rate how many
	// those are to be in a second, all together; 0: as many as it can.
	Light, Rate int
	// Collation of a key of text; default utf8mb4_0900_ai_ci.
	Collation string
	// Pause is how long each writer rests between transactions.
	Pause time.Duration
}

// Workload writes to one database of one server.
type Workload struct {
	db   atomic.Pointer[sql.DB]
	name string // of the database
	opt  Options
	rows int // of each table at first

	done   atomic.Int64
	failed atomic.Int64
	serial atomic.Int64
	ddl    sync.Mutex // of shapes
	shapes shapes

	mu       sync.Mutex
	prepared []string // XA transactions that wait for their outcome
}

// New returns a Workload that writes to the database of that name through db,
// which may belong to any database.
func New(db *sql.DB, database string, opt Options) *Workload {
	if opt.Writers == 0 {
		opt.Writers = 4
	}
	w := &Workload{name: database, opt: opt}
	w.Use(db)
	return w
}

// Use lets the workload go on at another server, which has the same rows.
func (w *Workload) Use(db *sql.DB) { w.db.Store(db) }

func (w *Workload) pool() *sql.DB { return w.db.Load() }

// busy reports whether there are the tables of small transactions.
func (w *Workload) busy() bool { return w.opt.JSON || w.opt.XA || w.opt.Light > 0 }

// Transactions returns how many transactions were committed.
func (w *Workload) Transactions() int64 { return w.done.Load() }

// Refused returns how many transactions the server rolled back.
func (w *Workload) Refused() int64 { return w.failed.Load() }

// t returns the qualified name of a table.
func (w *Workload) t(table string) string { return Quote(w.name) + "." + Quote(table) }

// Quote quotes an identifier.
func Quote(name string) string {
	b := []byte{'`'}
	for i := range len(name) {
		if name[i] == '`' {
			b = append(b, '`')
		}
		b = append(b, name[i])
	}
	return string(append(b, '`'))
}

// oddName is a table's name that has to be quoted everywhere.
const oddName = "odd `name`.with \"all\" $sorts/of-тест"

// Create makes the database and its tables, and puts rows rows into each.
func (w *Workload) Create(ctx context.Context, rows int) error {
	statements := []string{
		"CREATE DATABASE IF NOT EXISTS " + Quote(w.name) + " CHARACTER SET utf8mb4",
		"CREATE TABLE " + w.t("accounts") + " (id BIGINT AUTO_INCREMENT PRIMARY KEY, owner VARCHAR(80) NOT NULL, balance DECIMAL(14,2) NOT NULL DEFAULT 0, note TEXT, changed TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6))",
		"CREATE TABLE " + w.t("entries") + " (account BIGINT NOT NULL, no INT NOT NULL, amount DECIMAL(14,2) NOT NULL, doc JSON, PRIMARY KEY (account, no))",
		"CREATE TABLE " + w.t("seats") + " (id INT PRIMARY KEY, seat INT NOT NULL, who VARCHAR(40), UNIQUE KEY seat (seat))",
		"CREATE TABLE " + w.t("words") + " (word VARCHAR(60) COLLATE " + cmp.Or(w.opt.Collation, "utf8mb4_0900_ai_ci") + " PRIMARY KEY, n INT UNSIGNED NOT NULL)",
		"CREATE TABLE " + w.t("wide") + " (id BINARY(8) PRIMARY KEY, " + wideColumns + ")",
		"CREATE TABLE " + w.t("empty") + " (id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY, a INT, b VARCHAR(10))",
		"CREATE TABLE " + w.t(oddName) + " (`key` INT, `a.b` VARCHAR(20), `с``ё` INT, `select` INT, PRIMARY KEY (`select`, `key`))",
		"CREATE TABLE " + w.t("log") + " (at DATETIME(3), text VARCHAR(200))",
	}
	if w.busy() {
		statements = append(statements,
			"CREATE TABLE "+w.t("hot")+" (id INT PRIMARY KEY, v BIGINT NOT NULL, s VARCHAR(60))",
			"CREATE TABLE "+w.t("docs")+" (id INT PRIMARY KEY, v INT NOT NULL, doc JSON, other JSON)")
	}
	if w.opt.Types {
		statements = append(statements, "CREATE TABLE "+w.t("types")+" ("+typeColumns+")")
	}
	for _, s := range statements {
		if _, err := w.pool().ExecContext(ctx, s); err != nil {
			return fmt.Errorf("workload: %s: %w", s, err)
		}
	}
	return w.fill(ctx, rows)
}

// fill puts rows into the tables, many at a time.
func (w *Workload) fill(ctx context.Context, rows int) error {
	series := fmt.Sprintf("WITH RECURSIVE s (n) AS (SELECT 1 UNION ALL SELECT n+1 FROM s WHERE n < %d)", max(rows, 1))
	fill := []string{
		"INSERT INTO " + w.t("accounts") + " (id, owner, balance, note) " + series + " SELECT n, CONCAT('owner ', n), n * 10, REPEAT('x', n % 300) FROM s",
		"INSERT INTO " + w.t("entries") + " " + series + " SELECT n DIV 3, n, n / 7, JSON_OBJECT('n', n, 'half', n * 0.5e0, 'list', JSON_ARRAY(n, 'ä', NULL)) FROM s",
		"INSERT INTO " + w.t("seats") + " " + series + " SELECT n, n + 1000000, NULL FROM s",
		"INSERT INTO " + w.t("words") + " " + series + " SELECT CONCAT('Wörd ', n), n FROM s",
		"INSERT INTO " + w.t("wide") + " (id, c0, c1, c2) " + series + " SELECT UNHEX(LPAD(HEX(n * 256), 16, '0')), n, RPAD('', n % 50, 'w'), n / 3 FROM s",
		"INSERT INTO " + w.t(oddName) + " " + series + " SELECT n, 'odd', n, n % 10 FROM s",
	}
	if w.busy() {
		fill = append(fill, "INSERT INTO "+w.t("hot")+" "+series+" SELECT n, n, 'filled' FROM s",
			"INSERT INTO "+w.t("docs")+" "+series+" SELECT n, n, JSON_OBJECT('n', n, 'list', JSON_ARRAY(1, 2), 'pad', REPEAT('p', n % 900)), NULL FROM s WHERE n < 300")
	}
	w.rows = max(rows, 100)
	for _, s := range fill {
		if rows == 0 {
			break
		}
		conn, err := w.pool().Conn(ctx)
		if err != nil {
			return err
		}
		_, err = conn.ExecContext(ctx, "SET SESSION /*!80000 cte_max_recursion_depth*/ /*M! max_recursive_iterations*/ = 100000000")
		if err == nil {
			_, err = conn.ExecContext(ctx, s)
		}
		conn.Close()
		if err != nil {
			return fmt.Errorf("workload: fill: %w", err)
		}
	}
	return nil
}

// Run writes until ctx ends. Transactions that the server refuses are
// counted; faults of the connection are waited out.
func (w *Workload) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for i := range w.opt.Writers {
		g.Go(func() error {
			r := rand.New(rand.NewPCG(w.opt.Seed, uint64(i)))
			s := &sessions{w: w, number: i}
			defer s.close()
			for ctx.Err() == nil {
				if err := w.once(ctx, s, r); err != nil {
					return err
				}
			}
			return nil
		})
	}
	for i := range w.opt.Light {
		g.Go(func() error { return w.lightWriter(ctx, i) })
	}
	return g.Wait()
}

// RunN makes about n transactions and returns.
func (w *Workload) RunN(ctx context.Context, n int64) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	goal := w.done.Load() + n
	g, gctx := errgroup.WithContext(ctx)
	for i := range w.opt.Writers {
		g.Go(func() error {
			r := rand.New(rand.NewPCG(w.opt.Seed+uint64(goal), uint64(i)))
			s := &sessions{w: w, number: i}
			defer s.close()
			for gctx.Err() == nil && w.done.Load() < goal {
				if err := w.once(gctx, s, r); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// once makes one transaction or, seldom, one DDL statement.
func (w *Workload) once(ctx context.Context, s *sessions, r *rand.Rand) error {
	if w.opt.Pause > 0 {
		select {
		case <-time.After(w.opt.Pause):
		case <-ctx.Done():
			return nil
		}
	}
	// What was begun is finished: a statement whose client has gone may still be
	// committed, at a time when others already compare.
	ctx = context.WithoutCancel(ctx)
	seldom := 150
	if w.opt.Reshape {
		seldom = 40
	}
	if w.opt.DDL && r.IntN(seldom) == 0 {
		return w.count(w.alter(ctx, r), 1)
	}
	return w.count(s.with(ctx, func(ctx context.Context, conn *sql.Conn) error {
		if w.opt.XA && r.IntN(10) == 0 {
			return w.xa(ctx, conn, r)
		}
		return w.transact(ctx, conn, r)
	}), 1)
}

// count counts n transactions, or their refusal.
func (w *Workload) count(err error, n int64) error {
	switch {
	case err == nil:
		w.done.Add(n)
	case refused(err):
		w.failed.Add(n)
	default:
		return fmt.Errorf("workload: %w", err)
	}
	return nil
}

// refused reports whether err is one that a random writer has to expect:
// anything but a fault in the statements themselves.
func refused(err error) bool {
	var me *mysql.MySQLError
	if !errors.As(err, &me) {
		return true // the connection: the server is being restarted, or the like
	}
	return me.Number != 1064 && me.Number != 1142
}

// answered reports whether an error came from the server, which can go on.
func answered(err error) bool {
	var me *mysql.MySQLError
	return errors.As(err, &me) && me.Number != 1053 // shutdown
}

func (w *Workload) transact(ctx context.Context, conn *sql.Conn, r *rand.Rand) error {
	tx, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	for range 1 + r.IntN(4) {
		if err := w.change(ctx, tx, r); err != nil {
			return err
		}
	}
	if r.IntN(20) == 0 {
		return nil // rolled back
	}
	return tx.Commit()
}
