package mysql

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"testing"
	"time"

	gomysql "github.com/go-mysql-org/go-mysql/mysql"
	"github.com/go-mysql-org/go-mysql/replication"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/e2e/mysqltest"
	"github.com/towline/towline/offsets"
)

const benchTable = "CREATE TABLE t (id BIGINT UNSIGNED PRIMARY KEY AUTO_INCREMENT, a INT, b VARCHAR(60), c DECIMAL(12,2), d DATETIME(6), e CHAR(20), f DOUBLE, g TEXT)"

const benchRow = "1234567, 'some words of a middling length', 12345.67, '2024-05-06 07:08:09.123456', 'twenty', 1.5, REPEAT('lorem ipsum ', 8)"

// fillBulk writes n rows in statements of many rows.
func fillBulk(t testing.TB, r *rig, n int) {
	r.exec(t, benchTable+"; INSERT INTO t (a, b, c, d, e, f, g) VALUES ("+benchRow+")")
	for have := 1; have < n; have *= 2 {
		r.exec(t, fmt.Sprintf("INSERT INTO t (a, b, c, d, e, f, g) SELECT a, b, c, d, e, f, g FROM t LIMIT %d", n-have))
	}
}

// fillSingle writes n transactions of one row.
func fillSingle(t testing.TB, r *rig, n int) {
	r.exec(t, benchTable+"; CREATE PROCEDURE fill(n INT) BEGIN WHILE n > 0 DO INSERT INTO t (a, b, c, d, e, f, g) VALUES ("+benchRow+"); SET n = n - 1; END WHILE; END; "+fmt.Sprintf("CALL fill(%d)", n))
}

// BenchmarkDump reads a recorded log into batches, and by go-mysql into what
// it makes of it.
func BenchmarkDump(b *testing.B) {
	for _, c := range []struct {
		name string
		rows int
		fill func(testing.TB, *rig, int)
	}{{"bulk", 400_000, fillBulk}, {"single", 60_000, fillSingle}} {
		r := newRig(b, mysqltest.Start(b))
		r.values[optSSLMode] = "disabled" // as the other one
		s := r.open(b, nil, nil)
		var first connect.Batch
		if err := s.Read(b.Context(), &first); err != nil {
			b.Fatal(err)
		}
		from, state := first.Pos, append([]offsets.Entry(nil), first.State...)
		c.fill(b, r, c.rows)
		head, err := s.Head(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		s.Close()
		b.Run(c.name+"/towline", func(b *testing.B) {
			for range b.N {
				benchTowline(b, r, from, state, head, c.rows)
			}
			b.ReportMetric(float64(c.rows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
		})
		b.Run(c.name+"/go-mysql", func(b *testing.B) {
			for range b.N {
				benchGoMySQL(b, r, from, c.rows)
			}
			b.ReportMetric(float64(c.rows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}

func benchTowline(b *testing.B, r *rig, from offsets.Position, state []offsets.Entry, head offsets.Position, want int) {
	s := r.source(b)
	if err := s.Open(b.Context(), from, state); err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	var batch connect.Batch
	rows := 0
	for {
		batch.Reset()
		if err := s.Read(b.Context(), &batch); err != nil {
			b.Fatal(err)
		}
		for i := range batch.Records {
			if batch.Records[i].Op.HasRow() {
				rows++
			}
		}
		if batch.Pos != nil && Covers(batch.Pos, head) {
			break
		}
	}
	if rows != want {
		b.Fatalf("%d rows, want %d", rows, want)
	}
}

func benchGoMySQL(b *testing.B, r *rig, from offsets.Position, want int) {
	p, err := parsePosition(from)
	if err != nil {
		b.Fatal(err)
	}
	set, err := gomysql.ParseMysqlGTIDSet(p.gtids.String())
	if err != nil {
		b.Fatal(err)
	}
	syncer := replication.NewBinlogSyncer(replication.BinlogSyncerConfig{ServerID: 99999, Flavor: "mysql", Host: r.srv.Host, Port: uint16(r.srv.Port),
		User: r.srv.User, Password: r.srv.Password, UseDecimal: false, DiscardGTIDSet: true, Logger: slog.New(slog.DiscardHandler)})
	defer syncer.Close()
	stream, err := syncer.StartSyncGTID(set)
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
	defer cancel()
	for rows := 0; rows < want; {
		ev, err := stream.GetEvent(ctx)
		if err != nil {
			b.Fatal(err)
		}
		if e, ok := ev.Event.(*replication.RowsEvent); ok && string(e.Table.Table) == "t" {
			rows += len(e.Rows)
		}
	}
}

// A transaction of any size passes in bounded memory, whether the server packs
// it or not.
func TestHugeTransaction(t *testing.T) {
	for _, packed := range []string{"OFF", "ON"} {
		t.Run("compression "+packed, func(t *testing.T) {
			r := newRig(t, mysqltest.Start(t, mysqltest.Flags("--max-allowed-packet=1G")))
			fillBulk(t, r, 50_000)
			s := r.open(t, nil, nil)
			r.exec(t, "SET SESSION binlog_transaction_compression = "+packed+"; DELETE FROM t WHERE id % 100 = 0; UPDATE t SET a = a + 1, g = REPEAT(g, 5)")
			head, err := s.Head(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			var b connect.Batch
			var most, bytes uint64
			rows, inside := 0, 0
			for {
				b.Reset()
				if err := s.Read(t.Context(), &b); err != nil {
					t.Fatal(err)
				}
				rows += len(b.Records)
				bytes += uint64(b.Size())
				if b.Pos == nil {
					inside++
				}
				if inside%50 == 1 {
					runtime.GC()
					var m runtime.MemStats
					runtime.ReadMemStats(&m)
					most = max(most, m.HeapAlloc)
				}
				if b.Pos != nil && Covers(b.Pos, head) {
					break
				}
			}
			t.Logf("%d rows, %d MiB of values, %d batches inside, %d MiB of heap at most", rows, bytes>>20, inside, most>>20)
			if rows != 50_000 {
				t.Errorf("%d rows, want 50000", rows)
			}
			if inside < 50 || most > bytes/2 || most > 64<<20 {
				t.Errorf("%d batches inside the transaction, %d bytes of heap at most", inside, most)
			}
		})
	}
}
