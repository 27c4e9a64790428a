package faults

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/towline/towline/e2e/mysqltest"
)

// mariaTypes are columns of MariaDB, and how their values are compared as text.
const mariaTypes = "u UUID, a INET4, b INET6, j JSON, c VARCHAR(300) COMPRESSED CHARACTER SET utf8mb4, x TEXT COMPRESSED CHARACTER SET latin1, " +
	"z VARBINARY(400) COMPRESSED, l LONGBLOB COMPRESSED, f BINARY(16), g INT AS (id + 1) PERSISTENT, h INT AS (id + 2) VIRTUAL, n INT UNSIGNED INVISIBLE, " +
	"ts TIMESTAMP(6) NULL, tm TIME(3), d DATETIME(2), p POINT, e ENUM('a', 'ö'), s SET('x', 'y'), k DECIMAL(40, 10), bt BIT(9), y YEAR, fl FLOAT"

const mariaText = "SELECT id, CAST(u AS CHAR), CAST(a AS CHAR), CAST(b AS CHAR), j, c, x, HEX(z), HEX(l), HEX(f), g, h, n, ts, tm, d, ST_AsText(p), e, s, k, HEX(bt), y, fl FROM work.maria ORDER BY id"

// Every value of MariaDB's types arrives as the server shows it, copied or from
// the log.
func TestMariaDBTypes(t *testing.T) {
	for _, metadata := range []string{"NO_LOG", "FULL"} {
		t.Run(metadata, func(t *testing.T) {
			source := mysqltest.Start(t, mysqltest.MariaDB(), mysqltest.TimeZone("+00:00"), mysqltest.Flags("--binlog-row-metadata="+metadata, "--character-set-server=utf8mb4"))
			source.Exec(t, "CREATE DATABASE work; CREATE TABLE work.maria (id INT PRIMARY KEY, "+mariaTypes+"); CREATE TABLE work.byid (u UUID PRIMARY KEY, v INET6)")
			seed := seedOf(t)
			t.Logf("seed %d", seed)
			r := rand.New(rand.NewPCG(seed, 1))
			for id := range 60 {
				mariaRow(t, source, r, id)
			}
			g := bareRig(t, source)
			g.start()
			if err := g.proc.Wait(t.Context(), patience); err != nil {
				t.Fatal(err)
			}
			for id := 60; id < 120; id++ {
				mariaRow(t, source, r, id)
			}
			source.Exec(t, "UPDATE work.maria SET u = UUID(), b = '::ffff:9.8.7.6', x = REPEAT('é', 200) WHERE id % 3 = 0; DELETE FROM work.maria WHERE id % 7 = 0; UPDATE work.byid SET u = UUID()")
			if err := g.proc.Wait(t.Context(), patience); err != nil {
				t.Fatal(err)
			}
			g.target.Exec(t, "SET GLOBAL time_zone = '+00:00'")
			for _, q := range []string{mariaText, "SELECT CAST(u AS CHAR), CAST(v AS CHAR) FROM work.byid ORDER BY 1"} {
				want, got := source.Query(t, q), g.target.Query(t, q)
				if len(want) != len(got) {
					t.Fatalf("%d rows in the target, %d in the source", len(got), len(want))
				}
				for i := range want {
					if a, b := strings.Join(want[i], "|"), strings.Join(got[i], "|"); a != b {
						t.Errorf("source %s\ntarget %s", a, b)
					}
				}
			}
		})
	}
}

// mariaRow inserts a row of random values, and of those at the bounds.
func mariaRow(t *testing.T, s *mysqltest.Server, r *rand.Rand, id int) {
	t.Helper()
	bytes := func(n int) string {
		b := make([]byte, n)
		for i := range b {
			if r.IntN(3) > 0 {
				b[i] = byte(r.Uint32())
			}
		}
		return fmt.Sprintf("%x", b)
	}
	b := bytes(16)
	if r.IntN(2) == 0 {
		b = strings.Repeat("0", 16) + bytes(8)
	}
	s.Exec(t, fmt.Sprintf("INSERT INTO work.maria (id, u, a, b, j, c, x, z, l, f, n, ts, tm, d, p, e, s, k, bt, y, fl) VALUES (%d, x'%s', x'%s', x'%s', '{\"a\":  %d}', REPEAT('ü', %d), REPEAT('ä', %d), x'%s', REPEAT('z', %d), x'%s', %d, "+
		"'2024-01-02 03:04:05.%06d', '-%d:00:01.5', '0000-00-00', POINT(1, %d), '%s', '%s', -%d.5, %d, %d, 0.5)",
		id, bytes(16), bytes(4), b, id, r.IntN(300), r.IntN(400), bytes(r.IntN(300)), r.IntN(3000), bytes(16), r.Uint32(),
		r.IntN(1e6), r.IntN(800), id, []string{"a", "ö"}[r.IntN(2)], []string{"", "x", "x,y"}[r.IntN(3)], r.Int64(), r.IntN(512), 1901+r.IntN(250)))
	s.Exec(t, fmt.Sprintf("INSERT INTO work.byid VALUES (x'%s', x'%s')", bytes(16), b))
}

// bareRig is a rig without a load.
func bareRig(t *testing.T, source *mysqltest.Server) *rig {
	r := &rig{t: t, dir: t.TempDir(), source: source, target: mysqltest.Start(t)}
	r.connectors(options{noLedger: true})
	t.Cleanup(func() {
		r.proc.Kill()
		if t.Failed() {
			t.Logf("the program's log ends:\n%s", r.proc.LogTail(25))
		}
	})
	return r
}
