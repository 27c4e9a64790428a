package faults

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// shaper makes random statements, DDL and DML, about a few tables.
type shaper struct {
	r     *rand.Rand
	conn  *sql.Conn
	pause time.Duration // between statements
	// done and refused count the statements that the server took or not.
	done, refused atomic.Int64
	history       []string // of DDL that was taken
	all           []string // statements that were taken, with the time
}

func (s *shaper) pick(list ...string) string { return list[s.r.IntN(len(list))] }

func (s *shaper) table() string  { return s.pick("t0", "t1", "t2", "t3", "t4", "`t 5`") }
func (s *shaper) column() string { return s.pick("a", "b", "c", "d", "e", "`f g`") }

func (s *shaper) definition() string {
	return s.pick("INT", "BIGINT UNSIGNED", "SMALLINT", "VARCHAR(20)", "VARCHAR(9) CHARACTER SET latin1", "TEXT", "DECIMAL(9,3)", "ENUM('x','y')", "ENUM('y','z','x')",
		"SET('p','q')", "SET('q','r','p')", "DATETIME(3)", "DATE", "TIME", "YEAR", "BINARY(4)", "BLOB", "FLOAT", "DOUBLE", "CHAR(5)", "BIT(9)", "JSON", "TIMESTAMP NULL", "VARCHAR(9) COLLATE utf8mb4_bin") +
		s.pick("", "", "", " NOT NULL") + s.pick("", "", "", "", " INVISIBLE")
}

func (s *shaper) place() string { return s.pick("", "", " FIRST", " AFTER "+s.column()) }

func (s *shaper) clause() string {
	switch s.r.IntN(16) {
	case 0, 1:
		return "ADD COLUMN " + s.column() + " " + s.definition() + s.place()
	case 2:
		return "DROP COLUMN " + s.column()
	case 3, 4:
		return "RENAME COLUMN " + s.column() + " TO " + s.column()
	case 5, 6:
		return "MODIFY " + s.column() + " " + s.definition() + s.place()
	case 7:
		return "CHANGE " + s.column() + " " + s.column() + " " + s.definition()
	case 8:
		return s.pick("DROP PRIMARY KEY", "ADD PRIMARY KEY ("+s.column()+")", "DROP PRIMARY KEY, ADD PRIMARY KEY ("+s.column()+")")
	case 9:
		return "ADD PRIMARY KEY (" + s.column() + ", " + s.column() + ")"
	case 10:
		return "ADD UNIQUE " + s.pick("", "u") + " (" + s.column() + ")"
	case 11:
		return s.pick("DROP INDEX "+s.column(), "DROP INDEX u", "ADD INDEX ("+s.column()+")")
	case 12:
		return "ADD COLUMN " + s.column() + " " + s.pick("INT NOT NULL DEFAULT 7", "VARCHAR(9) DEFAULT 'dflt'", "INT AS (1 + 1) STORED", "INT AS (a) VIRTUAL", "BIGINT NOT NULL AUTO_INCREMENT UNIQUE")
	case 13:
		return s.pick("ALTER "+s.column()+" SET DEFAULT 5", "ALTER "+s.column()+" DROP DEFAULT", "ALTER "+s.column()+" SET VISIBLE")
	case 14:
		return s.pick("COMMENT 'x'", "FORCE", "ORDER BY "+s.column())
	}
	return s.pick("PARTITION BY HASH (a) PARTITIONS 3", "REMOVE PARTITIONING", "TRUNCATE PARTITION p1", "COALESCE PARTITION 1", "CONVERT TO CHARACTER SET "+s.pick("latin1", "utf8mb4", "utf8mb3"))
}

func (s *shaper) create() string {
	t := s.table()
	switch s.r.IntN(5) {
	case 0:
		return "CREATE TABLE " + t + " LIKE " + s.table()
	case 1:
		return "CREATE TABLE " + t + " SELECT * FROM " + s.table()
	case 2:
		return "CREATE TABLE " + t + " (a INT, b VARCHAR(20), c FLOAT, d JSON)"
	case 3:
		return "CREATE TABLE " + t + " (a INT NOT NULL, b VARCHAR(20), UNIQUE (a))"
	}
	return "CREATE TABLE " + t + " (a INT PRIMARY KEY, b VARCHAR(20), c INT, d DATETIME)"
}

func (s *shaper) ddl() string {
	switch s.r.IntN(12) {
	case 0, 1, 2:
		return s.create()
	case 3:
		return s.pick("DROP TABLE "+s.table(), "TRUNCATE TABLE "+s.table(), "RENAME TABLE "+s.table()+" TO "+s.table())
	case 4:
		a, b := s.table(), s.table()
		return "RENAME TABLE " + a + " TO swap, " + b + " TO " + a + ", swap TO " + b
	case 5:
		return "ALTER TABLE " + s.table() + " RENAME TO " + s.table() + ", " + s.clause()
	}
	clauses := []string{s.clause()}
	for s.r.IntN(2) == 0 && !strings.Contains(clauses[0], "PARTITION") {
		clauses = append(clauses, s.clause())
	}
	if n := strings.Count(strings.Join(clauses, " "), "CONVERT") + strings.Count(strings.Join(clauses[1:], " "), "PARTITION"); n > 1 || n == 1 && len(clauses) > 1 {
		clauses = clauses[:1]
	}
	return "ALTER TABLE " + s.table() + " " + strings.Join(clauses, ", ")
}

func (s *shaper) value() string {
	return s.pick(fmt.Sprint(s.r.IntN(12)), fmt.Sprint(s.r.IntN(12)), fmt.Sprint(s.r.IntN(300)-100), "NULL", "'x'", "'y'", "'é ß'", "'2024-05-06 07:08:09.5'", "1.25", "0.1", "'[1, {\"k\": \"v\"}]'", "x'00ff'", "''")
}

func (s *shaper) dml() string {
	switch s.r.IntN(6) {
	case 0:
		return fmt.Sprintf("DELETE IGNORE FROM %s LIMIT %d", s.table(), 1+s.r.IntN(3))
	case 1, 2:
		return fmt.Sprintf("UPDATE IGNORE %s SET %s = %s LIMIT %d", s.table(), s.column(), s.value(), 1+s.r.IntN(4))
	case 3:
		t := s.table()
		return fmt.Sprintf("INSERT IGNORE INTO %s (%s) VALUES (%s), (%s), (%s)", t, s.column(), s.value(), s.value(), s.value())
	case 4:
		return "INSERT IGNORE INTO " + s.table() + " SELECT * FROM " + s.table() + " LIMIT 20"
	}
	a, b := s.column(), s.column()
	return fmt.Sprintf("INSERT IGNORE INTO %s (%s, %s) VALUES (%s, %s), (%s, %s)", s.table(), a, b, s.value(), s.value(), s.value(), s.value())
}

// run executes random statements until n were taken.
func (s *shaper) run(ctx context.Context, n int64) error {
	for ctx.Err() == nil && s.done.Load() < n {
		time.Sleep(s.pause)
		stmt, ddl := s.dml(), s.r.IntN(3) == 0
		if ddl {
			stmt = s.ddl()
		}
		if s.r.IntN(30) == 0 {
			stmt = "SET SESSION sql_mode = " + s.pick("''", "DEFAULT")
		}
		if _, err := s.conn.ExecContext(ctx, stmt); err != nil {
			s.refused.Add(1)
			continue
		}
		s.done.Add(1)
		s.all = append(s.all, time.Now().UTC().Format("15:04:05.000 ")+stmt)
		if ddl {
			s.history = append(s.history, stmt)
		}
	}
	return nil
}

// shapesOf describes the tables of a database as far as they have to be alike.
func shapesOf(t *testing.T, db *sql.DB, database string) string {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), "SELECT CONCAT(c.TABLE_NAME, '.', COLUMN_NAME, ' ', COLUMN_TYPE, ' ', IS_NULLABLE, ' ', IFNULL(COLLATION_NAME, '')) FROM information_schema.COLUMNS c WHERE TABLE_SCHEMA = ? ORDER BY TABLE_NAME, ORDINAL_POSITION", database)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var b strings.Builder
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			t.Fatal(err)
		}
		b.WriteString(line + "\n")
	}
	return b.String()
}

// With schema.evolution=full the target follows any statement, however often
// the program is killed: it has the source's tables, with their columns in
// their order, and the same rows. TOWLINE_KILLS has it go on for longer: 25
// statements for each.
func TestFullEvolutionUnderKills(t *testing.T) {
	evolves(t, options{}, 8)
}

// The same where the rows of a table are in several partitions, which several tasks
// read.
func TestFullEvolutionInPartitionsUnderKills(t *testing.T) {
	evolves(t, options{source: map[string]string{"topic.creation.default.partitions": "3"}, sink: map[string]string{"tasks.max": "2"}}, 4)
}

func evolves(t *testing.T, o options, n int) {
	t.Helper()
	o.rows, o.load, o.noLedger = 10, light(), true
	sink := map[string]string{"schema.evolution": "full"}
	merge(sink, o.sink)
	o.sink = sink
	r := newRig(t, o)
	conn, err := r.source.DB().Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	seed := seedOf(t)
	t.Logf("seed of the statements %d", seed)
	s := &shaper{r: rand.New(rand.NewPCG(seed, 1)), conn: conn}
	if _, err := conn.ExecContext(t.Context(), "USE "+database); err != nil {
		t.Fatal(err)
	}
	r.start()
	if err := r.proc.Wait(t.Context(), patience); err != nil {
		t.Fatal(err)
	}
	r.proc.Kill()
	r.killingWhile(func() error { return s.run(t.Context(), int64(25*kills(t, n))) })
	t.Logf("%d statements, %d refused, %d DDL", s.done.Load(), s.refused.Load(), len(s.history))
	defer func() {
		if t.Failed() {
			t.Logf("DDL:\n%s", strings.Join(s.history[max(0, len(s.history)-400):], ";\n"))
		}
	}()
	r.settle()
	got, want := shapesOf(t, r.target.DB(), database), shapesOf(t, r.source.DB(), database)
	if o.source != nil { // a row with a new column may come before what says where that stands
		got, want = sortedLines(got), sortedLines(want)
	}
	if got != want {
		t.Errorf("the target's tables are\n%s\nand the source's\n%s", got, want)
	}
}

func sortedLines(text string) string {
	lines := strings.Split(text, "\n")
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}
