package workload

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
)

const wideColumns = `c0 INT, c1 VARCHAR(50) NOT NULL DEFAULT '', c2 DOUBLE, c3 FLOAT, c4 DATETIME(6), c5 DATE, c6 TIME(3), c7 BLOB, c8 MEDIUMTEXT,
 c9 ENUM('a','b','c,d','e''f'), c10 SET('x','y','z'), c11 BIT(13), c12 DECIMAL(40,10), c13 YEAR, c14 TINYINT UNSIGNED, c15 BIGINT UNSIGNED,
 c16 CHAR(5), c17 VARBINARY(30), c18 SMALLINT, c19 MEDIUMINT`

const typeColumns = `id INT AUTO_INCREMENT PRIMARY KEY, v VARCHAR(30) CHARACTER SET latin1, g VARCHAR(30) CHARACTER SET gbk, u VARCHAR(30) CHARACTER SET utf16,
 p POINT, j JSON, t TIMESTAMP(3) NULL, b BIT(64), d DECIMAL(65,30), f FLOAT, x DOUBLE, bin BINARY(16), gen INT GENERATED ALWAYS AS (inv * 2) VIRTUAL,
 st VARCHAR(40) GENERATED ALWAYS AS (CONCAT('s', v)) STORED, inv INT INVISIBLE`

// session takes statements: a transaction, or a connection that has begun one.
type session interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// change makes one random change within tx.
func (w *Workload) change(ctx context.Context, tx session, r *rand.Rand) error {
	changes := []func(context.Context, session, *rand.Rand) error{
		w.transfer, w.transfer, w.transfer, w.entry, w.entry, w.swapSeats, w.moveSeat, w.word, w.wideRow, w.wideRow, w.emptyRow, w.oddRow, w.comeAndGo, w.moveKey,
	}
	if w.opt.Keyless {
		changes = append(changes, w.logRow)
	}
	if w.opt.Types {
		changes = append(changes, w.typesRow)
	}
	if w.opt.JSON {
		changes = append(changes, w.docRow)
	}
	if w.opt.Big > 0 && r.IntN(500) == 0 {
		return w.big(ctx, tx)
	}
	return changes[r.IntN(len(changes))](ctx, tx, r)
}

func exec(ctx context.Context, tx session, query string, args ...any) error {
	_, err := tx.ExecContext(ctx, query, args...)
	return err
}

// account returns the id of one of 200 accounts, far enough from each other
// that lanes share them.
func account(r *rand.Rand) int { return 1 + 41*r.IntN(200) }

func (w *Workload) transfer(ctx context.Context, tx session, r *rand.Rand) error {
	a, b, sum := account(r), account(r), r.IntN(10000)
	for _, s := range []struct {
		id, sum int
	}{{a, -sum}, {b, sum}} {
		if err := exec(ctx, tx, "INSERT INTO "+w.t("accounts")+" (id, owner, balance) VALUES (?, ?, ?) ON DUPLICATE KEY UPDATE balance = balance + VALUES(balance)",
			s.id, text(r, 40), fmt.Sprintf("%d.%02d", s.sum, r.IntN(100))); err != nil {
			return err
		}
	}
	return nil
}

func (w *Workload) entry(ctx context.Context, tx session, r *rand.Rand) error {
	return exec(ctx, tx, "REPLACE INTO "+w.t("entries")+" VALUES (?, ?, ?, JSON_OBJECT('t', ?, 'n', ?, 'b', ?))",
		r.IntN(50), r.IntN(40), r.IntN(1000), text(r, 20), r.Float64()*1e6, r.IntN(2) == 0)
}

// swapSeats exchanges the unique values of two rows in one transaction.
func (w *Workload) swapSeats(ctx context.Context, tx session, r *rand.Rand) error {
	a, b := r.IntN(30)+1, r.IntN(30)+1
	if a == b {
		return nil
	}
	var sa, sb int
	row := tx.QueryRowContext(ctx, "SELECT (SELECT seat FROM "+w.t("seats")+" WHERE id = ? FOR UPDATE), (SELECT seat FROM "+w.t("seats")+" WHERE id = ? FOR UPDATE)", a, b)
	if row.Scan(&sa, &sb) != nil {
		return exec(ctx, tx, "INSERT IGNORE INTO "+w.t("seats")+" VALUES (?, ?, ?)", a, a, text(r, 10))
	}
	for _, s := range [][2]int{{a, -1 - a}, {b, sa}, {a, sb}} {
		if err := exec(ctx, tx, "UPDATE "+w.t("seats")+" SET seat = ? WHERE id = ?", s[1], s[0]); err != nil {
			return err
		}
	}
	return nil
}

// moveSeat gives a unique value up in one row and takes it in another.
func (w *Workload) moveSeat(ctx context.Context, tx session, r *rand.Rand) error {
	seat := r.IntN(30) + 1
	if err := exec(ctx, tx, "DELETE FROM "+w.t("seats")+" WHERE seat = ?", seat); err != nil {
		return err
	}
	return exec(ctx, tx, "INSERT INTO "+w.t("seats")+" VALUES (?, ?, ?) ON DUPLICATE KEY UPDATE seat = VALUES(seat), who = VALUES(who)", r.IntN(30)+1, seat, text(r, 20))
}

// word uses keys that differ in bytes and are the same to the server.
func (w *Workload) word(ctx context.Context, tx session, r *rand.Rand) error {
	forms := []string{"Café", "cafe", "CAFE", "café", "Straße", "strasse", "STRASSE", "Ångström", "angstrom", "naïve", "naive", "NAÏVE", text(r, 6)}
	word := forms[r.IntN(len(forms))]
	switch r.IntN(3) {
	case 0:
		return exec(ctx, tx, "DELETE FROM "+w.t("words")+" WHERE word = ?", word)
	case 1:
		return exec(ctx, tx, "UPDATE "+w.t("words")+" SET word = ? WHERE word = ?", word, word)
	}
	return exec(ctx, tx, "INSERT INTO "+w.t("words")+" VALUES (?, ?) ON DUPLICATE KEY UPDATE n = n + 1, word = VALUES(word)", word, r.IntN(1000))
}

func (w *Workload) wideRow(ctx context.Context, tx session, r *rand.Rand) error {
	id := []byte{0, 0, 0, 0, 0, byte(r.IntN(4)), byte(r.IntN(256)), 0} // ends in a zero byte
	if r.IntN(4) == 0 {
		return exec(ctx, tx, "DELETE FROM "+w.t("wide")+" WHERE id = ?", id)
	}
	values := map[string]any{"c0": r.Int32(), "c1": text(r, 50), "c2": r.NormFloat64() * math.Pow(10, float64(r.IntN(40)-20)), "c3": float32(r.NormFloat64()),
		"c4": fmt.Sprintf("%04d-%02d-%02d 02:30:%02d.%06d", 1000+r.IntN(8999), 1+r.IntN(12), 1+r.IntN(28), r.IntN(60), r.IntN(1e6)),
		"c5": fmt.Sprintf("%04d-%02d-%02d", 1000+r.IntN(8999), 1+r.IntN(12), 1+r.IntN(28)), "c6": fmt.Sprintf("-%d:%02d:%02d.%03d", r.IntN(838), r.IntN(60), r.IntN(60), r.IntN(1000)),
		"c7": blob(r, r.IntN(3000)), "c8": text(r, r.IntN(3000)), "c9": []string{"a", "b", "c,d", "e'f"}[r.IntN(4)], "c10": []string{"", "x", "x,z", "x,y,z"}[r.IntN(4)],
		"c11": r.IntN(1 << 13), "c12": fmt.Sprintf("%d%018d.%010d", r.Int32(), r.Int64N(1e18), r.IntN(1e9)), "c13": 1901 + r.IntN(255), "c14": r.IntN(256), "c15": r.Uint64(),
		"c16": text(r, 5), "c17": blob(r, r.IntN(31)), "c18": int16(r.Uint32()), "c19": r.IntN(1<<24) - 1<<23}
	cols, marks, args := []string{"id"}, []string{"?"}, []any{id}
	for c, v := range values {
		if r.IntN(3) > 0 {
			cols, marks, args = append(cols, c), append(marks, "?"), append(args, v)
		}
	}
	return exec(ctx, tx, "REPLACE INTO "+w.t("wide")+" ("+strings.Join(cols, ",")+") VALUES ("+strings.Join(marks, ",")+")", args...)
}

func (w *Workload) emptyRow(ctx context.Context, tx session, r *rand.Rand) error {
	if r.IntN(3) == 0 {
		return exec(ctx, tx, "DELETE FROM "+w.t("empty")+" ORDER BY id LIMIT 2")
	}
	return exec(ctx, tx, "INSERT INTO "+w.t("empty")+" () VALUES (), ()")
}

func (w *Workload) oddRow(ctx context.Context, tx session, r *rand.Rand) error {
	return exec(ctx, tx, "INSERT INTO "+w.t(oddName)+" VALUES (?, ?, ?, ?) ON DUPLICATE KEY UPDATE `с``ё` = `с``ё` + 1, `a.b` = VALUES(`a.b`)",
		r.IntN(30), text(r, 15), r.IntN(5), r.IntN(10))
}

// comeAndGo makes, changes and removes one row, several times.
func (w *Workload) comeAndGo(ctx context.Context, tx session, r *rand.Rand) error {
	id := 1000 + r.IntN(10)
	for range 1 + r.IntN(3) {
		for _, s := range []string{"DELETE FROM %s WHERE id = %d", "INSERT INTO %s (id, owner) VALUES (%d, 'x')", "UPDATE %s SET balance = balance + 1 WHERE id = %d"} {
			if err := exec(ctx, tx, fmt.Sprintf(s, w.t("accounts"), id)); err != nil {
				return err
			}
		}
	}
	if r.IntN(2) == 0 {
		return exec(ctx, tx, fmt.Sprintf("DELETE FROM %s WHERE id = %d", w.t("accounts"), id))
	}
	return nil
}

// moveKey changes primary keys, sometimes of two rows crosswise.
func (w *Workload) moveKey(ctx context.Context, tx session, r *rand.Rand) error {
	a, b := account(r), account(r)
	if r.IntN(2) == 0 {
		return exec(ctx, tx, "UPDATE IGNORE "+w.t("accounts")+" SET id = ? WHERE id = ?", b, a)
	}
	for _, s := range [][2]int{{-a, a}, {a, b}, {b, -a}} {
		if err := exec(ctx, tx, "UPDATE IGNORE "+w.t("accounts")+" SET id = ? WHERE id = ?", s[0], s[1]); err != nil {
			return err
		}
	}
	return nil
}

// logRow changes the table without a key, where equal rows are common.
func (w *Workload) logRow(ctx context.Context, tx session, r *rand.Rand) error {
	at, line := fmt.Sprintf("2024-01-01 00:00:%02d.5", r.IntN(5)), fmt.Sprint("line ", r.IntN(5))
	switch r.IntN(4) {
	case 0:
		return exec(ctx, tx, "DELETE FROM "+w.t("log")+" WHERE at = ? AND text = ? LIMIT 1", at, line)
	case 1:
		return exec(ctx, tx, "UPDATE "+w.t("log")+" SET text = CONCAT('line ', ?) WHERE at = ? AND text = ? LIMIT 1", r.IntN(5), at, line)
	}
	return exec(ctx, tx, "INSERT INTO "+w.t("log")+" VALUES (?, ?), (?, NULL)", at, line, at)
}

func (w *Workload) typesRow(ctx context.Context, tx session, r *rand.Rand) error {
	if r.IntN(3) == 0 {
		return exec(ctx, tx, "UPDATE "+w.t("types")+" SET x = ?, inv = ?, j = JSON_SET(COALESCE(j, '{}'), '$.k', ?) ORDER BY id LIMIT 3", r.NormFloat64(), r.IntN(9), r.IntN(99))
	}
	return exec(ctx, tx, "INSERT INTO "+w.t("types")+" (v, g, u, p, j, t, b, d, f, x, bin, inv) VALUES (?, '中文字', 'ünï𝄞', ST_GeomFromText('POINT(1 2)'), ?, '2024-03-31 02:30:00.123', ?, ?, ?, ?, ?, ?)",
		"caf\u00e9 \u20ac", `{"a": [1, 2.5, 1e30, null, true, "x\ty"], "b": {"c": -0.0}}`, r.Uint64(), "-12345678901234567890.000000000000000000000000000001", r.Float32(), r.Float64()*1e300, blob(r, 16), r.IntN(100))
}

// big changes many rows in one transaction.
func (w *Workload) big(ctx context.Context, tx session) error {
	n := w.serial.Add(1)
	if err := exec(ctx, tx, fmt.Sprintf("INSERT INTO %s (account, no, amount, doc) WITH RECURSIVE s (n) AS (SELECT 1 UNION ALL SELECT n+1 FROM s WHERE n < %d) SELECT %d, n, n, JSON_OBJECT('n', n) FROM s",
		w.t("entries"), min(w.opt.Big, 1000), 1000+n)); err != nil {
		return err
	}
	for i := 1000; i < w.opt.Big; i += 1000 {
		if err := exec(ctx, tx, fmt.Sprintf("INSERT INTO %s SELECT account, no + %d, amount, doc FROM %s WHERE account = %d AND no <= 1000", w.t("entries"), i, w.t("entries"), 1000+n)); err != nil {
			return err
		}
	}
	return exec(ctx, tx, fmt.Sprintf("DELETE FROM %s WHERE account = %d AND no %% 2 = 0", w.t("entries"), 1000+n))
}

var letters = []rune("abcdefghijk lmnopqrstuvwxyzABC'\"\\\n\t%_äöüßéñ中文😀")

func text(r *rand.Rand, n int) string {
	s := make([]rune, r.IntN(n+1))
	for i := range s {
		s[i] = letters[r.IntN(len(letters))]
	}
	return string(s)
}

func blob(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}
