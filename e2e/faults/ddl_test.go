package faults

import (
	"testing"

	"github.com/towline/towline/e2e/mysqltest"
)

// ddlCases are statements that change rows without telling in the log which:
// what is there before, and what is done.
var ddlCases = []struct{ name, before, do string }{
	{"drop_partition", "CREATE TABLE drop_partition (id INT PRIMARY KEY, v INT) PARTITION BY RANGE (id) (PARTITION p0 VALUES LESS THAN (10), PARTITION p1 VALUES LESS THAN (20), PARTITION p2 VALUES LESS THAN (30)); INSERT INTO drop_partition VALUES (1,1),(11,1),(21,1)",
		"ALTER TABLE drop_partition DROP PARTITION p0; INSERT INTO drop_partition VALUES (12, 2); ALTER TABLE drop_partition TRUNCATE PARTITION p2; INSERT INTO drop_partition VALUES (22, 2)"},
	{"exchanged", "CREATE TABLE exchanged (id INT PRIMARY KEY, v INT) PARTITION BY RANGE (id) (PARTITION p0 VALUES LESS THAN (10), PARTITION p1 VALUES LESS THAN (20)); CREATE TABLE exchanged_with (id INT PRIMARY KEY, v INT); INSERT INTO exchanged VALUES (1,1),(11,1); INSERT INTO exchanged_with VALUES (12, 9)",
		"ALTER TABLE exchanged EXCHANGE PARTITION p1 WITH TABLE exchanged_with; UPDATE exchanged SET v = 8 WHERE id = 12; INSERT INTO exchanged_with VALUES (2, 2)"},
	{"reorganized", "CREATE TABLE reorganized (id INT PRIMARY KEY, v INT) PARTITION BY HASH (id) PARTITIONS 4; INSERT INTO reorganized VALUES (1,1),(2,2),(3,3)",
		"ALTER TABLE reorganized COALESCE PARTITION 2; ALTER TABLE reorganized PARTITION BY RANGE (id) (PARTITION a VALUES LESS THAN (100)); ALTER TABLE reorganized REORGANIZE PARTITION a INTO (PARTITION b VALUES LESS THAN (50), PARTITION c VALUES LESS THAN (100)); DELETE FROM reorganized WHERE id = 2; ALTER TABLE reorganized REMOVE PARTITIONING; INSERT INTO reorganized VALUES (4, 4)"},
	{"cut", "CREATE TABLE cut (id INT PRIMARY KEY, v VARCHAR(20)); INSERT INTO cut VALUES (1, 'longer than five'), (2, 'short')",
		"SET sql_mode = ''; ALTER TABLE cut MODIFY v VARCHAR(5); INSERT INTO cut VALUES (3, 'new')"},
	{"cut_key", "CREATE TABLE cut_key (id VARCHAR(20) PRIMARY KEY, v INT); INSERT INTO cut_key VALUES ('abcdef', 1), ('x', 2)",
		"SET sql_mode = ''; ALTER TABLE cut_key MODIFY id VARCHAR(3); INSERT INTO cut_key VALUES ('new', 3)"},
	{"recoded", "CREATE TABLE recoded (id INT PRIMARY KEY, v VARCHAR(20)) CHARACTER SET utf8mb4; INSERT INTO recoded VALUES (1, 'für €'), (2, '😀')",
		"SET sql_mode = ''; ALTER TABLE recoded CONVERT TO CHARACTER SET utf8mb3; INSERT INTO recoded VALUES (3, 'ü')"},
	{"clamped", "CREATE TABLE clamped (id INT PRIMARY KEY, n INT); INSERT INTO clamped VALUES (1, 300), (2, -5)",
		"SET sql_mode = ''; ALTER TABLE clamped MODIFY n TINYINT UNSIGNED; INSERT INTO clamped VALUES (3, 200)"},
	{"defaults", "CREATE TABLE defaults (id INT PRIMARY KEY); INSERT INTO defaults VALUES (1), (2)",
		"ALTER TABLE defaults ADD COLUMN a INT NOT NULL DEFAULT 7, ALGORITHM = INSTANT; INSERT INTO defaults (id) VALUES (3); ALTER TABLE defaults ADD COLUMN b VARCHAR(9) DEFAULT 'b' FIRST, ALGORITHM = INSTANT; ALTER TABLE defaults ADD COLUMN c DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP; UPDATE defaults SET a = 8 WHERE id = 2; ALTER TABLE defaults ADD COLUMN n INT NOT NULL AUTO_INCREMENT UNIQUE; ALTER TABLE defaults ALTER a SET DEFAULT 99; INSERT INTO defaults (id) VALUES (4)"},
	{"hidden", "CREATE TABLE hidden (id INT PRIMARY KEY, j JSON, s INT INVISIBLE); INSERT INTO hidden (id, j, s) VALUES (1, '[1,2]', 5)",
		"ALTER TABLE hidden ADD INDEX f ((id * 2)), ADD INDEX mv ((CAST(j AS UNSIGNED ARRAY))); INSERT INTO hidden (id, j) VALUES (2, '[3]'); ALTER TABLE hidden ALTER COLUMN s SET VISIBLE; INSERT INTO hidden VALUES (3, '[7, 8]', 3); ALTER TABLE hidden DROP INDEX f; UPDATE hidden SET j = '[9]'"},
	{"computed", "CREATE TABLE computed (id INT PRIMARY KEY, a INT, g INT AS (a * 2) STORED, w INT AS (a + 1) VIRTUAL); INSERT INTO computed (id, a) VALUES (1, 1), (2, 2)",
		"UPDATE computed SET a = 5 WHERE id = 1; ALTER TABLE computed MODIFY g INT AS (a * 3) STORED; INSERT INTO computed (id, a) VALUES (3, 3); ALTER TABLE computed ADD COLUMN z INT AS (a * 10) VIRTUAL; UPDATE computed SET a = a + 1"},
	{"keyless", "SET sql_generate_invisible_primary_key = ON; CREATE TABLE keyless (v INT); INSERT INTO keyless VALUES (1), (1), (2)",
		"DELETE FROM keyless WHERE v = 1 LIMIT 1; INSERT INTO keyless VALUES (3)"},
	{"vectors", "CREATE TABLE vectors (id INT PRIMARY KEY); INSERT INTO vectors VALUES (1)",
		"ALTER TABLE vectors ADD COLUMN v VECTOR(3); INSERT INTO vectors VALUES (2, STRING_TO_VECTOR('[1,2,3]')); UPDATE vectors SET v = STRING_TO_VECTOR('[4,5,6]')"},
	{"swap_a", "CREATE TABLE swap_a (id INT PRIMARY KEY, v INT); CREATE TABLE swap_b (id INT PRIMARY KEY, w VARCHAR(9)); INSERT INTO swap_a VALUES (1, 1); INSERT INTO swap_b VALUES (1, 'b'), (2, 'b')",
		"UPDATE swap_a SET v = 2; RENAME TABLE swap_a TO swap_tmp, swap_b TO swap_a, swap_tmp TO swap_b; INSERT INTO swap_a VALUES (3, 'x'); UPDATE swap_b SET v = 3"},
	{"chain_a", "CREATE TABLE chain_a (id INT PRIMARY KEY, v INT); CREATE TABLE chain_c (id INT PRIMARY KEY, v INT); INSERT INTO chain_a VALUES (1, 1); INSERT INTO chain_c VALUES (2, 2)",
		"RENAME TABLE chain_a TO chain_b, chain_c TO chain_a; INSERT INTO chain_a VALUES (3, 3); ALTER TABLE chain_b RENAME TO chain_d, ADD COLUMN n INT DEFAULT 4; DELETE FROM chain_d"},
	{"again", "CREATE TABLE again (id INT PRIMARY KEY, v INT); INSERT INTO again VALUES (1, 1)",
		"DROP TABLE again; CREATE TABLE again (id INT PRIMARY KEY, v INT); INSERT INTO again VALUES (2, 2)"},
	{"columns_swap", "CREATE TABLE columns_swap (id INT PRIMARY KEY, a INT, b INT); INSERT INTO columns_swap VALUES (1, 10, 20)",
		"ALTER TABLE columns_swap RENAME COLUMN a TO b, RENAME COLUMN b TO a; INSERT INTO columns_swap (id, a, b) VALUES (2, 1, 2); ALTER TABLE columns_swap DROP COLUMN a; ALTER TABLE columns_swap ADD COLUMN a INT DEFAULT 5; INSERT INTO columns_swap (id) VALUES (3)"},
	{"enums", "CREATE TABLE enums (id INT PRIMARY KEY, e ENUM('a','b')); INSERT INTO enums VALUES (1, 'a'), (2, 'b')",
		"ALTER TABLE enums MODIFY e ENUM('a','b','c'); INSERT INTO enums VALUES (3, 'c')"},
	{"imported", "CREATE TABLE imported (id INT PRIMARY KEY, v INT); CREATE TABLE import_from (id INT PRIMARY KEY, v INT); INSERT INTO imported VALUES (1, 1), (2, 2); INSERT INTO import_from VALUES (2, 20), (3, 30)",
		"ALTER TABLE imported DISCARD TABLESPACE; FLUSH TABLES import_from FOR EXPORT; " +
			"SET @copy = CONCAT('SELECT LOAD_FILE(''', @@datadir, DATABASE(), '/import_from.ibd'') INTO DUMPFILE ''', @@datadir, DATABASE(), '/imported.ibd'''); PREPARE c FROM @copy; EXECUTE c; UNLOCK TABLES; " +
			"ALTER TABLE imported IMPORT TABLESPACE; INSERT INTO imported VALUES (4, 4)"},
	{"selected", "CREATE TABLE selected_from (id INT PRIMARY KEY, v INT); INSERT INTO selected_from VALUES (1, 1)",
		"CREATE TABLE selected (PRIMARY KEY (id)) SELECT * FROM selected_from; INSERT INTO selected VALUES (2, 2)"},
}

// After any statement that changes rows behind the log's back the target
// becomes what the source is.
func TestDDL(t *testing.T) {
	for _, c := range []struct {
		name  string
		flags []mysqltest.Option
		sink  map[string]string
	}{
		{"minimal", nil, nil},
		{"full metadata", []mysqltest.Option{mysqltest.Flags("--binlog-row-metadata=FULL")}, nil},
		{"full evolution", nil, map[string]string{"schema.evolution": "full"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, options{rows: 10, load: light(), noLedger: true, sourceFlags: c.flags, sink: c.sink})
			use := func(q string) { r.source.Exec(t, "USE "+database+"; SET sql_mode = DEFAULT; "+q) }
			for _, c := range ddlCases {
				use(c.before)
			}
			r.start()
			if err := r.proc.Wait(t.Context(), patience); err != nil {
				t.Fatal(err)
			}
			for _, c := range ddlCases {
				use(c.do)
			}
			if err := r.proc.Wait(t.Context(), patience); err != nil {
				t.Fatal(err)
			}
			r.equal()
		})
	}
}
