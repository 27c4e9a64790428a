package workload

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
)

// maxDDL bounds how often tables change: a table has only so much room for
// columns.
const maxDDL = 300

// alter runs one DDL statement.
func (w *Workload) alter(ctx context.Context, r *rand.Rand) error {
	w.ddl.Lock()
	defer w.ddl.Unlock()
	if w.altered >= maxDDL {
		return nil
	}
	w.altered++
	n := w.serial.Add(1)
	made := w.t(fmt.Sprint("made", n))
	statements := []string{
		fmt.Sprintf("ALTER TABLE %s ADD COLUMN x%d INT", w.t("empty"), n),
		fmt.Sprintf("ALTER TABLE %s ADD COLUMN y%d VARCHAR(20) FIRST", w.t("empty"), n),
		fmt.Sprintf("ALTER TABLE %s MODIFY b VARCHAR(%d)", w.t("empty"), 10+n%200),
		fmt.Sprintf("CREATE TABLE %s (id INT PRIMARY KEY, t TEXT)", made),
		fmt.Sprintf("ALTER TABLE %s ADD INDEX i%d (a)", w.t("empty"), n),
	}
	if w.opt.Truncate {
		statements = append(statements, "TRUNCATE TABLE "+w.t("empty"))
	}
	s := statements[r.IntN(len(statements))]
	if _, err := w.pool().ExecContext(ctx, s); err != nil {
		return err
	}
	if !strings.HasPrefix(s, "CREATE TABLE") {
		return nil
	}
	for _, s := range []string{"INSERT INTO %s VALUES (1, 'one'), (2, NULL)", "UPDATE %s SET t = 'two' WHERE id = 2"} {
		if _, err := w.pool().ExecContext(ctx, fmt.Sprintf(s, made)); err != nil {
			return err
		}
	}
	return nil
}
