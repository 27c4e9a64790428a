package mysql

import (
	"fmt"
	"sync"
	"testing"

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
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 1; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			if _, err := srv.DB().ExecContext(t.Context(), fmt.Sprintf("ALTER TABLE %s.t MODIFY c VARCHAR(%d), ALGORITHM=COPY", r.db, 1+i)); err != nil {
				t.Error(err)
				return
			}
		}
	})
	defer wg.Wait()
	defer close(stop)
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
