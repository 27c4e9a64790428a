// Package pairs sends the same rows on both ways that rows can take, through
// the snapshot and through the log, and holds what arrives against each other
// and against what the server itself says of them.
//
// # The device
//
// A run has tables of every type (the fixtures), filled before the source
// opens. Then
//
//	snapshot  the rows arrive as reads
//	update    one column of every row changes: before and after images
//	delete    all rows go: before images
//	insert    the same rows are made again by the same statements
//	recreate  the tables are dropped, made and filled again, so that their
//	          shapes come from DDL (or table maps) and not from the catalog
//
// All images of the same rows must be equal values of equal tables. After each
// stage the images are compared with the server's own text of its rows, which
// this package asks for with expressions of its own, through another driver.
//
// Every record passes through the frame converter, and what comes out of it
// goes into a second server by the jdbc sink, whose tables must then say the
// same as the source's.
//
// Runs differ in row metadata, GTIDs, compression, chunk size, and the time
// zone and modes of the server.
package pairs

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"testing"

	"go.uber.org/goleak"

	"github.com/towline/towline/e2e/mysqltest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(mysqltest.Main(m))
}

// The zone of one server: an hour ahead of UTC, two in the summer of 2021.
// Named zones have gaps and doubled hours, and servers come without any.
const zone = `DELETE FROM mysql.time_zone_name; DELETE FROM mysql.time_zone; DELETE FROM mysql.time_zone_transition; DELETE FROM mysql.time_zone_transition_type;
	INSERT INTO mysql.time_zone (Time_zone_id, Use_leap_seconds) VALUES (1, 'N');
	INSERT INTO mysql.time_zone_name (Name, Time_zone_id) VALUES ('Test/Summer', 1);
	INSERT INTO mysql.time_zone_transition_type (Time_zone_id, Transition_type_id, Offset, Is_DST, Abbreviation) VALUES (1, 0, 3600, 0, 'W'), (1, 1, 7200, 1, 'S');
	INSERT INTO mysql.time_zone_transition (Time_zone_id, Transition_time, Transition_type_id)
		VALUES (1, UNIX_TIMESTAMP('2021-03-28 01:00:00'), 1), (1, UNIX_TIMESTAMP('2021-10-31 01:00:00'), 0)`

// startSummer starts a server with GTIDs that lives in zone.
func startSummer(t *testing.T) *mysqltest.Server {
	srv := mysqltest.Start(t, mysqltest.TimeZone("+00:00"))
	srv.Exec(t, zone+"; SET GLOBAL time_zone = 'Test/Summer'")
	return srv
}

// startOdd starts a server with file positions whose settings change how
// statements are read and values printed.
func startOdd(t *testing.T) *mysqltest.Server {
	return mysqltest.Start(t, mysqltest.NoGTID(), mysqltest.TimeZone("+05:30"), mysqltest.Flags("--sql-mode=PAD_CHAR_TO_FULL_LENGTH,ANSI_QUOTES,NO_BACKSLASH_ESCAPES",
		"--show-gipk-in-create-table-and-information-schema=OFF", "--div-precision-increment=0", "--lc-time-names=de_DE"))
}

// session runs f in a session whose settings nobody else meets.
func session(t *testing.T, srv *mysqltest.Server, f func(ctx context.Context, conn *sql.Conn) error) {
	t.Helper()
	conn, err := srv.DB().Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	err = f(t.Context(), conn)
	_ = conn.Raw(func(any) error { return driver.ErrBadConn })
	conn.Close()
	if err != nil {
		t.Fatal(err)
	}
}

// exec runs statements in a database.
func exec(t *testing.T, srv *mysqltest.Server, db string, statements ...string) {
	t.Helper()
	session(t, srv, func(ctx context.Context, conn *sql.Conn) error {
		for _, q := range append([]string{"SET NAMES utf8mb4, sql_mode = ''", "USE " + quote(db)}, statements...) {
			if _, err := conn.ExecContext(ctx, q); err != nil {
				return fmt.Errorf("%w in %.500s", err, q)
			}
		}
		return nil
	})
}
