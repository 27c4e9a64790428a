package faults

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
)

// bagColumns are of all the kinds that rows are compared by, with few values
// each, so that rows that are equal, or almost so, are common. The ledger
// has null for zero dates and for the document null, which would make rows equal
// that are not.
var bagColumns = []struct{ name, typ, values string }{
	{"i", "BIGINT UNSIGNED", "0|1|18446744073709551615|NULL"},
	{"f", "FLOAT", "0.1|0.2|-0e0|0|3.4028234e38|1e-45|16777216|NULL"},
	{"d", "DOUBLE", "0.1|0.30000000000000004|0.3|-0e0|0|1e308|5e-324|NULL"},
	{"n", "DECIMAL(30,10)", "0.1|0.1000000001|-99999999999999999999.9999999999|NULL"},
	{"s", "VARCHAR(20)", "'a'|'A'|'a '|'á'|'ß'|'ss'|''|NULL"},
	{"c", "CHAR(5) CHARACTER SET latin1", "'a'|'A'|'é'|''|NULL"},
	{"x", "BLOB", "'a'|'A'|x'00'|x'0000'|''|NULL"},
	{"b", "BINARY(3)", "'a'|x'610000'|x'00'|NULL"},
	{"j", "JSON", `'1'|'1.0'|'"1"'|'[1, 2]'|'[2, 1]'|'{"a": 1, "b": 2}'|'{"a": null}'|NULL`},
	{"t", "DATETIME(3)", "'2024-01-01 00:00:00.001'|'2024-01-01'|NULL"},
	{"ts", "TIMESTAMP NULL", "'2024-01-01 10:00:00'|'2024-03-31 02:30:00'|NULL"},
	{"e", "ENUM('b','a','1')", "1|2|3|0|NULL"},
	{"m", "SET('x','y','z')", "0|1|2|4|5|NULL"},
	{"w", "BIT(9)", "0|1|256|511|NULL"},
	{"y", "YEAR", "0|1999|2155|NULL"},
	{"g", "POINT", "POINT(1,2)|POINT(-0e0,0)|POINT(0,0)|NULL"},
}

func bagTable() string {
	var cols []string
	for _, c := range bagColumns {
		cols = append(cols, c.name+" "+c.typ)
	}
	return "CREATE TABLE " + database + ".bag (" + strings.Join(cols, ", ") + ")"
}

// fillBag changes the table without a key in n random transactions.
func fillBag(ctx context.Context, db *sql.DB, rnd *rand.Rand, n int) error {
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.ExecContext(ctx, "USE "+database+"; SET sql_mode = ''"); err != nil {
		return err
	}
	one := func() (string, string) {
		c := bagColumns[rnd.IntN(len(bagColumns))]
		values := strings.Split(c.values, "|")
		return c.name, values[rnd.IntN(len(values))]
	}
	for range n {
		if _, err := conn.ExecContext(ctx, "BEGIN"); err != nil {
			return err
		}
		for range 1 + rnd.IntN(4) {
			k, v := one()
			k2, v2 := one()
			limit := 1 + rnd.IntN(3)
			stmt := fmt.Sprintf("INSERT INTO bag (%s) VALUES (%s), (%s)", k, v, v)
			switch rnd.IntN(6) {
			case 0:
				stmt = fmt.Sprintf("INSERT INTO bag SELECT * FROM (SELECT * FROM bag LIMIT %d, %d) x", rnd.IntN(50), limit)
			case 1:
				stmt = fmt.Sprintf("DELETE FROM bag WHERE %s <=> %s LIMIT %d", k, v, limit)
			case 2, 3:
				stmt = fmt.Sprintf("UPDATE bag SET %s = %s WHERE %s <=> %s LIMIT %d", k, v, k2, v2, limit)
			}
			if _, err := conn.ExecContext(ctx, stmt); err != nil {
				return fmt.Errorf("%s: %w", stmt, err)
			}
		}
		end := "COMMIT"
		if rnd.IntN(10) == 0 {
			end = "ROLLBACK"
		}
		if _, err := conn.ExecContext(ctx, end); err != nil {
			return err
		}
	}
	return nil
}

// Rows of a table without a key are matched whole, whatever they hold: of n
// equal ones a delete takes one, in the target and in the topic, also when the
// program is killed all the time.
func TestKilledWithABagOfRows(t *testing.T) {
	r := newRig(t, options{rows: 10, load: light()})
	r.keyless = true
	r.source.Exec(t, bagTable())
	seed := seedOf(t)
	t.Logf("seed of the rows %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	if err := fillBag(t.Context(), r.source.DB(), rnd, 100); err != nil {
		t.Fatal(err)
	}
	r.start()
	if err := r.proc.Wait(t.Context(), patience); err != nil {
		t.Fatal(err)
	}
	r.proc.Kill()
	r.killingWhile(func() error { return fillBag(t.Context(), r.source.DB(), rnd, 50*kills(t, 10)) })
	r.settle()
	checkBag(t, r)
}

// checkBag compares how often each row is in the source with how often the
// changes of the topic leave it.
func checkBag(t *testing.T, r *rig) {
	t.Helper()
	f, err := os.Open(r.ledger)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	bag := map[string]int{}
	add := func(row json.RawMessage, n int) {
		if len(row) == 0 || string(row) == "null" {
			return
		}
		if bag[string(row)] += n; bag[string(row)] == 0 {
			delete(bag, string(row))
		}
		if bag[string(row)] < 0 {
			t.Fatalf("the topic takes away a row that is not there: %s", row)
		}
	}
	sc := bufio.NewScanner(f)
	sc.Buffer(nil, 64<<20)
	for sc.Scan() {
		var e struct {
			Value struct {
				Op            string
				Source        struct{ Table string }
				Before, After json.RawMessage
			}
		}
		if err := json.Unmarshal(sc.Bytes(), &e); err != nil {
			t.Fatal(err)
		}
		if e.Value.Source.Table != "bag" {
			continue
		}
		if e.Value.Op == "t" {
			clear(bag)
		}
		add(e.Value.Before, -1)
		add(e.Value.After, 1)
	}
	if err := sc.Err(); err != nil {
		t.Fatal(err)
	}
	got := slices.Sorted(maps.Values(bag))
	if want := bagCounts(t, r.source.DB()); !slices.Equal(got, want) {
		t.Errorf("the topic leaves rows this often: %v, and the source has them %v", got, want)
	}
}

// bagCounts returns how often each of the source's rows is there, in order.
func bagCounts(t *testing.T, db *sql.DB) (counts []int) {
	t.Helper()
	var cols []string
	for _, c := range bagColumns {
		cols = append(cols, "IFNULL(HEX(CONCAT("+c.name+")), '-')")
	}
	rows, err := db.QueryContext(t.Context(), "SELECT COUNT(*) n FROM "+database+".bag GROUP BY HEX(CONCAT_WS('|', "+strings.Join(cols, ", ")+")) ORDER BY n")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var n int
		if err := rows.Scan(&n); err != nil {
			t.Fatal(err)
		}
		counts = append(counts, n)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return counts
}
