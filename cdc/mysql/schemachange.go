package mysql

import (
	"context"
	"encoding/json"
	"runtime/debug"
	"strings"
	"time"

	"github.com/towline/towline/cdc/binlog"
	"github.com/towline/towline/connect"
	"github.com/towline/towline/schema"
	"github.com/towline/towline/schema/ddl"
)

// schemaChange is the message of a DDL statement, in Debezium's form.
type schemaChange struct {
	Source       changeSource  `json:"source"`
	Time         int64         `json:"ts_ms"`
	Database     string        `json:"databaseName"`
	Schema       *string       `json:"schemaName"`
	DDL          string        `json:"ddl"`
	TableChanges []tableChange `json:"tableChanges"`
}

type changeSource struct {
	Version   string  `json:"version"`
	Connector string  `json:"connector"`
	Name      string  `json:"name"`
	Millis    int64   `json:"ts_ms"`
	Snapshot  string  `json:"snapshot"`
	Database  string  `json:"db"`
	Sequence  *string `json:"sequence"`
	Micros    int64   `json:"ts_us"`
	Nanos     int64   `json:"ts_ns"`
	Table     *string `json:"table"`
	ServerID  uint32  `json:"server_id"`
	GTID      *string `json:"gtid"`
	File      string  `json:"file"`
	Pos       uint64  `json:"pos"`
	Row       int     `json:"row"`
	Thread    *uint32 `json:"thread"`
	Query     *string `json:"query"`
}

// tableChange is a table as a statement has left it; without a Table it is
// gone.
type tableChange struct {
	Type  string       `json:"type"`
	ID    string       `json:"id"`
	Table *changeTable `json:"table"`
}

type changeTable struct {
	Charset string         `json:"defaultCharsetName"`
	Key     []string       `json:"primaryKeyColumnNames"`
	Columns []changeColumn `json:"columns"`
}

type changeColumn struct {
	Name          string   `json:"name"`
	JDBCType      int      `json:"jdbcType"`
	NativeType    *int     `json:"nativeType"`
	TypeName      string   `json:"typeName"`
	Expression    string   `json:"typeExpression"`
	Charset       *string  `json:"charsetName"`
	Length        *int     `json:"length"`
	Scale         *int     `json:"scale"`
	Position      int      `json:"position"`
	Optional      bool     `json:"optional"`
	AutoIncrement bool     `json:"autoIncremented"`
	Generated     bool     `json:"generated"`
	Elements      []string `json:"enumValues"`
}

// announce makes the messages of a statement whose outcomes were taken over:
// one for each of its databases. were says which tables there were before.
func (q *sequencer) announce(ctx context.Context, h *binlog.Header, outcomes []ddl.Outcome, were map[tableName]bool, text string) error {
	var messages []*schemaChange
	for i := range outcomes {
		o := &outcomes[i]
		n := tableName{o.Name.Database, o.Name.Table}
		if n.table == "" && !q.s.filter.database(n.db) || n.table != "" && !q.s.filter.table(n.db, n.table) {
			continue
		}
		var m *schemaChange
		for _, known := range messages {
			if known.Database == n.db {
				m = known
			}
		}
		if m == nil {
			m = &schemaChange{Source: q.changeSource(h, n.db), Time: time.Now().UnixMilli(), Database: n.db, DDL: text, TableChanges: []tableChange{}}
			messages = append(messages, m)
		}
		if c, ok := q.tableChange(o, n, were[n]); ok {
			m.TableChanges = append(m.TableChanges, c)
			m.Source.Table = &n.table
		}
	}
	for _, m := range messages {
		key, err := json.Marshal(map[string]string{"databaseName": m.Database})
		if err != nil {
			return err
		}
		value, err := json.Marshal(m)
		if err != nil {
			return err
		}
		if err := q.add(ctx, task{op: connect.OpMessage, kind: connect.KindSchemaChange, key: key, value: value, topic: q.s.topics.prefix}, h, len(value)); err != nil {
			return err
		}
	}
	return nil
}

// tableChange returns what a statement did to one table; ok is false if that
// is not about its shape.
func (q *sequencer) tableChange(o *ddl.Outcome, n tableName, was bool) (c tableChange, ok bool) {
	c.ID = quoteID(n.db) + "." + quoteID(n.table)
	switch {
	case n.table == "" || o.Err != nil || o.Def != nil && o.Effect&ddl.Empties != 0 && was && o.From == nil:
		return c, false
	case o.Def == nil:
		c.Type = "DROP"
		return c, was
	case was || o.From != nil:
		c.Type = "ALTER"
	default:
		c.Type = "CREATE"
	}
	t := q.shapes.shown(n)
	if t == nil {
		return c, false
	}
	c.Table = &changeTable{Charset: o.Def.Charset, Key: []string{}, Columns: make([]changeColumn, len(t.Columns))}
	if t.Primary {
		for _, k := range t.Key {
			c.Table.Key = append(c.Table.Key, t.Columns[k].Name)
		}
	}
	for i := range t.Columns {
		c.Table.Columns[i] = describeColumn(&t.Columns[i], i+1)
	}
	return c, true
}

func quoteID(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// jdbcTypes are Java's numbers of types, as Debezium gives them.
var jdbcTypes = map[schema.Type]int{schema.TypeTinyInt: 5, schema.TypeSmallInt: 5, schema.TypeMediumInt: 4, schema.TypeInt: 4, schema.TypeBigInt: -5,
	schema.TypeFloat: 6, schema.TypeDouble: 8, schema.TypeDecimal: 3, schema.TypeBit: -7, schema.TypeYear: 4, schema.TypeDate: 91, schema.TypeTime: 92,
	schema.TypeDateTime: 93, schema.TypeTimestamp: 2014, schema.TypeChar: 1, schema.TypeVarchar: 12, schema.TypeTinyText: 12, schema.TypeText: 12,
	schema.TypeMediumText: 12, schema.TypeLongText: 12, schema.TypeBinary: -2, schema.TypeVarbinary: -3, schema.TypeTinyBlob: 2004, schema.TypeBlob: 2004,
	schema.TypeMediumBlob: 2004, schema.TypeLongBlob: 2004, schema.TypeEnum: 1, schema.TypeSet: 1}

const jdbcOther = 1111

func describeColumn(c *schema.Column, position int) changeColumn {
	d := changeColumn{Name: c.Name, JDBCType: jdbcOther, TypeName: strings.ToUpper(c.Type.String()), Position: position,
		Optional: c.Nullable, AutoIncrement: c.AutoIncrement, Generated: c.Generated, Elements: c.Elements}
	if n, ok := jdbcTypes[c.Type]; ok {
		d.JDBCType = n
	}
	if c.Unsigned {
		d.TypeName += " UNSIGNED"
	}
	if c.Zerofill {
		d.TypeName += " ZEROFILL"
	}
	d.Expression = d.TypeName
	if c.Charset != "" {
		d.Charset = &c.Charset
	}
	switch {
	case c.Type == schema.TypeDecimal:
		d.Length, d.Scale = &c.Precision, &c.Scale
	case c.Length > 0:
		d.Length = &c.Length
	case c.Type == schema.TypeTime || c.Type == schema.TypeDateTime || c.Type == schema.TypeTimestamp:
		d.Length = &c.Scale
	}
	return d
}

func (q *sequencer) changeSource(h *binlog.Header, db string) changeSource {
	s := changeSource{Version: buildVersion(), Connector: "mysql", Name: q.s.topics.prefix, Millis: q.tx.commit / 1000, Snapshot: "false", Database: db,
		Micros: q.tx.commit, Nanos: q.tx.commit * 1000, ServerID: h.ServerID, File: q.file, Pos: q.offset}
	if q.tx.gtid.GNO != 0 {
		o := connect.Origin{SID: q.tx.gtid.SID, Tag: q.tx.gtid.Tag, GNO: q.tx.gtid.GNO}
		text := string(o.AppendGTID(nil))
		s.GTID = &text
	}
	if q.tx.thread != 0 {
		s.Thread = &q.tx.thread
	}
	return s
}

// buildVersion returns the version of this program.
func buildVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return strings.TrimPrefix(info.Main.Version, "v")
	}
	return "(devel)"
}
