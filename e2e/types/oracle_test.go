package pairs

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/hex"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/towline/towline/schema"
)

// serverColumn is a column as information_schema has it.
type serverColumn struct {
	name, dataType, columnType, nullable, extra string
	charset, collation                          string
	precision, scale, fsp, srid                 string // "" for none
}

// serverTable is a table as the server tells it, its rows by id.
type serverTable struct {
	columns []serverColumn
	rows    map[string][]string
}

// ask reads a table from a server. Columns are those given, or all.
func ask(ctx context.Context, conn *sql.Conn, db, table string, columns []serverColumn) (s serverTable, err error) {
	_, err = conn.ExecContext(ctx, "SET NAMES utf8mb4, time_zone = '+00:00', sql_mode = '', show_gipk_in_create_table_and_information_schema = ON")
	if err == nil && columns == nil {
		columns, err = askColumns(ctx, conn, db, table)
	}
	if err != nil {
		return s, err
	}
	rows, err := askRows(ctx, conn, db, table, columns)
	return serverTable{columns, rows}, err
}

func askColumns(ctx context.Context, conn *sql.Conn, db, table string) (list []serverColumn, err error) {
	rows, err := conn.QueryContext(ctx, `SELECT COLUMN_NAME, DATA_TYPE, COLUMN_TYPE, IS_NULLABLE, EXTRA, COALESCE(CHARACTER_SET_NAME, ''), COALESCE(COLLATION_NAME, ''),
		COALESCE(NUMERIC_PRECISION, ''), COALESCE(NUMERIC_SCALE, ''), COALESCE(DATETIME_PRECISION, ''), COALESCE(SRS_ID, '')
		FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ? ORDER BY ORDINAL_POSITION`, db, table)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var c serverColumn
		if err := rows.Scan(&c.name, &c.dataType, &c.columnType, &c.nullable, &c.extra, &c.charset, &c.collation, &c.precision, &c.scale, &c.fsp, &c.srid); err != nil {
			return nil, err
		}
		list = append(list, c)
	}
	return list, rows.Err()
}

func askRows(ctx context.Context, conn *sql.Conn, db, table string, columns []serverColumn) (map[string][]string, error) {
	exprs := []string{"id"}
	for i := range columns {
		exprs = append(exprs, columns[i].expression())
	}
	rows, err := conn.QueryContext(ctx, "SELECT "+strings.Join(exprs, ", ")+" FROM "+quote(db)+"."+quote(table))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	all := map[string][]string{}
	cells, ptrs := make([]sql.NullString, len(exprs)), make([]any, len(exprs))
	for i := range cells {
		ptrs[i] = &cells[i]
	}
	for rows.Next() {
		if err := rows.Scan(ptrs...); err != nil {
			return nil, err
		}
		row := make([]string, len(columns))
		for i, c := range cells[1:] {
			if row[i] = c.String; !c.Valid {
				row[i] = "NULL"
			}
		}
		if all[cells[0].String] != nil {
			return nil, fmt.Errorf("id %s is there twice", cells[0].String)
		}
		all[cells[0].String] = row
	}
	return all, rows.Err()
}

// expression is one that loses nothing of a column's value.
func (c *serverColumn) expression() string {
	q := quote(c.name)
	switch c.dataType {
	case "tinyint", "smallint", "mediumint", "int", "bigint":
		return "CAST(" + q + " + 0 AS CHAR)" // without zeros in front
	case "decimal":
		return "CAST(" + q + " + 0 AS CHAR)"
	case "float", "double":
		// As text a number has at most 22 characters and may be rounded; as
		// JSON it has all its digits.
		return "CAST(CAST(CAST(" + q + " AS DOUBLE) AS JSON) AS CHAR)"
	case "bit":
		return "CAST(CAST(" + q + " AS UNSIGNED) AS CHAR)"
	case "enum", "set":
		return "CONCAT(CAST(" + q + " AS UNSIGNED), ' ', HEX(CONVERT(" + q + " USING utf8mb4)))"
	case "char", "varchar", "tinytext", "text", "mediumtext", "longtext":
		return "CONCAT(HEX(CONVERT(" + q + " USING utf8mb4)), ' ', HEX(" + q + "))"
	case "year", "date", "time", "datetime", "timestamp", "json":
		return "CAST(" + q + " AS CHAR)"
	}
	return "HEX(" + q + ")"
}

// compare returns how a value differs from what the server says, "" if it
// does not.
func (c *serverColumn) compare(v schema.Value, col *schema.Column, says string) string {
	got, want := c.spell(v, col), says
	if v.IsNull() || says == "NULL" {
		if v.IsNull() && says == "NULL" {
			return ""
		}
		return fmt.Sprintf("is %s, the server says %s", trimmed(got), trimmed(want))
	}
	switch v.Kind() {
	case schema.Float32, schema.Float64:
		f, err := strconv.ParseFloat(says, 64)
		if err == nil && math.Float64bits(f) == math.Float64bits(v.Float()) {
			return ""
		}
	case schema.Decimal:
		if strings.Trim(want, "-0.") == "" {
			want = strings.TrimPrefix(want, "-")
		}
	case schema.String:
		want, _, _ = strings.Cut(want, " ")
	case schema.Enum, schema.Set:
		if strings.Contains(c.columnType, "?") { // what the server shows for characters beyond three bytes: only the number counts
			got, _, _ = strings.Cut(got, " ")
			want, _, _ = strings.Cut(want, " ")
		}
	case schema.RawString:
		text, raw, _ := strings.Cut(want, " ")
		if want = raw; text == raw {
			return "is raw, but the server can read it: " + trimmed(says)
		}
	}
	if got == want {
		return ""
	}
	return fmt.Sprintf("is %s, the server says %s", trimmed(got), trimmed(want))
}

// spell writes a value as expression does.
func (c *serverColumn) spell(v schema.Value, col *schema.Column) string {
	switch v.Kind() {
	case schema.Null:
		return "NULL"
	case schema.Absent:
		return "absent"
	case schema.String, schema.RawString, schema.Bytes, schema.Geometry, schema.Vector:
		return strings.ToUpper(hex.EncodeToString(v.Bytes()))
	case schema.Bit:
		return strconv.FormatUint(v.Uint(), 10)
	case schema.Enum, schema.Set:
		return fmt.Sprintf("%d %X", v.Uint(), v.AppendText(nil, col))
	}
	return string(v.AppendText(nil, col))
}

// checkShape compares a Table with what the server says of its columns.
func (s *serverTable) checkShape(t *testing.T, tab *schema.Table) {
	t.Helper()
	if len(tab.Columns) != len(s.columns) {
		t.Errorf("table %s has %d columns, the server says %d", tab, len(tab.Columns), len(s.columns))
		return
	}
	for i := range s.columns {
		c, is := &s.columns[i], &tab.Columns[i]
		has := func(word string) bool { return slices.Contains(strings.Fields(c.columnType), word) }
		typ, kinds := c.dataType, []string{"point", "linestring", "polygon", "multipoint", "multilinestring", "multipolygon", "geomcollection"}
		subtype := ""
		if slices.Contains(kinds, typ) {
			typ, subtype = "geometry", typ
		}
		scale := c.fsp
		if typ == "decimal" || (typ == "float" || typ == "double") && c.scale != "" {
			scale = c.scale
		}
		for _, x := range []struct {
			what      string
			got, want any
		}{
			{"name", is.Name, c.name}, {"type", is.Type.String(), typ}, {"subtype", strings.Replace(is.Subtype, "geometrycollection", "geomcollection", 1), subtype},
			{"unsigned", is.Unsigned, has("unsigned")}, {"zerofill", is.Zerofill, has("zerofill")}, {"nullable", is.Nullable, c.nullable == "YES"},
			{"charset", is.Charset, orBinary(c.charset, typ)}, {"collation", is.Collation, orBinary(c.collation, typ)}, {"scale", strconv.Itoa(is.Scale), orZero(scale)},
			{"generated", is.Generated, strings.Contains(c.extra, "GENERATED") && !strings.Contains(c.extra, "DEFAULT_GENERATED")},
			{"invisible", is.Invisible, strings.Contains(c.extra, "INVISIBLE")}, {"auto_increment", is.AutoIncrement, strings.Contains(c.extra, "auto_increment")},
			{"srid", srid(is), c.srid},
		} {
			if x.got != x.want {
				t.Errorf("table %s, column %s: %s is %v, the server says %v (%s %s)", tab, c.name, x.what, x.got, x.want, c.columnType, c.extra)
			}
		}
	}
}

func orZero(s string) string {
	if s == "" {
		return "0"
	}
	return s
}

// orBinary puts in the charset that information_schema leaves out of ENUM and
// SET.
func orBinary(charset, typ string) string {
	if charset == "" && (typ == "enum" || typ == "set") {
		return "binary"
	}
	return charset
}

func srid(c *schema.Column) string {
	if !c.HasSRID {
		return ""
	}
	return strconv.Itoa(int(c.SRID))
}

// describe shows two rows where they differ, or one by its first columns.
func describe(tab *schema.Table, a, b schema.Row) string {
	var out bytes.Buffer
	var c serverColumn
	for i := range min(len(a), len(tab.Columns)) {
		col := &tab.Columns[i]
		if b == nil && i < 3 || b != nil && i < len(b) && !a[i].Equal(b[i]) || i == tab.Column("id") {
			fmt.Fprintf(&out, " %s %s %s", col.Name, a[i].Kind(), trimmed(c.spell(a[i], col)))
			if b != nil && i < len(b) && !a[i].Equal(b[i]) {
				fmt.Fprintf(&out, " and %s %s", b[i].Kind(), trimmed(c.spell(b[i], col)))
			}
			out.WriteByte(';')
		}
	}
	return out.String()
}
