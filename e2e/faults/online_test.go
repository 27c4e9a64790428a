package faults

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/towline/towline/e2e/mysqltest"
)

const onlineTable = "CREATE TABLE %s.online (id INT PRIMARY KEY AUTO_INCREMENT, v INT NOT NULL, s VARCHAR(40), KEY (v))"

// Tools change large tables by filling another one and swapping the two under
// load. The target is what the source is afterwards.
func TestOnlineSchemaChange(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(t *testing.T, r *rig)
	}{{"percona toolkit", perconaToolkit}, {"triggers", byTriggers}, {"lock and rename", byLock}} {
		for metadata, flags := range map[string][]mysqltest.Option{"minimal": nil, "full": {mysqltest.Flags("--binlog-row-metadata=FULL")}} {
			t.Run(c.name+" "+metadata, func(t *testing.T) {
				r := newRig(t, options{rows: 10, load: light(), noLedger: true, sourceFlags: flags})
				r.source.Exec(t, fmt.Sprintf(onlineTable, database)+fmt.Sprintf("; INSERT INTO %[1]s.online (v, s) WITH RECURSIVE n AS (SELECT 1 i UNION ALL SELECT i + 1 FROM n WHERE i < 900) SELECT i, REPEAT('x', i %% 40) FROM n", database))
				r.start()
				stop := r.writeOnline()
				if err := r.proc.Wait(t.Context(), patience); err != nil {
					t.Fatal(err)
				}
				c.change(t, r)
				time.Sleep(300 * time.Millisecond) // of writing to the new table
				stop()
				if err := r.proc.Wait(t.Context(), patience); err != nil {
					t.Fatal(err)
				}
				r.equal()
			})
		}
	}
}

// writeOnline changes rows of the table until it is told to stop. Then all that was
// begun has come to its end, also at the server.
func (r *rig) writeOnline() (stop func()) {
	ctx, cancel := context.WithCancel(r.t.Context())
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				q := "INSERT INTO work.online (v, s) VALUES (?, 'written')"
				switch id := rand.IntN(1000); n % 4 {
				case 1:
					q = fmt.Sprintf("UPDATE work.online SET v = ? WHERE id = %d", id)
				case 2:
					q = fmt.Sprintf("DELETE FROM work.online WHERE id = %d AND v <> ?", id)
				case 3:
					q = fmt.Sprintf("UPDATE work.online SET id = id + 100000, v = ? WHERE id = %d", id)
				}
				_, _ = r.source.DB().ExecContext(context.WithoutCancel(ctx), q, n) // some meet what the tool does
				time.Sleep(2 * time.Millisecond)
			}
		})
	}
	return func() { cancel(); wg.Wait() }
}

func perconaToolkit(t *testing.T, r *rig) {
	tool, err := r.source.Tool(t.Context(), "pt-online-schema-change", "--execute", "--alter", "MODIFY v BIGINT NOT NULL, ADD COLUMN c INT NOT NULL DEFAULT 3, DROP INDEX v", "--chunk-size", "100",
		"--no-check-replication-filters", "--recursion-method", "none", "--no-version-check",
		fmt.Sprintf("h=%s,P=%d,u=%s,D=%s,t=online", r.source.Host, r.source.Port, r.source.User, database))
	if err != nil && os.Getenv("TOWLINE_REQUIRE_SERVERS") != "1" {
		t.Skipf("the Percona Toolkit is not installed: %v", err)
	}
	if err != nil {
		t.Fatalf("%v; make servers installs the percona-toolkit beside the server, where it may", err)
	}
	out, err := tool.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "Successfully altered") {
		t.Fatalf("%v\n%s", err, out)
	}
}

// byTriggers does what that tool does.
func byTriggers(t *testing.T, r *rig) {
	exec := session(t, r.source.DB())
	exec("CREATE TABLE _online_new LIKE online")
	exec("ALTER TABLE _online_new MODIFY v BIGINT NOT NULL, ADD COLUMN c INT NOT NULL DEFAULT 3")
	exec("CREATE TRIGGER d AFTER DELETE ON online FOR EACH ROW DELETE IGNORE FROM _online_new WHERE _online_new.id <=> OLD.id")
	exec("CREATE TRIGGER u AFTER UPDATE ON online FOR EACH ROW BEGIN DELETE IGNORE FROM _online_new WHERE NOT (OLD.id <=> NEW.id) AND _online_new.id <=> OLD.id; REPLACE INTO _online_new (id, v, s) VALUES (NEW.id, NEW.v, NEW.s); END")
	exec("CREATE TRIGGER i AFTER INSERT ON online FOR EACH ROW REPLACE INTO _online_new (id, v, s) VALUES (NEW.id, NEW.v, NEW.s)")
	for from := 0; from < 1000; from += 100 {
		exec(fmt.Sprintf("INSERT LOW_PRIORITY IGNORE INTO _online_new (id, v, s) SELECT id, v, s FROM online WHERE id > %d AND id <= %d LOCK IN SHARE MODE", from, from+100))
	}
	exec("INSERT LOW_PRIORITY IGNORE INTO _online_new (id, v, s) SELECT id, v, s FROM online WHERE id > 1000 LOCK IN SHARE MODE")
	exec("RENAME TABLE online TO _online_old, _online_new TO online")
	exec("DROP TABLE IF EXISTS _online_old")
}

// byLock cuts over as gh-ost does: writers wait on a lock, the rename waits in
// front of them.
func byLock(t *testing.T, r *rig) {
	exec := session(t, r.source.DB())
	exec("CREATE TABLE _online_gho LIKE online")
	exec("ALTER TABLE _online_gho MODIFY v BIGINT NOT NULL, ADD COLUMN c INT NOT NULL DEFAULT 3 AFTER id")
	exec("INSERT IGNORE INTO _online_gho (id, v, s) SELECT id, v, s FROM online WHERE id < 500")
	exec("LOCK TABLES online WRITE, _online_gho WRITE")
	exec("DELETE FROM _online_gho")
	exec("INSERT INTO _online_gho (id, v, s) SELECT id, v, s FROM online")
	rename := session(t, r.source.DB())
	done := make(chan struct{})
	go func() {
		defer close(done)
		rename("RENAME TABLE online TO _online_del, _online_gho TO online")
	}()
	for waiting := "0"; waiting == "0"; {
		waiting = r.source.Query(t, "SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE 'RENAME TABLE online%' AND state LIKE 'Waiting%'")[0][0]
	}
	exec("UNLOCK TABLES")
	<-done
}

const (
	errLockWait = 1205
	errDeadlock = 1213
)

// session returns a function that runs statements on one connection, again where one
// meets the locks of others, as tools do.
func session(t *testing.T, db *sql.DB) func(q string) {
	t.Helper()
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	run := func(q string) {
		_, err := conn.ExecContext(context.WithoutCancel(t.Context()), q)
		var me *mysql.MySQLError
		for errors.As(err, &me) && (me.Number == errLockWait || me.Number == errDeadlock) {
			_, err = conn.ExecContext(context.WithoutCancel(t.Context()), q)
		}
		if err != nil {
			t.Errorf("%v in %s", err, q)
		}
	}
	run("USE " + database)
	return run
}
