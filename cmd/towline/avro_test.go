package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/towline/towline/e2e/mysqltest"
)

// avroTypes are a column of each type, and two rows of values.
var avroTypes = [][3]string{
	{"TINYINT", "-7", "0"}, {"TINYINT UNSIGNED", "200", "NULL"}, {"SMALLINT", "-300", "1"}, {"MEDIUMINT UNSIGNED", "16777215", "0"}, {"INT", "-2147483648", "2147483647"},
	{"INT UNSIGNED", "4000000000", "0"}, {"BIGINT", "-9223372036854775808", "9223372036854775807"}, {"BIGINT UNSIGNED", "18446744073709551615", "0"}, {"DECIMAL(10,2)", "12.30", "-0.01"},
	{"DECIMAL(65,30)", "-12345678901234567890123456789012345.123456789012345678901234567891", "0"}, {"FLOAT", "0.1", "-3.4e38"}, {"FLOAT(7,2)", "12345.67", "0"}, {"DOUBLE", "0.1", "-1.7976931348623157e308"},
	{"BIT(1)", "1", "0"}, {"BIT(12)", "2049", "0"}, {"BIT(64)", "b'1111111111111111111111111111111111111111111111111111111111111111'", "0"}, {"YEAR", "2024", "0"}, {"DATE", "'2024-02-29'", "'0000-00-00'"},
	{"TIME", "'-838:59:59'", "'00:00:00'"}, {"TIME(6)", "'12:34:56.000001'", "NULL"}, {"DATETIME", "'2024-02-00 12:34:56'", "'0000-00-00'"}, {"DATETIME(6)", "'9999-12-31 23:59:59.999999'", "NULL"},
	{"TIMESTAMP(3) NULL", "'2024-02-29 12:34:56.789'", "NULL"}, {"CHAR(5)", "'ab'", "''"}, {"VARCHAR(20) CHARACTER SET latin1", "'naïve'", "'x'"}, {"LONGTEXT", "'😀 \"q\" \\\\'", "''"},
	{"BINARY(4)", "x'6100'", "NULL"}, {"VARBINARY(20)", "x'00FF'", "''"}, {"LONGBLOB", "x'00FF'", "NULL"}, {"ENUM('a','b,c')", "'b,c'", "''"}, {"SET('a','b','c')", "'a,c'", "''"},
	{"JSON", `'{"a": [1, 2.5]}'`, "'null'"}, {"POINT", "ST_GeomFromText('POINT(1 2)')", "NULL"}, {"GEOMETRY SRID 4326", "ST_GeomFromText('LINESTRING(1 2, 3 4)', 4326)", "NULL"}, {"VECTOR(2)", "STRING_TO_VECTOR('[1,2.5]')", "NULL"},
}

// withAvro gives a connector file the converter avro, and more.
func withAvro(file, more string) string {
	return strings.Replace(file, `"connector.class"`, `"value.converter": "io.confluent.connect.avro.AvroConverter", "key.converter": "AvroConverter", `+more+`"connector.class"`, 1)
}

// Tables of all types go through topics in Avro, over changes of their shape and
// a kill, and the target ends with what the source has.
func TestAvroPipeline(t *testing.T) {
	srv := mysqltest.Shared(t)
	db := srv.CreateDB(t)
	to := db + "_copy"
	t.Cleanup(func() { srv.DB().Exec("DROP DATABASE IF EXISTS " + to) })
	var columns, one, two []string
	for i, c := range avroTypes {
		columns, one, two = append(columns, fmt.Sprintf("`c %d` %s", i, c[0])), append(one, c[1]), append(two, c[2])
	}
	insert := func(id int, values []string) {
		srv.Exec(t, fmt.Sprintf("SET sql_mode = 'NO_ENGINE_SUBSTITUTION'; INSERT INTO %s.`all-types` VALUES (%d, %s); SET sql_mode = DEFAULT", db, id, strings.Join(values, ", ")))
	}
	srv.Exec(t, fmt.Sprintf("CREATE TABLE %s.`all-types` (id INT PRIMARY KEY, %s); CREATE TABLE %[1]s.plain (v VARCHAR(9))", db, strings.Join(columns, ", ")))
	insert(1, one)
	s := newSandbox(t)
	p := s.serveWorker()
	s.must(201, "POST", "/connectors", withAvro(source(srv, srv.User, srv.Password, db), `"provide.transaction.metadata": "true", "include.schema.changes": "true", `))
	s.must(201, "POST", "/connectors", withAvro(target(srv, srv.User, srv.Password, to), ""))
	equal := func() {
		t.Helper()
		s.arrived()
		for _, q := range []string{"SELECT * FROM %s.`all-types` ORDER BY id", "SELECT * FROM %s.plain ORDER BY v"} {
			want, got := srv.Query(t, fmt.Sprintf(q, db)), srv.Query(t, fmt.Sprintf(q, to))
			if len(want) == 0 || !slices.EqualFunc(want, got, slices.Equal) {
				t.Fatalf("the target has\n%q\nthe source\n%q", got, want)
			}
		}
	}
	insert(2, two)
	srv.Exec(t, "INSERT INTO "+db+".plain VALUES ('a'), ('b')")
	equal()
	insert(3, one)
	srv.Exec(t, fmt.Sprintf("UPDATE %s.`all-types` SET id = 4, `c 0` = 9 WHERE id = 1; DELETE FROM %[1]s.`all-types` WHERE id = 2; DELETE FROM %[1]s.plain WHERE v = 'a'", db))
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	p.wait()
	srv.Exec(t, fmt.Sprintf("ALTER TABLE %s.`all-types` ADD COLUMN added BIGINT; UPDATE %[1]s.`all-types` SET added = id, `c 1` = NULL", db))
	p = s.serveWorker()
	equal()
	if r := p.stop(); r.code != exitOK {
		t.Errorf("exit code %d:\n%s", r.code, r.err)
	}
	t.Run("client", func(t *testing.T) { s.readByClient(t, clientOf(t, "confluent-kafka", "python")) })
}
