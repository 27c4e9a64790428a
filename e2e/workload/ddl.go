package workload

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
)

// maxDDL bounds how often tables change that only grow: a table has only so much
// room for columns. maxMade is how many columns and tables there are at once of
// which some are also taken away.
const (
	maxDDL  = 300
	maxMade = 60
)

// shapes is what statements have made of the tables so far.
type shapes struct {
	altered int
	columns []string // of the table "empty"
	made    []string // tables
}

// Altered returns how many DDL statements were tried.
func (w *Workload) Altered() int {
	w.ddl.Lock()
	defer w.ddl.Unlock()
	return w.shapes.altered
}

// alter runs one DDL statement.
func (w *Workload) alter(ctx context.Context, r *rand.Rand) error {
	w.ddl.Lock()
	defer w.ddl.Unlock()
	if w.shapes.altered >= maxDDL && !w.opt.Reshape {
		return nil
	}
	w.shapes.altered++
	if full := len(w.shapes.columns) > maxMade || len(w.shapes.made) > maxMade; w.opt.Reshape && (full || r.IntN(3) == 0) {
		return w.reshape(ctx, r)
	}
	n := w.serial.Add(1)
	made := fmt.Sprint("made", n)
	statements := []string{
		fmt.Sprintf("ALTER TABLE %s ADD COLUMN x%d INT", w.t("empty"), n),
		fmt.Sprintf("ALTER TABLE %s ADD COLUMN y%d VARCHAR(20) FIRST", w.t("empty"), n),
		fmt.Sprintf("ALTER TABLE %s MODIFY b VARCHAR(%d)", w.t("empty"), 10+n%200),
		fmt.Sprintf("CREATE TABLE %s (id INT PRIMARY KEY, t TEXT)", w.t(made)),
		fmt.Sprintf("ALTER TABLE %s ADD INDEX i%d (a)", w.t("empty"), n),
	}
	if w.opt.Truncate {
		statements = append(statements, "TRUNCATE TABLE "+w.t("empty"))
	}
	i := r.IntN(len(statements))
	if _, err := w.pool().ExecContext(ctx, statements[i]); err != nil {
		return err
	}
	switch i {
	case 0, 1:
		w.shapes.columns = append(w.shapes.columns, fmt.Sprint([]string{"x", "y"}[i], n))
	case 3:
		w.shapes.made = append(w.shapes.made, made)
		return w.each(ctx, w.t(made), "INSERT INTO %s VALUES (1, 'one'), (2, NULL)", "UPDATE %s SET t = 'two' WHERE id = 2")
	}
	return nil
}

// reshape runs a statement that takes something away or gives it another name.
func (w *Workload) reshape(ctx context.Context, r *rand.Rand) error {
	n := w.serial.Add(1)
	if columns := w.shapes.columns; len(columns) > 0 && r.IntN(2) == 0 {
		i := r.IntN(len(columns))
		name := columns[i]
		if r.IntN(2) == 0 {
			columns[i] = fmt.Sprint("z", n)
			return w.each(ctx, w.t("empty"), "ALTER TABLE %s RENAME COLUMN "+name+" TO "+columns[i])
		}
		w.shapes.columns = append(columns[:i], columns[i+1:]...)
		return w.each(ctx, w.t("empty"), "ALTER TABLE %s DROP COLUMN "+name)
	}
	if len(w.shapes.made) == 0 {
		return nil
	}
	i := r.IntN(len(w.shapes.made))
	name := w.shapes.made[i]
	switch r.IntN(4) {
	case 0:
		w.shapes.made = append(w.shapes.made[:i], w.shapes.made[i+1:]...)
		return w.each(ctx, w.t(name), "DROP TABLE %s")
	case 1:
		w.shapes.made[i] = fmt.Sprint("moved", n)
		return w.each(ctx, w.t(name), "RENAME TABLE %s TO "+strings.ReplaceAll(w.t(w.shapes.made[i]), "%", "%%"))
	case 2:
		return w.each(ctx, w.t(name), "ALTER TABLE %s DROP PRIMARY KEY, ADD PRIMARY KEY (id, u), ADD COLUMN u INT NOT NULL DEFAULT 5",
			"UPDATE %s SET u = 6 WHERE id = 1")
	}
	return w.each(ctx, w.t(name), "ALTER TABLE %s MODIFY t VARCHAR(30)", "INSERT IGNORE INTO %s (id, t) VALUES (3, 'three')")
}

// each runs statements about one table.
func (w *Workload) each(ctx context.Context, table string, statements ...string) error {
	for _, s := range statements {
		if _, err := w.pool().ExecContext(ctx, fmt.Sprintf(s, table)); err != nil {
			return err
		}
	}
	return nil
}
