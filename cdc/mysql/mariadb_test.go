package mysql

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/e2e/mysqltest"
)

// After each statement the shapes are those of MariaDB's catalog.
func TestMariaDBShapes(t *testing.T) {
	r := newRig(t, mysqltest.Start(t, mysqltest.MariaDB(), mysqltest.Flags("--binlog-row-metadata=MINIMAL")))
	s := r.open(t, nil, nil)
	conn, err := r.srv.DB().Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	r.shapesAreTheCatalogs(t, s, conn, []string{
		"CREATE TABLE t (id INT PRIMARY KEY, ts TIMESTAMP, tn TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, d DATETIME(3), UNIQUE (d)) DEFAULT CHARSET utf8mb4",
		"INSERT INTO t (id) VALUES (1)",
		"CREATE TABLE types (id UUID PRIMARY KEY DEFAULT uuid(), a INET4, b INET6, j JSON, c VARCHAR(300) COMPRESSED, x TEXT COMPRESSED CHARACTER SET latin1, v BLOB COMPRESSED, INDEX (a) IGNORED) PAGE_COMPRESSED = 1",
		"INSERT INTO types (a, b, j, c, x, v) VALUES ('1.2.3.0', '::', '{}', REPEAT('y', 250), 'ü', '')",
		"ALTER TABLE t ADD COLUMN IF NOT EXISTS e ENUM('a','b') CHARACTER SET latin1 AFTER id, ADD COLUMN IF NOT EXISTS d INT, ADD g INT AS (id + 1) PERSISTENT, DROP COLUMN IF EXISTS nothing, MODIFY IF EXISTS nothing INT",
		"ALTER TABLE IF EXISTS t WAIT 5 ADD INDEX IF NOT EXISTS k (g), DROP INDEX IF EXISTS nothing",
		"ALTER TABLE IF EXISTS nothing ADD COLUMN x INT",
		"CREATE OR REPLACE TABLE r (id INT PRIMARY KEY, v INT DEFAULT (1 + 1)); INSERT INTO r (id) VALUES (1); CREATE OR REPLACE TABLE r (k BIGINT UNSIGNED PRIMARY KEY); INSERT INTO r VALUES (2)",
		"SET STATEMENT max_statement_time = 10 FOR ALTER TABLE r ADD COLUMN w CHAR(3) INVISIBLE /*M!100301 COMMENT 'x' */ /*!80000 NOT NULL */",
		"INSERT INTO r (k, w) VALUES (3, 'abc')",
		"CREATE SEQUENCE seq; SELECT NEXTVAL(seq); DROP SEQUENCE seq",
		"SET sql_mode = ''; CREATE TABLE wide (a VARCHAR(20000) CHARACTER SET utf8mb3); ALTER TABLE wide CONVERT TO CHARACTER SET utf8mb4",
		"INSERT INTO wide VALUES ('x')",
		"CREATE INDEX IF NOT EXISTS i ON t (e); CREATE UNIQUE INDEX u ON r (w); DROP INDEX IF EXISTS i ON t",
		"ALTER TABLE t CONVERT TO CHARACTER SET utf8mb4; ALTER TABLE types CONVERT TO CHARACTER SET utf8mb4",
		"INSERT INTO types (a, c) VALUES ('9.9.9.9', 'later')",
		"CREATE OR REPLACE TABLE sel SELECT id, e AS renamed FROM t",
		"CREATE TABLE late LIKE t; RENAME TABLE late TO later, t TO late, later TO t",
		"SET sql_mode = 'ANSI_QUOTES'; ALTER TABLE \"t\" ADD COLUMN \"my col\" CHAR(3); INSERT INTO t (id, \"my col\") VALUES (7, 'x')",
		"SET binlog_alter_two_phase = ON; ALTER TABLE t ADD COLUMN two INT, ALGORITHM = COPY",
		"INSERT INTO t (id, two) VALUES (8, 2)",
	})
}

// mariaStory has what MariaDB's log has, and what comes out of it.
var mariaStory = []struct{ sql, want string }{
	{"CREATE TABLE t (id INT UNSIGNED PRIMARY KEY, v TEXT CHARACTER SET utf8mb4, u UUID, a INET6)", "s t id int,v text,u char,a varchar end"},
	{"INSERT INTO t VALUES (4000000000, REPEAT('ü', 3), '123e4567-e89b-12d3-a456-426655440000', '::ffff:1.2.3.4')", "c t (4000000000,üüü,123e4567-e89b-12d3-a456-426655440000,::ffff:1.2.3.4) end"},
	{"BEGIN; INSERT INTO t (id) VALUES (1); SAVEPOINT a; INSERT INTO t (id) VALUES (2); ROLLBACK TO a; UPDATE t SET v = 'x' WHERE id = 1; COMMIT", "c t (1,NULL,NULL,NULL)|u t (1,NULL,NULL,NULL) (1,x,NULL,NULL) end"},
	{"XA START 'a'; UPDATE t SET id = 3 WHERE id = 1; XA END 'a'; XA PREPARE 'a'", ""},
	{"XA START 'b'; INSERT INTO t (id) VALUES (50); XA END 'b'; XA PREPARE 'b'", ""},
	{"INSERT INTO t (id) VALUES (4)", "c t (4,NULL,NULL,NULL) end"},
	{"XA ROLLBACK 'b'", ""},
	{"XA COMMIT 'a'", "d t (1,x,NULL,NULL) moved|c t (3,x,NULL,NULL) moved end"},
	{"XA START 'c'; DELETE FROM t WHERE id = 4; XA END 'c'; XA COMMIT 'c' ONE PHASE", "d t (4,NULL,NULL,NULL) end"},
	{"CREATE TABLE m (id INT PRIMARY KEY) ENGINE = MyISAM; INSERT INTO m VALUES (1), (2); TRUNCATE m", "s m id int end|c m (1)|c m (2) end|t m end"},
	{"FLUSH BINARY LOGS", ""},
	{"SET gtid_domain_id = 7; INSERT INTO t (id) VALUES (6)", "c t (6,NULL,NULL,NULL) end"},
	{"SET gtid_domain_id = 0; CREATE OR REPLACE TABLE m SELECT id FROM t", "t m|s m id int|c m (3)|c m (6)|c m (4000000000) end"},
	{"CREATE SEQUENCE q; SELECT NEXTVAL(q); DROP TABLE m", "t m end"},
}

// awaitXA waits until a prepared transaction is one that any session may end: its
// own session must be gone.
func awaitXA(t *testing.T, r *rig, sql string) {
	t.Helper()
	if !strings.HasPrefix(sql, "XA COMMIT") && !strings.HasPrefix(sql, "XA ROLLBACK") {
		return
	}
	for {
		var sessions int
		if err := r.srv.DB().QueryRowContext(t.Context(), "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE DB = ? AND ID <> CONNECTION_ID()", r.db).Scan(&sessions); err != nil {
			t.Fatal(err)
		}
		if sessions == 0 {
			return
		}
	}
}

// The log of MariaDB is followed whatever it is written like, and gone on with
// from every place.
func TestMariaDBStream(t *testing.T) {
	for metadata, packed := range map[string]string{"NO_LOG": "ON", "MINIMAL": "OFF", "FULL": "ON"} {
		t.Run(metadata, func(t *testing.T) {
			r := newRig(t, mysqltest.Start(t, mysqltest.MariaDB(), mysqltest.Flags("--binlog-row-metadata="+metadata, "--log-bin-compress="+packed, "--log-bin-compress-min-len=10")))
			s := r.open(t, nil, nil)
			all := newTape(nil)
			for _, step := range mariaStory {
				from := len(all.records)
				awaitXA(t, r, step.sql)
				r.exec(t, step.sql)
				until(t, s, all)
				if got := strings.Join(all.texts()[from:], "|"); got != step.want {
					t.Fatalf("%s gives\n\t%s\nwant\n\t%s", step.sql, got, step.want)
				}
			}
			if r.reason("t") != "" || r.reason("q") != "" {
				t.Fatalf("stopped: %v", r.reports)
			}
			for _, stop := range all.stops {
				tp := newTape(stop.state)
				until(t, r.open(t, stop.pos, stop.state), tp)
				if got, want := fmt.Sprint(tp.records), fmt.Sprint(all.records[stop.records:]); got != want {
					t.Fatalf("from %s:\n%s\nwant\n%s", Describe(stop.pos), got, want)
				}
			}
		})
	}
}

// What the log does not hold stops the table, and says what to do.
func TestMariaDBStops(t *testing.T) {
	for _, metadata := range []string{"NO_LOG", "FULL"} {
		t.Run(metadata, func(t *testing.T) { mariaStops(t, metadata) })
	}
}

func mariaStops(t *testing.T, metadata string) {
	r := newRig(t, mysqltest.Start(t, mysqltest.MariaDB(), mysqltest.Flags("--binlog-row-metadata="+metadata)))
	r.exec(t, "CREATE TABLE a (id INT PRIMARY KEY, v INT); CREATE TABLE b LIKE a; CREATE TABLE c LIKE a; INSERT INTO b VALUES (1, 1); CREATE TABLE h (id INT PRIMARY KEY) WITH SYSTEM VERSIONING")
	s := r.open(t, nil, nil)
	r.exec(t, "SET binlog_row_image = MINIMAL; UPDATE b SET v = 2; SET binlog_row_image = FULL; ALTER TABLE c ADD SYSTEM VERSIONING; INSERT INTO c VALUES (1, 1); UPDATE c SET v = 2; SET sql_mode = 'IGNORE_BAD_TABLE_OPTIONS'; CREATE TABLE d (id INT PRIMARY KEY, b BINARY(16), x INT FLAVOUR = 'odd'); INSERT INTO d VALUES (1, '', 1); INSERT INTO h VALUES (1); INSERT INTO a VALUES (1, 1)")
	tp := newTape(nil)
	until(t, s, tp)
	diff(t, tp.texts(), []string{"c a (1,1) end"})
	r.exec(t, "SET STATEMENT binlog_format = STATEMENT FOR UPDATE a SET v = v + 1")
	until(t, s, tp)
	for table, words := range map[string]string{"a": "SET GLOBAL binlog_format = 'ROW'", "b": "SET GLOBAL binlog_row_image=FULL", "c": "SYSTEM VERSIONING", "h": "system-versioned"} {
		if got := r.reason(table); !strings.Contains(got, words) {
			t.Errorf("table %s: the reason is %q", table, got)
		}
	}
}

// Statements come with the rows on request, and changes have their GTID.
func TestMariaDBOrigin(t *testing.T) {
	r := newRig(t, mysqltest.Start(t, mysqltest.MariaDB(), mysqltest.ServerID(77)))
	r.values[optQuery] = "true"
	r.exec(t, "CREATE TABLE t (id INT PRIMARY KEY)")
	s := r.open(t, nil, nil)
	r.exec(t, "SET gtid_domain_id = 5, gtid_seq_no = 1234; INSERT INTO t VALUES (1)")
	var b connect.Batch
	for len(b.Records) == 0 {
		if err := s.Read(t.Context(), &b); err != nil {
			t.Fatal(err)
		}
	}
	o := b.Records[0].Origin
	if got := string(o.AppendGTID(nil)); got != "5-77-1234" || o.Query != "INSERT INTO t VALUES (1)" || o.ServerID != 77 {
		t.Errorf("GTID %s, server %d, statement %q", got, o.ServerID, o.Query)
	}
}

func TestMariaDBCheck(t *testing.T) {
	r := newRig(t, mysqltest.Start(t, mysqltest.MariaDB(), mysqltest.Flags("--binlog-row-image=MINIMAL", "--binlog-annotate-row-events=OFF", "--binlog-expire-logs-seconds=60")))
	r.exec(t, "CREATE TABLE old (id INT PRIMARY KEY) WITH SYSTEM VERSIONING; CREATE TABLE t (id INT PRIMARY KEY); CREATE USER fair@'%' IDENTIFIED BY 'fair'; GRANT SELECT ON "+r.db+".* TO fair@'%'; GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO fair@'%'")
	r.values[optUser], r.values[optPassword], r.values[optQuery] = "fair", "fair", "true"
	findings, err := Check(t.Context(), r.config())
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, f := range findings {
		all = append(all, fmt.Sprintf("%v %v %s => %s", f.OK, f.Fatal, f.What, f.Fix))
	}
	text := strings.Join(all, "\n")
	for _, want := range []string{
		"false true binlog_row_image is 'MINIMAL'", "=> SET GLOBAL binlog_row_image = 'FULL'", "false false binlog_row_metadata is 'NO_LOG'",
		"false false gtid_strict_mode is 'OFF'", "false false binlog_annotate_row_events is 'OFF'", "=> SET GLOBAL binlog_expire_logs_seconds",
		"the user has REPLICATION SLAVE", "the user has REPLICATION CLIENT", "it is system-versioned", "ok 2 tables are captured"[3:],
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not among\n%s", want, text)
		}
	}
	if strings.Contains(text, "PERSIST") || strings.Contains(text, "gtid_mode") {
		t.Errorf("words of MySQL are among\n%s", text)
	}
	r.open(t, nil, nil) // with these rights
}

// Temporal columns in the format of MariaDB before 10.1 are read where the log
// tells all of them; with fractions it does not, which stops their table.
func TestMariaDBOldTemporals(t *testing.T) {
	for _, metadata := range []string{"NO_LOG", "FULL"} {
		t.Run(metadata, func(t *testing.T) {
			r := newRig(t, mysqltest.Start(t, mysqltest.MariaDB(), mysqltest.TimeZone("+00:00"), mysqltest.Flags("--mysql56-temporal-format=OFF", "--binlog-row-metadata="+metadata)))
			r.exec(t, "CREATE TABLE f (id INT PRIMARY KEY, t TIME(3)); CREATE TABLE g (id INT PRIMARY KEY, d DATETIME(6)); CREATE TABLE h (id INT PRIMARY KEY, s TIMESTAMP(1) NULL)")
			s := r.open(t, nil, nil)
			r.exec(t, "CREATE TABLE a (id INT PRIMARY KEY, t TIME, d DATETIME, s TIMESTAMP NULL, e DATE)")
			r.exec(t, "INSERT INTO f VALUES (1, '10:00:00.123'); INSERT INTO g VALUES (1, '2024-02-03 04:05:06.000007'); INSERT INTO h VALUES (1, '2024-02-03 04:05:06.7')")
			r.exec(t, "SET sql_mode = ''; INSERT INTO a VALUES (1, '-838:59:59', '9999-12-31 23:59:59', '2024-02-03 04:05:06', '2024-02-30'), (2, '838:59:59', '0000-00-00', '0000-00-00', NULL), (3, '-00:00:01', '2024-00-00', '2038-01-19 03:14:07', '0000-00-00')")
			tp := newTape(nil)
			until(t, s, tp)
			diff(t, tp.texts(), []string{"s a id int,t time,d datetime,s timestamp,e date end", "c a (1,-838:59:59,9999-12-31 23:59:59,2024-02-03 04:05:06,0000-00-00)",
				"c a (2,838:59:59,0000-00-00 00:00:00,0000-00-00 00:00:00,NULL)", "c a (3,-00:00:01,2024-00-00 00:00:00,2038-01-19 03:14:07,0000-00-00) end"})
			for _, table := range []string{"f", "g", "h"} {
				if got := r.reason(table); !strings.Contains(got, "fractions of seconds of its column "+map[string]string{"f": "t", "g": "d", "h": "s"}[table]) {
					t.Errorf("table %s: the reason is %q", table, got)
				}
			}
			// What the reason says mends it.
			r.exec(t, "SET GLOBAL mysql56_temporal_format = ON; ALTER TABLE h FORCE")
			until(t, s, tp)
			if err := s.Resume(t.Context(), r.db, "h"); err != nil {
				t.Fatal(err)
			}
			for slices.Contains(s.Halted(), [2]string{r.db, "h"}) {
				until(t, s, tp)
			}
			r.exec(t, "INSERT INTO h VALUES (2, '2024-02-03 04:05:06.7')")
			tp = newTape(nil)
			until(t, s, tp)
			diff(t, tp.texts(), []string{"c h (2,2024-02-03 04:05:06.7) end"})
		})
	}
}
