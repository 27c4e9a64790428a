package mysql

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/e2e/mysqltest"
)

// The shapes that a first start begins with are those of its position, also
// while a statement is being committed: others see the table's new shape before
// the statement's GTID is executed.
func TestShapesAreThoseOfThePosition(t *testing.T) {
	srv := mysqltest.Start(t) // where nothing else commits
	r := newRig(t, srv)
	srv.Exec(t, "CREATE TABLE "+r.db+".t (id INT PRIMARY KEY, c VARCHAR(1)) CHARACTER SET latin1")
	s := r.source(t)
	db, err := s.settings.openDB()
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	f, err := readFacts(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	start, err := readSet(t.Context(), db, "gtid_executed")
	if err != nil {
		t.Fatal(err)
	}
	defer r.repeating(t, func(i int) string {
		return fmt.Sprintf("ALTER TABLE %s.t MODIFY c VARCHAR(%d), ALGORITHM=COPY", r.db, 1+i)
	})()
	for range 40 {
		sh := newShapes(s.settings, f, s.halted)
		pos, _, err := s.first(t.Context(), db, f, sh)
		if err != nil {
			if connect.IsPermanent(err) {
				t.Fatal(err)
			}
			continue // it changed all the time
		}
		made, c := pos.gtids.Len()-start.Len(), sh.table(tableName{r.db, "t"}).Columns[1]
		if uint64(c.Length) != uint64(made)+1 {
			t.Fatalf("the position has %d statements, and the shape %d", made, c.Length-1)
		}
	}
}

// repeating executes statements, counted from 1 on, until stop is called.
func (r *rig) repeating(t *testing.T, statement func(i int) string) (stop func()) {
	end := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 1; ; i++ {
			select {
			case <-end:
				return
			default:
			}
			if _, err := r.srv.DB().ExecContext(t.Context(), statement(i)); err != nil {
				t.Error(err)
				return
			}
		}
	})
	return func() { close(end); wg.Wait() }
}

// The same of a server without GTIDs, with the right to hold up statements and
// without. Only who has it is sure of tables that are being made.
func TestShapesAreThoseOfTheFilePosition(t *testing.T) {
	srv := mysqltest.Start(t, mysqltest.NoGTID(), mysqltest.Flags("--binlog-group-commit-sync-delay=5000", "--sync-binlog=1"))
	srv.Exec(t, "CREATE USER reader IDENTIFIED BY 'x'")
	srv.Exec(t, "GRANT SELECT, REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO reader")
	for _, c := range []struct {
		name, user, password string
		creates              bool
	}{{"locks", srv.User, srv.Password, true}, {"waits", "reader", "x", false}} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, srv)
			r.values[optUser], r.values[optPassword] = c.user, c.password
			srv.Exec(t, "CREATE TABLE "+r.db+".t (id INT PRIMARY KEY, c VARCHAR(1)) CHARACTER SET latin1")
			firstBeside(t, r, c.creates)
		})
	}
}

// firstBeside takes the shapes of a first start beside statements, and holds them
// against the log.
func firstBeside(t *testing.T, r *rig, creates bool) {
	s := r.source(t)
	s.settings.commitWait = time.Minute
	db, err := s.settings.openDB()
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	f, err := readFacts(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	defer r.repeating(t, func(i int) string {
		return fmt.Sprintf("ALTER TABLE %s.t MODIFY c VARCHAR(%d), ALGORITHM=COPY", r.db, i)
	})()
	if creates {
		defer r.repeating(t, func(i int) string { return fmt.Sprintf("CREATE TABLE %s.n%d (id INT PRIMARY KEY)", r.db, i) })()
	}
	for range 20 {
		sh := newShapes(s.settings, f, s.halted)
		pos, _, err := s.first(t.Context(), db, f, sh)
		if err != nil {
			if connect.IsPermanent(err) {
				t.Fatal(err)
			}
			continue // it changed all the time
		}
		altered, made := statementsUpTo(t, r, &pos)
		if n := int(sh.table(tableName{r.db, "t"}).Columns[1].Length); altered > 0 && n != altered {
			t.Fatalf("the log has %d changes up to the position, and the shape %d", altered, n)
		}
		if n := len(sh.defs) - 1; n != made {
			t.Fatalf("the log has %d tables up to the position, and the catalog %d", made, n)
		}
	}
}

// statementsUpTo returns how many statements of firstBeside the log has up to pos.
func statementsUpTo(t *testing.T, r *rig, pos *position) (altered, made int) {
	t.Helper()
	rows, err := r.srv.DB().QueryContext(t.Context(), "SHOW BINLOG EVENTS IN '"+pos.file+"'")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var file, typ, info string
		var at, server, end uint64
		if err := rows.Scan(&file, &at, &typ, &server, &end, &info); err != nil {
			t.Fatal(err)
		}
		switch {
		case end > pos.pos:
		case strings.Contains(info, "ALTER TABLE "+r.db+".t"):
			altered++
		case strings.Contains(info, "CREATE TABLE "+r.db+".n"):
			made++
		}
	}
	return altered, made
}
