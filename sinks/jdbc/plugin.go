package jdbc

import (
	"fmt"
	"slices"
	"strings"

	"github.com/go-sql-driver/mysql"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/schema"
)

// Values of insert.mode and pk.mode.
const (
	modeInsert = "insert"
	modeUpsert = "upsert"
	modeUpdate = "update"

	keyNone   = "none"
	keyRecord = "record_key"
	keyValue  = "record_value"
)

// Plugin is the sink's plug-in.
func Plugin() connect.Plugin {
	return connect.Plugin{
		Name: "jdbc",
		Aliases: []string{"io.confluent.connect.jdbc.JdbcSinkConnector", "io.debezium.connector.jdbc.JdbcSinkConnector",
			"io.aiven.connect.jdbc.JdbcSinkConnector"},
		Doc:      "Writes changes to the tables of a MySQL server, each exactly once.",
		Options:  options(),
		Sink:     newSink,
		Lanes:    4,
		Check:    check,
		Validate: validate,
		Barriers: true,

		NeedsSchemas: needsSchemas,
	}
}

func options() []connect.Option {
	return append(connectionOptions(), writeOptions()...)
}

func connectionOptions() []connect.Option {
	return []connect.Option{
		{Name: "connection.url", Type: connect.TypeString, Required: true, Importance: connect.High, Group: "Connection",
			Doc: "The MySQL server to write to: `jdbc:mysql://host:port/database`, `mysql://user:password@host:port/database` or `user:password@tcp(host:port)/database`. " +
				"The first two take the parameters `sslMode` (`DISABLED`, `PREFERRED`, `REQUIRED`, `VERIFY_CA`, `VERIFY_IDENTITY`), `ssl-ca`, `ssl-cert`, `ssl-key`, " +
				"`connectTimeout`, `socketTimeout` and `useCompression`. Without a database each table goes to a database of the name it has at the source.",
			Check: func(v string) error { _, err := parseURL(v, "", ""); return err }},
		{Name: "connection.user", Aliases: []string{"connection.username"}, Type: connect.TypeString, Importance: connect.High, Group: "Connection",
			Doc: "The user to connect as."},
		{Name: "connection.password", Type: connect.TypePassword, Importance: connect.High, Group: "Connection",
			Doc: "The user's password."},
		{Name: "offsets.table", Type: connect.TypeString, Default: "_towline_offsets", Importance: connect.Low, Group: "Connection",
			Doc: "The table in the target that remembers how far each topic is written, in the same transactions as the rows: `table` or `database.table`. " +
				"It is created in the database of `connection.url`, or in the database `towline` where the URL has none."},
	}
}

func writeOptions() []connect.Option {
	return []connect.Option{
		{Name: "insert.mode", Type: connect.TypeString, Default: modeUpsert, Values: []string{modeInsert, modeUpsert, modeUpdate}, Importance: connect.High, Group: "Writes",
			Doc: "`upsert` makes the target's rows those of the source. `insert` inserts a row for each insert and each update. `update` changes the rows that are there and ignores others."},
		{Name: "pk.mode", Aliases: []string{"primary.key.mode"}, Type: connect.TypeString, Default: keyRecord,
			Values: []string{keyNone, keyRecord, keyValue, "kafka", "record_header"}, Importance: connect.High, Group: "Writes",
			Doc: "What identifies a row: `record_key`, the source table's key (or those of its columns that `pk.fields` names); `record_value`, the columns of `pk.fields`; " +
				"`none`, nothing: rows are appended, which takes `insert.mode=insert`. `kafka` and `record_header` are not supported. " +
				"With `record_key`, rows of tables without a key are found by all of their columns."},
		{Name: "pk.fields", Aliases: []string{"primary.key.fields"}, Type: connect.TypeList, Importance: connect.Medium, Group: "Writes",
			Doc: "The columns that identify a row, where it is not the source table's key that does. The target's table needs a primary or unique key over them."},
		{Name: "delete.enabled", Type: connect.TypeBoolean, Default: "true", Importance: connect.Medium, Group: "Writes",
			Doc: "Whether rows that are deleted at the source are deleted in the target. (Other sinks do not unless told to.)"},
		{Name: "truncate.enabled", Type: connect.TypeBoolean, Default: "true", Importance: connect.Medium, Group: "Writes",
			Doc: "Whether a table that is truncated at the source is emptied in the target. (Other sinks do not unless told to.)"},
		{Name: "drop.mode", Type: connect.TypeString, Values: []string{dropIgnore, dropEmpty, dropTable}, Importance: connect.Medium, Group: "Writes",
			Doc: "What becomes of the target's table when the source drops or renames its table: `drop` drops it, which takes `value.converter=frame`, `empty` empties it, `ignore` leaves it as it is, with rows that a new table of the name would meet. " +
				"The default is `drop` with `schema.evolution=full`, else `empty`; `ignore` with `truncate.enabled=false`. A renamed table is copied anew under its new name."},
		{Name: "batch.size", Type: connect.TypeInt, Default: "3000", Min: 1, Max: 100000, Importance: connect.Medium, Group: "Writes",
			Doc: "The most rows in one statement. Statements also end at about 1 MiB."},
		{Name: "table.name.format", Aliases: []string{"collection.name.format"}, Type: connect.TypeString, Importance: connect.Medium, Group: "Tables",
			Doc: "The name of the target's table, made of text and the variables `${topic}`, `${database}` and `${table}` (also as `${source.database}`, `${source.db}`, `${source.table}`). " +
				"A dot outside of variables divides database and table. The default is `${table}` where `connection.url` has a database, else `${database}.${table}`.",
			Check: func(v string) error { _, err := parseTemplate(v); return err }},
		{Name: "schema.evolution", Type: connect.TypeString, Default: evolveBasic, Values: []string{evolveNone, evolveValidate, evolveBasic, evolveFull}, Importance: connect.Medium, Group: "Tables",
			Doc: "What to do where a table does not take the source's rows: `basic` creates databases and tables, adds columns, renames and widens them, and never drops or narrows any; " +
				"`full` does all that the source does: it also drops, narrows, converts and moves columns and changes keys, but leaves alone what only the target has, and takes `value.converter=frame`; " +
				"`validate-only` fails and says which statements are needed; `none` leaves it to the server to refuse rows."},
		{Name: "auto.create", Type: connect.TypeBoolean, Importance: connect.Low, Group: "Tables",
			Doc: "Another sink's way to say `schema.evolution=basic` or, where `auto.evolve` is `false` too, `none`."},
		{Name: "auto.evolve", Type: connect.TypeBoolean, Importance: connect.Low, Group: "Tables",
			Doc: "See `auto.create`."},
		{Name: "field.include.list", Type: connect.TypeList, Importance: connect.Low, Group: "Tables",
			Aliases: []string{"fields.whitelist"},
			Doc:     "The columns to write; all if there are none. Columns of the key are always written."},
		{Name: "field.exclude.list", Type: connect.TypeList, Importance: connect.Low, Group: "Tables",
			Doc: "The columns not to write."},
	}
}

// settings is a configuration that has been read.
type settings struct {
	mode      string
	keyMode   string
	keyFields []string
	deletes   bool
	truncates bool
	drops     string
	batch     int
	format    template
	database  string // of the URL
	evolution string
	offsets   name
	include   []string
	exclude   []string
}

func validate(cfg connect.Config) []connect.Fault {
	_, _, faults := readSettings(cfg)
	return faults
}

// needsSchemas returns the options that take more than rows: what a statement did
// to the columns, and that a table is gone.
func needsSchemas(cfg connect.Config) (faults []connect.Fault) {
	need := func(key, value, instead string) {
		if strings.EqualFold(cfg.String(key), value) {
			faults = append(faults, connect.Fault{Key: key, Text: fmt.Sprintf("%s takes messages that tell of statements, which value.converter=frame writes alone: "+
				"read topics of a source with value.converter=frame, or set %s=%s", value, key, instead)})
		}
	}
	need("schema.evolution", evolveFull, evolveBasic+", with which columns are added and widened as rows show them, and none is renamed, moved, narrowed or dropped")
	need("drop.mode", dropTable, dropEmpty)
	return faults
}

func readSettings(cfg connect.Config) (*settings, *mysql.Config, []connect.Fault) {
	var faults []connect.Fault
	fault := func(key, text string) { faults = append(faults, connect.Fault{Key: key, Text: text}) }
	url, err := parseURL(cfg.String("connection.url"), cfg.String("connection.user"), cfg.String("connection.password"))
	if err != nil {
		fault("connection.url", err.Error())
		return nil, nil, faults
	}
	s := &settings{
		mode: strings.ToLower(cfg.String("insert.mode")), keyMode: strings.ToLower(cfg.String("pk.mode")), keyFields: cfg.List("pk.fields"),
		deletes: cfg.Bool("delete.enabled"), truncates: cfg.Bool("truncate.enabled"), batch: int(cfg.Int("batch.size")),
		database: url.DBName, evolution: evolution(cfg, fault),
		include: cfg.List("field.include.list"), exclude: cfg.List("field.exclude.list"),
	}
	s.setDrops(cfg)
	s.checkKey(fault)
	s.setNames(cfg, fault)
	return s, url, faults
}

// setDrops reads drop.mode, whose default depends on the other options.
func (s *settings) setDrops(cfg connect.Config) {
	switch s.drops = strings.ToLower(cfg.String("drop.mode")); {
	case s.drops != "":
	case !s.truncates:
		s.drops = dropIgnore
	case s.evolution == evolveFull:
		s.drops = dropTable
	default:
		s.drops = dropEmpty
	}
}

func (s *settings) checkKey(fault func(key, text string)) {
	switch {
	case s.keyMode == "kafka" || s.keyMode == "record_header":
		fault("pk.mode", s.keyMode+" is not supported: rows are identified by the source table's key (record_key) or by columns (record_value with pk.fields)")
	case s.keyMode == keyNone && s.mode != modeInsert:
		fault("pk.mode", "none needs insert.mode=insert: without a key there is nothing to update by")
	case s.keyMode == keyValue && len(s.keyFields) == 0:
		fault("pk.fields", "is required with pk.mode=record_value: name the columns that identify a row")
	case s.keyMode == keyNone && len(s.keyFields) > 0:
		fault("pk.fields", "has no meaning with pk.mode=none")
	}
}

func (s *settings) setNames(cfg connect.Config, fault func(key, text string)) {
	format := cfg.String("table.name.format")
	if format == "" {
		format = "${table}"
		if s.database == "" {
			format = "${database}.${table}"
		}
	}
	var err error
	if s.format, err = parseTemplate(format); err != nil {
		fault("table.name.format", err.Error())
	} else if s.format.db == nil && s.database == "" {
		fault("table.name.format", fmt.Sprintf("%q names no database, and neither does connection.url: write ${database}.%s, or a database at the end of the URL", format, format))
	}
	db, table, dotted := strings.Cut(cfg.String("offsets.table"), ".")
	switch {
	case !dotted && s.database != "":
		db, table = s.database, db
	case !dotted:
		db, table = "towline", db
	}
	if s.offsets = (name{db, table}); db == "" || table == "" || len(db) > 64 || len(table) > 64 {
		fault("offsets.table", fmt.Sprintf("%q is not the name of a table", cfg.String("offsets.table")))
	}
}

// evolution reads schema.evolution, or what other sinks have for it.
func evolution(cfg connect.Config, fault func(key, text string)) string {
	if cfg.Given("schema.evolution") || !cfg.Given("auto.create") && !cfg.Given("auto.evolve") {
		return strings.ToLower(cfg.String("schema.evolution"))
	}
	create, evolve := cfg.Bool("auto.create"), cfg.Bool("auto.evolve")
	if create != evolve && cfg.Given("auto.create") && cfg.Given("auto.evolve") {
		fault("auto.create", "differs from auto.evolve; tables are created and changed, or neither: set schema.evolution")
	}
	if create || evolve {
		return evolveBasic
	}
	return evolveNone
}

// wants reports whether a column is to be written.
func (s *settings) wants(column string) bool {
	is := func(c string) bool { return strings.EqualFold(c, column) }
	return (len(s.include) == 0 || slices.ContainsFunc(s.include, is)) && !slices.ContainsFunc(s.exclude, is)
}

// project returns t with the columns that are written alone, and where the
// key is in it.
func (s *settings) project(t *schema.Table, key []int) (*schema.Table, []int, error) {
	if len(s.include) == 0 && len(s.exclude) == 0 {
		return t, key, nil
	}
	p := &schema.Table{Database: t.Database, Name: t.Name}
	at := make(map[int]int, len(t.Columns))
	for i := range t.Columns {
		if s.wants(t.Columns[i].Name) || slices.Contains(key, i) {
			at[i] = len(p.Columns)
			p.Columns = append(p.Columns, t.Columns[i])
		}
	}
	for _, u := range t.Unique {
		if cols := remap(u, at); len(cols) == len(u) {
			p.Unique = append(p.Unique, cols)
		}
	}
	p, err := schema.New(p)
	return p, remap(key, at), err
}

func remap(cols []int, at map[int]int) (out []int) {
	for _, c := range cols {
		if to, ok := at[c]; ok {
			out = append(out, to)
		}
	}
	return out
}

// keyOf returns the columns that identify a row of t, nil: none do.
func (s *settings) keyOf(t *schema.Table, writers int) ([]int, error) {
	if s.keyMode == keyNone {
		return nil, nil
	}
	if len(s.keyFields) == 0 {
		return t.Key, nil
	}
	var key []int
	for _, f := range s.keyFields {
		i := find(t, f)
		if i < 0 {
			return nil, fmt.Errorf("pk.fields names column %q, which it does not have", f)
		}
		key = append(key, i)
	}
	if writers > 1 && connect.SpreadOf(t) == connect.SpreadByKey && !covers(key, t.Key) {
		return nil, fmt.Errorf("pk.fields (%s) leaves out columns of its key, by which rows are spread over %d writers: set lanes=1 and tasks.max=1", strings.Join(s.keyFields, ", "), writers)
	}
	return key, nil
}

func covers(key, of []int) bool {
	for _, k := range of {
		if !slices.Contains(key, k) {
			return false
		}
	}
	return true
}
