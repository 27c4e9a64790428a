package oracle_test

import (
	"context"
	"os"
	"strings"
	"testing"

	"github.com/towline/towline/e2e/mysqltest"
	"github.com/towline/towline/e2e/oracle"
	"github.com/towline/towline/e2e/workload"
)

func TestMain(m *testing.M) { os.Exit(mysqltest.Main(m).Run()) }

// The oracle finds no difference between equal databases and every kind of
// difference between others; the workload fills both.
func TestOracleSeesDifferences(t *testing.T) {
	s := mysqltest.Shared(t)
	ctx := context.Background()
	src, dst := s.CreateDB(t), s.CreateDB(t)
	w := workload.New(s.DB(), src, workload.Options{Seed: 1, Keyless: true, Types: true, Big: 2000, Writers: 3})
	if err := w.Create(ctx, 300); err != nil {
		t.Fatal(err)
	}
	if err := w.RunN(ctx, 1500); err != nil {
		t.Fatal(err)
	}
	if w.Refused() > w.Transactions() {
		t.Errorf("%d transactions were refused and %d done", w.Refused(), w.Transactions())
	}
	for _, r := range s.Query(t, "SELECT table_name, GROUP_CONCAT(CONCAT('`', REPLACE(column_name, '`', '``'), '`')) FROM information_schema.columns "+
		"WHERE table_schema = ? AND generation_expression = '' GROUP BY 1", src) {
		table := workload.Quote(r[0])
		s.Exec(t, "CREATE TABLE "+dst+"."+table+" LIKE "+src+"."+table)
		s.Exec(t, "INSERT INTO "+dst+"."+table+" ("+r[1]+") SELECT "+r[1]+" FROM "+src+"."+table)
	}
	compare := func() string {
		diffs, err := oracle.Compare(ctx, s.DB(), src, s.DB(), dst)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(diffs, "\n")
	}
	if got := compare(); got != "" {
		t.Fatalf("equal databases differ:\n%s", got)
	}
	for _, c := range []struct{ change, undo, want string }{
		{"DELETE FROM %.accounts ORDER BY id LIMIT 1", "INSERT INTO %.accounts SELECT * FROM @.accounts ORDER BY id LIMIT 1", "accounts: row"},
		{"INSERT INTO %.words VALUES ('zzzz', 1)", "DELETE FROM %.words WHERE word = 'zzzz'", "in the target only"},
		{"UPDATE %.accounts SET owner = CONCAT(owner, '!') ORDER BY id DESC LIMIT 1", "", "owner is"},
		{"INSERT INTO %.log VALUES ('2024-01-01 00:00:00.5', 'line 1')", "", "log: row"},
		{"DROP TABLE %.seats", "", "seats: target"},
	} {
		sub := strings.NewReplacer("%", dst, "@", src)
		s.Exec(t, sub.Replace(c.change))
		if got := compare(); !strings.Contains(got, c.want) {
			t.Errorf("%s: the oracle says %q", c.change, got)
		}
		if c.undo != "" {
			s.Exec(t, sub.Replace(c.undo))
		}
	}
}
