package jdbc

import (
	"context"
	"testing"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/connect/connecttest"
	"github.com/towline/towline/e2e/mysqltest"
	"github.com/towline/towline/schema"
)

// stamped gives each record an Offset that is the same when it comes again,
// as that of a message in a log is.
type stamped struct{ connect.Sink }

func (s stamped) Write(ctx context.Context, b *connect.Batch) error {
	for i := range b.Records {
		b.Records[i].Offset = int64(b.Records[i].Seq & (1<<connect.SeqEpochShift - 1))
	}
	return s.Sink.Write(ctx, b)
}

func TestContract(t *testing.T) {
	srv := mysqltest.Shared(t)
	connecttest.TestSink(t, func(t *testing.T) connecttest.SinkHarness {
		db := srv.CreateDB(t)
		dump := func(table *schema.Table, row schema.Row) (s string) {
			for i := range row {
				s += connecttest.DumpValue(row[i], &table.Columns[i]) + " "
			}
			return s
		}
		return connecttest.SinkHarness{
			New: func(t *testing.T) connect.Sink {
				s := newTestSink(t, srv.DSN(db), 0, 1)
				t.Cleanup(func() { _ = s.Close() })
				return stamped{s}
			},
			KeepsState: true,
			Check: connecttest.CheckRows(func(t *testing.T, table *schema.Table) (rows []string) {
				var n int
				if err := srv.DB().QueryRow("SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = ? AND table_name = ?", db, table.Name).Scan(&n); err != nil || n == 0 {
					return nil
				}
				for _, r := range readRows(t, srv.DB(), db, table) {
					rows = append(rows, dump(table, r))
				}
				return rows
			}, dump),
		}
	})
}
