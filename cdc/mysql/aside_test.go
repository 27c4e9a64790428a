package mysql

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/e2e/mysqltest"
	"github.com/towline/towline/schema"
)

var uuidText = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f-]{27}:\d+|file=[a-z.0-9]+,pos=\d+`)

// asides returns what is told beside rows: messages, and the places of rows in
// their transactions.
func asides(b *connect.Batch) (list []string) {
	for i := range b.Records {
		r := &b.Records[i]
		if kind, key, value, ok := r.Message(); ok {
			list = append(list, fmt.Sprintf("%s %s %s %s", r.Topic, kind, key, value))
			if !json.Valid(key) || !json.Valid(value) {
				list = append(list, "which is not JSON")
			}
		}
		for _, h := range r.Headers {
			if h.Key == connect.HeaderTransaction {
				list = append(list, fmt.Sprintf("%c %s %s", r.Op, r.Table.Name, h.Value))
			}
		}
	}
	ids := map[string]string{}
	for i := range list {
		list[i] = uuidText.ReplaceAllStringFunc(list[i], func(id string) string {
			if ids[id] == "" {
				ids[id] = fmt.Sprintf("ID%d", len(ids)+1)
			}
			return ids[id]
		})
		list[i] = regexp.MustCompile(`"ts_ms":1\d{12}`).ReplaceAllString(list[i], `"ts_ms":NOW`)
	}
	return list
}

// collect reads what the server has logged into one batch that keeps all.
func collect(t *testing.T, r *rig, s *Source) *connect.Batch {
	t.Helper()
	e, err := NewEditor(r.config(), r.env())
	if err != nil {
		t.Fatal(err)
	}
	head, err := s.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var all connect.Batch
	for all.Pos == nil || !Covers(all.Pos, head) {
		b := new(connect.Batch) // what it holds is kept
		err := s.Read(t.Context(), b)
		if err == nil {
			err = e.Edit(b)
		}
		if err != nil {
			t.Fatal(err)
		}
		all.Records, all.Pos = append(all.Records, b.Records...), b.Pos
	}
	return &all
}

func TestTransactionMetadata(t *testing.T) {
	for _, c := range []struct {
		name string
		opts []mysqltest.Option
	}{{"gtid", nil}, {"file", []mysqltest.Option{mysqltest.NoGTID()}}} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, mysqltest.Start(t, c.opts...))
			r.exec(t, "CREATE TABLE a (id INT PRIMARY KEY); CREATE TABLE `b\"\\` (id INT PRIMARY KEY); CREATE TABLE other (id INT PRIMARY KEY)")
			r.values[optMetadata], r.values[optTableExclude], r.values[optSkipped] = "true", ".*other", "t"
			s := r.open(t, nil, nil)
			r.exec(t, "BEGIN; INSERT INTO a VALUES (1), (2); INSERT INTO other VALUES (1); INSERT INTO `b\"\\` VALUES (1); UPDATE a SET id = 3 WHERE id = 2; COMMIT; INSERT INTO other VALUES (2); TRUNCATE a; DELETE FROM `b\"\\`")
			b := collect(t, r, s)
			collection := func(name string, n int) string {
				return fmt.Sprintf(`{"data_collection":%s,"event_count":%d}`, appendJSON(nil, r.db+"."+name), n)
			}
			diff(t, asides(b), []string{
				`p.transaction transaction {"id":"ID1"} {"status":"BEGIN","id":"ID1","event_count":null,"data_collections":null,"ts_ms":NOW}`,
				`c a {"id":"ID1","total_order":1,"data_collection_order":1}`,
				`c a {"id":"ID1","total_order":2,"data_collection_order":2}`,
				`c b"\ {"id":"ID1","total_order":3,"data_collection_order":1}`,
				`d a {"id":"ID1","total_order":4,"data_collection_order":3}`,
				`c a {"id":"ID1","total_order":5,"data_collection_order":4}`,
				`p.transaction transaction {"id":"ID1"} {"status":"END","id":"ID1","event_count":5,"data_collections":[` + collection("a", 4) + "," + collection(`b"\`, 1) + `],"ts_ms":NOW}`,
				`p.transaction transaction {"id":"ID2"} {"status":"BEGIN","id":"ID2","event_count":null,"data_collections":null,"ts_ms":NOW}`,
				`d b"\ {"id":"ID2","total_order":1,"data_collection_order":1}`,
				`p.transaction transaction {"id":"ID2"} {"status":"END","id":"ID2","event_count":1,"data_collections":[` + collection(`b"\`, 1) + `],"ts_ms":NOW}`,
			})
			seq := uint64(0)
			for i := range b.Records {
				if b.Records[i].Seq < seq {
					t.Errorf("record %d has seq %d after %d", i, b.Records[i].Seq, seq)
				}
				seq = b.Records[i].Seq
			}
		})
	}
}

// A transaction of many batches has one begin and one end, and so has one
// whose last change is skipped.
func TestTransactionOfManyBatches(t *testing.T) {
	s := table(t, &schema.Table{Columns: []schema.Column{text("id", 64)}, Key: []int{0}, Primary: true})
	e := editor(t, map[string]string{optMetadata: "true", optPrefix: "p", optSkipped: "d"})
	batch := func(seq, rows int, last connect.Op, pos bool) *connect.Batch {
		b := &connect.Batch{}
		for i := range rows {
			r := b.Add()
			r.Op, r.Table, r.After, r.Seq, r.Origin = connect.OpInsert, s, schema.Row{schema.MakeString("x")}, uint64(seq+i), &connect.Origin{GNO: 7}
			if i == rows-1 {
				r.Op = last
				if pos {
					r.Flags, b.Pos = connect.TxEnd, []byte{1}
				}
			}
		}
		if err := e.Edit(b); err != nil {
			t.Fatal(err)
		}
		return b
	}
	count := func(b *connect.Batch, what string) int { return strings.Count(strings.Join(asides(b), "\n"), what) }
	one, two, three := batch(1, 3, connect.OpInsert, false), batch(4, 2, connect.OpInsert, false), batch(6, 1, connect.OpDelete, true)
	if count(one, "BEGIN") != 1 || count(two, "BEGIN")+count(three, "BEGIN") != 0 || count(one, "END")+count(two, "END") != 0 {
		t.Errorf("%q %q %q", asides(one), asides(two), asides(three))
	}
	if one.Records[0].Seq != 0 { // of the change before: read again, it is dropped with the first change
		t.Errorf("the begin has seq %d", one.Records[0].Seq)
	}
	if count(three, `"END","id":"ID1","event_count":5`) != 1 || three.Records[0].Seq != 5 || three.Records[0].Flags != connect.TxEnd {
		t.Errorf("%q", asides(three))
	}
	four := batch(7, 1, connect.OpInsert, true)
	if count(four, "BEGIN") != 1 || count(four, `"END","id":"ID1","event_count":1`) != 1 {
		t.Errorf("%q", asides(four))
	}
	// What was open when the stream broke is read again from its start.
	batch(8, 2, connect.OpInsert, false)
	e.Reset()
	if again := batch(8, 2, connect.OpInsert, true); count(again, "BEGIN") != 1 || count(again, `"END","id":"ID1","event_count":2`) != 1 {
		t.Errorf("%q", asides(again))
	}
}

// Counting the changes of transactions allocates nothing for a row.
func TestMetadataDoesNotAllocate(t *testing.T) {
	s := table(t, &schema.Table{Columns: []schema.Column{text("id", 64)}, Key: []int{0}, Primary: true})
	e := editor(t, map[string]string{optMetadata: "true", optPrefix: "p"})
	var b connect.Batch
	origin := &connect.Origin{GNO: 7}
	run := func() {
		b.Reset()
		for i := range 300 {
			r := b.Add()
			r.Op, r.Table, r.After, r.Seq, r.Origin = connect.OpInsert, s, b.NewRow(1), uint64(i+1), origin
			if i%3 == 2 {
				r.Flags = connect.TxEnd
			}
		}
		if err := e.Edit(&b); err != nil || len(b.Records) != 500 {
			t.Fatal(len(b.Records), err)
		}
	}
	run()
	if n := testing.AllocsPerRun(10, run); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestHeartbeats(t *testing.T) {
	r := newRig(t, mysqltest.Shared(t))
	r.exec(t, "CREATE TABLE beats (id INT PRIMARY KEY, n INT); INSERT INTO beats VALUES (1, 0)")
	r.values[optHeartbeat], r.values[optPrefix], r.values[optActionQuery] = "1", "a.b", "UPDATE "+quoteName(r.db)+".beats SET n = n + 1"
	e, err := NewEditor(r.config(), r.env())
	if err != nil {
		t.Fatal(err)
	}
	s := r.open(t, nil, nil)
	beats, changes := 0, 0
	for b := new(connect.Batch); beats < 3 || changes < 3; b.Reset() { // the statement changes rows, which wake the stream
		if err := errors.Join(s.Read(t.Context(), b), e.Edit(b)); err != nil {
			t.Fatal(err)
		}
		for i := range b.Records {
			if b.Records[i].Op == connect.OpUpdate {
				changes++
			}
		}
		for _, a := range asides(b) {
			if beats++; a != `__debezium-heartbeat.a.b heartbeat {"serverName":"a.b"} {"ts_ms":NOW}` {
				t.Fatalf("%q", a)
			}
		}
	}
	if faults := Validate(connect.NewConfig("c", Options(), map[string]string{optActionQuery: "SELECT 1"})); len(faults) != 1 {
		t.Errorf("%v", faults)
	}
}

func TestSchemaChanges(t *testing.T) {
	r := newRig(t, mysqltest.Shared(t))
	r.exec(t, "CREATE TABLE old (id INT PRIMARY KEY)")
	r.values[optSchemas], r.values[optColumnExclude], r.values[optTableExclude] = "true", `.*\.secret`, `.*\.other`
	s := r.open(t, nil, nil)
	statements := []string{
		"CREATE TABLE t (id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY, d DECIMAL(10,2) NOT NULL, secret INT, e ENUM('x','y'), v VARCHAR(20) CHARACTER SET latin1, g INT AS (d + 1)) CHARSET utf8mb4",
		"ALTER TABLE old ADD COLUMN ts TIMESTAMP(3) NULL",
		"TRUNCATE TABLE t", "RENAME TABLE t TO u", "DROP TABLE u", "CREATE TABLE other (id INT)", "CREATE INDEX i ON old (ts)",
	}
	for _, q := range statements {
		r.exec(t, q)
	}
	var got []string
	for i, b := 0, collect(t, r, s); i < len(b.Records); i++ {
		kind, key, value, ok := b.Records[i].Message()
		if !ok {
			continue
		}
		var m schemaChange
		if err := json.Unmarshal(value, &m); err != nil || kind != connect.KindSchemaChange || b.Records[i].Topic != "p" || string(key) != fmt.Sprintf(`{"databaseName":%q}`, r.db) {
			t.Fatalf("%s: %s, %v", key, value, err)
		}
		if m.Database != r.db || m.Source.Database != r.db || m.Source.GTID == nil || m.Source.Micros == 0 || m.Time == 0 {
			t.Errorf("%s", value)
		}
		text := m.DDL[:min(len(m.DDL), 10)] + ":"
		for _, c := range m.TableChanges {
			text += " " + c.Type + " " + strings.ReplaceAll(c.ID, r.db, "db")
			if c.Table == nil {
				continue
			}
			text += fmt.Sprintf(" %s %v", c.Table.Charset, c.Table.Key)
			for _, col := range c.Table.Columns {
				text += fmt.Sprintf(" %d:%s=%s/%d", col.Position, col.Name, col.TypeName, col.JDBCType)
				if col.Length != nil {
					text += fmt.Sprintf("(%d)", *col.Length)
				}
				text += map[bool]string{true: "?"}[col.Optional] + map[bool]string{true: "+"}[col.AutoIncrement] + map[bool]string{true: "="}[col.Generated] + strings.Join(col.Elements, "|")
			}
		}
		got = append(got, text)
	}
	columns := ` [id] 1:id=BIGINT UNSIGNED/-5+ 2:d=DECIMAL/3(10) 3:e=ENUM/1?x|y 4:v=VARCHAR/12(20)? 5:g=INT/4?=`
	old := ` [id] 1:id=INT/4 2:ts=TIMESTAMP/2014(3)?`
	diff(t, got, []string{`CREATE TAB: CREATE "db"."t" utf8mb4` + columns, `ALTER TABL: ALTER "db"."old" utf8mb4` + old, "TRUNCATE T:",
		`RENAME TAB: DROP "db"."t" ALTER "db"."u" utf8mb4` + columns, `DROP TABLE: DROP "db"."u"`, `CREATE IND: ALTER "db"."old" utf8mb4` + old})
}

// A table that is renamed is gone under its old name and changed under its new
// one; what a swap leaves under each name is changed, in the order of the
// statement, and the name on the way is not told of.
func TestSchemaChangesOfRenames(t *testing.T) {
	r := newRig(t, mysqltest.Shared(t))
	r.exec(t, "CREATE TABLE a (x INT PRIMARY KEY); CREATE TABLE b (y INT PRIMARY KEY)")
	r.values[optSchemas] = "true"
	s := r.open(t, nil, nil)
	r.exec(t, "RENAME TABLE a TO t, b TO a, t TO b; RENAME TABLE a TO c; ALTER TABLE c RENAME TO d, ADD z INT; RENAME TABLE b TO old, d TO b")
	var got []string
	for i, b := 0, collect(t, r, s); i < len(b.Records); i++ {
		kind, _, value, ok := b.Records[i].Message()
		if !ok || kind != connect.KindSchemaChange {
			continue
		}
		var m schemaChange
		if err := json.Unmarshal(value, &m); err != nil {
			t.Fatal(err)
		}
		text := m.DDL + ":"
		for _, c := range m.TableChanges {
			text += " " + c.Type + " " + strings.ReplaceAll(c.ID, r.db, "db")
			if c.Table == nil {
				continue
			}
			for _, col := range c.Table.Columns {
				text += " " + col.Name
			}
		}
		got = append(got, text)
	}
	diff(t, got, []string{
		`RENAME TABLE a TO t, b TO a, t TO b: ALTER "db"."a" y ALTER "db"."b" x`,
		`RENAME TABLE a TO c: DROP "db"."a" ALTER "db"."c" y`,
		`ALTER TABLE c RENAME TO d, ADD z INT: ALTER "db"."d" y z DROP "db"."c"`,
		`RENAME TABLE b TO old, d TO b: ALTER "db"."b" y z ALTER "db"."old" x DROP "db"."d"`,
	})
}

func TestQueries(t *testing.T) {
	r := newRig(t, mysqltest.Start(t, mysqltest.Flags("--binlog-rows-query-log-events=ON")))
	r.exec(t, "CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(20))")
	r.values[optQuery] = "true"
	s := r.open(t, nil, nil)
	r.exec(t, "SET GLOBAL binlog_transaction_compression = ON; INSERT INTO t VALUES (1, 'ü')")
	r.exec(t, "INSERT INTO t /* \" */ VALUES (2, 'ü'), (3, NULL); BEGIN; UPDATE t SET v = 'x' WHERE id = 1; DELETE FROM t WHERE id = 2; COMMIT; SET binlog_rows_query_log_events = OFF; DELETE FROM t")
	var got []string
	for i, b := 0, collect(t, r, s); i < len(b.Records); i++ {
		got = append(got, fmt.Sprintf("%c %s", b.Records[i].Op, b.Records[i].Origin.Query))
	}
	diff(t, got, []string{"c INSERT INTO t VALUES (1, 'ü')", `c INSERT INTO t /* " */ VALUES (2, 'ü'), (3, NULL)`, `c INSERT INTO t /* " */ VALUES (2, 'ü'), (3, NULL)`,
		"u UPDATE t SET v = 'x' WHERE id = 1", "d DELETE FROM t WHERE id = 2", "d ", "d "})
	for _, values := range []map[string]string{{optColumnExclude: "a"}, {"column.mask.with.1.chars": "a"}} {
		values[optQuery] = "true"
		if faults := Validate(connect.NewConfig("c", Options(), values)); len(faults) != 1 || faults[0].Key != optQuery {
			t.Errorf("%v", faults)
		}
	}
}
