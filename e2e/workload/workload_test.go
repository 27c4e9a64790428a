package workload_test

import (
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/towline/towline/e2e/mysqltest"
	"github.com/towline/towline/e2e/workload"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(mysqltest.Main(m)) }

// What is asked for is in the log.
func TestTheLogHasAllKinds(t *testing.T) {
	s := mysqltest.Start(t, mysqltest.Flags("--max-binlog-size=1G"))
	w := workload.New(s.DB(), "work", workload.Options{Seed: 1, Writers: 6, Keyless: true, Types: true, DDL: true, Truncate: true, Big: 1500,
		XA: true, JSON: true, Compression: true, Light: 2})
	if err := w.Create(t.Context(), 500); err != nil {
		t.Fatal(err)
	}
	kinds := map[string]int{}
	for round := 0; ; round++ {
		if err := w.RunN(t.Context(), 500); err != nil {
			t.Fatal(err)
		}
		missing := ""
		count(t, s, kinds)
		for _, kind := range []string{"Transaction_payload", "Update_rows_partial", "XA_prepare", "XA COMMIT", "XA ROLLBACK", "ALTER TABLE", "CREATE TABLE", "TRUNCATE TABLE", "Delete_rows"} {
			if kinds[kind] == 0 {
				missing += " " + kind
			}
		}
		if missing == "" {
			break
		}
		if round > 20 {
			t.Fatalf("after %d transactions the log has no%s: %v", w.Transactions(), missing, kinds)
		}
	}
	if err := w.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left := s.Query(t, "XA RECOVER"); len(left) > 0 {
		t.Errorf("XA transactions are left: %v", left)
	}
	t.Logf("%d transactions, %d refused: %v", w.Transactions(), w.Refused(), kinds)
}

// count counts the events of the log by their kind, those of statements by
// their first two words.
func count(t *testing.T, s *mysqltest.Server, kinds map[string]int) {
	t.Helper()
	clear(kinds)
	for _, log := range s.Query(t, "SHOW BINARY LOGS") {
		for _, e := range s.Query(t, "SHOW BINLOG EVENTS IN '"+log[0]+"'") {
			kind := e[2]
			if _, text, ok := strings.Cut(e[5], "; "); ok && kind == "Query" {
				kind = strings.Join(strings.Fields(text)[:min(2, len(strings.Fields(text)))], " ")
			} else if kind == "Query" {
				kind = strings.Join(strings.Fields(e[5])[:min(2, len(strings.Fields(e[5])))], " ")
			}
			kinds[kind]++
		}
	}
}
