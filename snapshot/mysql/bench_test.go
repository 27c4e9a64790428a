package mysql

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/e2e/mysqltest"
	"github.com/towline/towline/offsets"
	"github.com/towline/towline/schema"
	"github.com/towline/towline/schema/catalog"
	"github.com/towline/towline/snapshot"
)

// BenchmarkCopy copies a table of 130 bytes a row from a server at rest.
func BenchmarkCopy(b *testing.B) {
	srv := mysqltest.Shared(b)
	db := srv.CreateDB(b)
	srv.Exec(b, "CREATE TABLE "+db+".t (id BIGINT PRIMARY KEY AUTO_INCREMENT, a INT, b VARCHAR(100), c DATETIME(3), d DECIMAL(12,2))")
	srv.Exec(b, "INSERT INTO "+db+".t (a, b, c, d) WITH RECURSIVE r AS (SELECT 1 n UNION ALL SELECT n + 1 FROM r WHERE n < 700) "+
		"SELECT x.n, REPEAT('abcde', 16), NOW(3), x.n / 7 FROM r x, r y")
	srv.Query(b, "ANALYZE TABLE "+db+".t")
	ctx := context.Background()
	shape, err := catalog.Table(ctx, srv.DB(), db, "t")
	if err != nil {
		b.Fatal(err)
	}
	ch := &testChanges{srv: srv, gtids: true, id: 4712, uuid: srv.Query(b, "SELECT @@server_uuid")[0][0], tables: map[string]*schema.Table{"t": shape}}
	s, err := ch.status(ctx)
	if err != nil {
		b.Fatal(err)
	}
	from := offsets.Position(fmt.Sprintf("%s:%s:%s", s[0], s[1], s[4]))
	all := 0
	for b.Loop() {
		src := snapshot.New(ch, func() snapshot.Reader {
			return New(Config{Dial: Dial(srv.Addr(), srv.User, srv.Password), Text: testText})
		}, snapshot.Config{}, connect.Env{})
		if err := src.Open(ctx, from, nil); err != nil {
			b.Fatal(err)
		}
		rows, bytes := 0, 0
		var batch connect.Batch
		for rows < 490000 {
			batch.Reset()
			if err := src.Read(ctx, &batch); err != nil && !errors.Is(err, io.EOF) {
				b.Fatal(err)
			}
			rows += len(batch.Records)
			bytes += batch.Size()
		}
		b.SetBytes(int64(bytes))
		all += rows
		if err := src.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(all)/b.Elapsed().Seconds(), "rows/s")
}
