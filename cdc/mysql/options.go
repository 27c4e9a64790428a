package mysql

import (
	"fmt"
	"hash/fnv"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/offsets"
)

// Names of the options.
const (
	optHost             = "database.hostname"
	optPort             = "database.port"
	optUser             = "database.user"
	optPassword         = "database.password"
	optServerID         = "database.server.id"
	optSSLMode          = "database.ssl.mode"
	optSSLCA            = "database.ssl.ca"
	optSSLCert          = "database.ssl.cert"
	optSSLKey           = "database.ssl.key"
	optKeystore         = "database.ssl.keystore"
	optTruststore       = "database.ssl.truststore"
	optPrefix           = "topic.prefix"
	optDelimiter        = "topic.delimiter"
	optGuardMax         = "guardrail.collections.max"
	optGuardAction      = "guardrail.collections.limit.action"
	optFailures         = "event.processing.failure.handling.mode"
	optConversion       = "event.converting.failure.handling.mode"
	optInconsistent     = "inconsistent.schema.handling.mode"
	optLayout           = "topic.layout"
	optDBInclude        = "database.include.list"
	optDBExclude        = "database.exclude.list"
	optTableInclude     = "table.include.list"
	optTableExclude     = "table.exclude.list"
	optColumnInclude    = "column.include.list"
	optColumnExclude    = "column.exclude.list"
	optKeys             = "message.key.columns"
	optSkipped          = "skipped.operations"
	optTimeout          = "connect.timeout.ms"
	optLogHeartbeat     = "binlog.heartbeat.interval.ms"
	optHeartbeatPrefix  = "topic.heartbeat.prefix"
	optReadOnly         = "read.only"
	optActionQuery      = "heartbeat.action.query"
	optMetadata         = "provide.transaction.metadata"
	optTransactionTopic = "topic.transaction"
	optQuery            = "include.query"
	optHeartbeat        = "heartbeat.interval.ms"
	optTombstones       = "tombstones.on.delete"
	optSchemas          = "include.schema.changes"
	optNetWrite         = "binlog.net.write.timeout"
	optLost             = "gtid.lost.accept"
	optSourceInclude    = "gtid.source.includes"
	optSourceExclude    = "gtid.source.excludes"
	optSourceRows       = "gtid.source.filter.dml.events"
)

const (
	groupConnection = "Connection"
	groupTables     = "Tables"
	groupTopics     = "Topics"
	groupTuning     = "Tuning"
)

// Options returns the options of the source. Their names are Debezium's where
// it has one.
func Options() []connect.Option {
	return slices.Concat(connectionOptions(), captureOptions(), maskOptions(), topicOptions(), tuningOptions())
}

func connectionOptions() []connect.Option {
	return []connect.Option{
		{Name: optHost, Type: connect.TypeString, Required: true, Importance: connect.High, Group: groupConnection,
			Doc: "Name or address of the MySQL server."},
		{Name: optPort, Type: connect.TypeInt, Default: "3306", Min: 1, Max: 65535, Importance: connect.High, Group: groupConnection,
			Doc: "Port of the MySQL server."},
		{Name: optUser, Type: connect.TypeString, Required: true, Importance: connect.High, Group: groupConnection,
			Doc: "User to log in as. It needs `REPLICATION SLAVE`, `REPLICATION CLIENT`, and `SELECT` on the captured tables."},
		{Name: optPassword, Type: connect.TypePassword, Importance: connect.High, Group: groupConnection,
			Doc: "Password of the user."},
		{Name: optServerID, Type: connect.TypeLong, Min: 1, Max: 1<<32 - 1, Importance: connect.High, Group: groupConnection,
			Doc: "Number by which the MySQL server knows this reader among its replicas. It must differ from that of every replica and of the server. Default: made from the connector's name."},
		{Name: optSSLMode, Type: connect.TypeString, Default: "preferred", Importance: connect.Medium, Group: groupConnection,
			Values: []string{"disabled", "preferred", "required", "verify_ca", "verify_identity"},
			Doc:    "Encryption of the connection: `disabled`; `preferred`, if the server can; `required`, without a look at the server's certificate; `verify_ca`, its certificate must be signed by `database.ssl.ca`; `verify_identity`, and be that of `database.hostname`."},
		{Name: optSSLCA, Type: connect.TypeString, Importance: connect.Low, Group: groupConnection,
			Doc: "File with the certificates (PEM) that sign the server's. Default: those of the system."},
		{Name: optSSLCert, Type: connect.TypeString, Importance: connect.Low, Group: groupConnection,
			Doc: "File with the certificate (PEM) of this client."},
		{Name: optSSLKey, Type: connect.TypeString, Importance: connect.Low, Group: groupConnection,
			Doc: "File with the private key (PEM) of this client."},
		{Name: optKeystore, Type: connect.TypeString, Importance: connect.Low, Group: groupConnection, Check: noKeystore,
			Doc: "Not supported: certificates are PEM files here, see `database.ssl.cert` and `database.ssl.key`."},
		{Name: optTruststore, Type: connect.TypeString, Importance: connect.Low, Group: groupConnection, Check: noKeystore,
			Doc: "Not supported: certificates are PEM files here, see `database.ssl.ca`."},
		{Name: optTimeout, Type: connect.TypeInt, Default: "30000", Min: 100, Max: 3600_000, Importance: connect.Medium, Group: groupConnection,
			Doc: "Milliseconds that connecting and logging in may take."},
		{Name: optSourceInclude, Type: connect.TypeList, Importance: connect.Low, Group: groupConnection, Check: connect.Regexps,
			Doc: "Regular expressions of the server UUIDs in GTIDs whose transactions count; they match whole UUIDs. What others made need not be there when the connector goes on at another server: what that has purged of them is passed over. Default: all."},
		{Name: optSourceExclude, Type: connect.TypeList, Importance: connect.Low, Group: groupConnection, Check: connect.Regexps,
			Doc: "Regular expressions of the server UUIDs in GTIDs whose transactions do not count. Not together with `gtid.source.includes`."},
		{Name: optSourceRows, Type: connect.TypeBoolean, Default: "true", Importance: connect.Low, Group: groupConnection,
			Doc: "Whether changes of rows by transactions that do not count (`gtid.source.includes`, `gtid.source.excludes`) are left out, and counted. Targets then are not what the source is. Copies have all rows, and statements that change tables are followed."},
		{Name: optLost, Type: connect.TypeString, Importance: connect.Low, Group: groupConnection, Check: func(v string) error { _, err := parseGivenUp(v); return err },
			Doc: "GTIDs of transactions that are given up when the server does not have them although they were delivered, as after a failover that lost them. " +
				"The tables that they changed are emptied in the targets and copied from the server. Without it such a connector stops with an error that says what to set here. Later losses are not covered."},
	}
}

func captureOptions() []connect.Option {
	list := func(name, doc string) connect.Option {
		return connect.Option{Name: name, Type: connect.TypeList, Importance: connect.High, Group: groupTables, Check: connect.Regexps, Doc: doc}
	}
	return []connect.Option{
		list(optDBInclude, "Regular expressions of the databases to capture. They match whole names, in any letter case. Default: all but the server's own."),
		list(optDBExclude, "Regular expressions of databases not to capture. Not together with `database.include.list`."),
		list(optTableInclude, "Regular expressions of the tables to capture. They match whole names of the form `database.table`, in any letter case. Default: all."),
		list(optTableExclude, "Regular expressions of tables not to capture. Not together with `table.include.list`."),
		list(optColumnInclude, "Regular expressions of the columns to capture. They match whole names of the form `database.table.column`, in any letter case. Columns of a table's key are always captured. Others are neither read by a snapshot nor decoded from the log. When lists or masks are changed so that a table shows more than before, or something else, its rows are read anew. Default: all."),
		list(optColumnExclude, "Regular expressions of columns not to capture. Columns of a table's key cannot be left out; matching one is an error. Not together with `column.include.list`."),
		{Name: optGuardMax, Type: connect.TypeInt, Default: "0", Min: 0, Max: 1 << 30, Importance: connect.Low, Group: groupTables,
			Doc: "The most tables that may be captured, against lists that match more than was meant; 0 is no limit."},
		{Name: optGuardAction, Type: connect.TypeString, Default: "warn", Values: []string{"warn", "fail"}, Importance: connect.Low, Group: groupTables,
			Doc: "What more tables than `guardrail.collections.max` do, at the start or when they are created: `warn` logs it; `fail` fails the task before it reads a change of them."},
		{Name: optFailures, Aliases: []string{"event.deserialization.failure.handling.mode"}, Type: connect.TypeString, Default: "fail", Importance: connect.Low, Group: groupTables, Check: onlyFail,
			Doc: "What an event of the log that cannot be read does. Only `fail` is supported: it stops the table that the event is of, with the reason, and no other. Nothing is skipped."},
		{Name: optConversion, Type: connect.TypeString, Default: "fail", Importance: connect.Low, Group: groupTables, Check: onlyFail,
			Doc: "What a value that cannot be converted does. Only `fail` is supported; `errors.tolerance=all` makes a dead letter of a record that a converter does not take."},
		{Name: optInconsistent, Type: connect.TypeString, Default: "fail", Importance: connect.Low, Group: groupTables, Check: onlyFail,
			Doc: "What rows of a table whose shape is not known do. Only `fail` is supported: it stops the table, with the reason, and no other."},
		{Name: optKeys, Type: connect.TypeString, Importance: connect.Medium, Group: groupTables, Check: func(v string) error { _, err := parseKeys(v); return err },
			Doc: "Keys of messages where they are not those of the tables: `table:column,column;table:column`, where `table` is a regular expression that matches whole names of the form `database.table`. " +
				"Rows are then spread over partitions by these columns and written to targets by them, so two rows with equal values in them are one row there. An update that changes them is a delete and an insert."},
		{Name: optSkipped, Type: connect.TypeList, Default: skipNone, Importance: connect.Low, Group: groupTables, Check: checkSkipped,
			Doc: "Operations that are left out: `c` inserts, `u` updates, `d` deletes, `t` truncations, or `none`. What is left out is counted. (Debezium leaves out `t` by default; here a target would keep rows that are gone.) " +
				"Rows that a snapshot reads are never left out. An update of a key is a delete and an insert."},
	}
}

func topicOptions() []connect.Option {
	return []connect.Option{
		{Name: optPrefix, Type: connect.TypeString, Required: true, Importance: connect.High, Group: groupTopics, Check: checkPrefix,
			Doc: "Begin of the names of all topics. Letters, digits, `_`, `-` and `.`; it must differ between connectors."},
		{Name: optLayout, Type: connect.TypeString, Default: "table", Values: []string{"table", "single"}, Importance: connect.Medium, Group: groupTopics,
			Doc: "`table`: each table has the topic `topic.prefix.database.table`, where characters other than letters, digits, `_` and `-` are written as `_xHHHH_`, their code point, so that no two tables have the same. `single`: all goes into the topic `topic.prefix`, which then has transactions whole and in order if it has one partition."},
		{Name: optDelimiter, Type: connect.TypeString, Default: ".", Importance: connect.Low, Group: groupTopics, Check: checkDelimiter,
			Doc: "What stands between the parts of a topic's name: made of `.` and `-`. A `-` in names of databases and tables is then written as `_x002D_`."},
		{Name: optTombstones, Type: connect.TypeBoolean, Default: "true", Importance: connect.Medium, Group: groupTopics,
			Doc: "Whether a delete is followed by a message without a value. For converters that write one message per record."},
		{Name: optSchemas, Type: connect.TypeBoolean, Default: "false", Importance: connect.Low, Group: groupTopics,
			Doc: "Whether each DDL statement on captured databases is told in a message to the topic `topic.prefix`, in Debezium's form: `databaseName`, `ddl`, and the tables as they are then in `tableChanges`. Sinks for rows pass such messages over; changes of shape are always part of each table's topic too."},
		{Name: optMetadata, Type: connect.TypeBoolean, Default: "false", Importance: connect.Low, Group: groupTopics,
			Doc: "Whether the begin and the end of each transaction with captured changes are told in messages to the topic of `topic.transaction`, the end with the number of changes of each table, and each change says in `transaction` which number it has in its transaction and in its table."},
		{Name: optTransactionTopic, Type: connect.TypeString, Default: "transaction", Importance: connect.Low, Group: groupTopics, Check: checkPrefix,
			Doc: "The end of the name of the topic for `provide.transaction.metadata`, behind `topic.prefix` and `topic.delimiter`."},
		{Name: optQuery, Type: connect.TypeBoolean, Default: "false", Importance: connect.Low, Group: groupTopics,
			Doc: "Whether changes have the statement that made them, in `source.query`. The server must write it: `SET PERSIST binlog_rows_query_log_events = ON`. Not together with masks and lists of columns, since statements hold values."},
		{Name: optHeartbeat, Type: connect.TypeInt, Default: "0", Min: 0, Max: 1 << 30, Importance: connect.Low, Group: groupTopics,
			Doc: "Milliseconds after which a heartbeat is written to the topic `topic.heartbeat.prefix.topic.prefix`, also when nothing changes; 0 writes none. Positions move on without. It is not kept more closely than a second."},
		{Name: optHeartbeatPrefix, Type: connect.TypeString, Default: "__debezium-heartbeat", Importance: connect.Low, Group: groupTopics, Check: checkPrefix,
			Doc: "What the name of the topic for heartbeats begins with."},
		{Name: optReadOnly, Type: connect.TypeBoolean, Default: "false", Importance: connect.Low, Group: groupTopics,
			Doc: "Whether to refuse a configuration that writes to the source. Only `heartbeat.action.query` can; snapshots never do."},
		{Name: optActionQuery, Type: connect.TypeString, Importance: connect.Low, Group: groupTopics,
			Doc: "A statement to execute on the source every `heartbeat.interval.ms`, such as an update of a table that shows how far targets are behind. The user needs the privileges for it."},
	}
}

func tuningOptions() []connect.Option {
	return []connect.Option{
		{Name: optLogHeartbeat, Type: connect.TypeInt, Default: "1000", Min: 1, Max: 3600_000, Importance: connect.Low, Group: groupTuning,
			Doc: "Milliseconds of silence after which the server sends a sign of life. Three times that without any, but at least 3 seconds, is a lost connection."},
		{Name: optNetWrite, Type: connect.TypeInt, Default: "3600", Min: 1, Max: 31536000, Importance: connect.Low, Group: groupTuning,
			Doc: "Seconds that the server waits for this reader to take what it sent."},
	}
}

// noKeystore says how to come from Java's stores to PEM files.
func noKeystore(string) error {
	return fmt.Errorf("stores of Java are not read here; turn it into PEM files: keytool -importkeystore -srckeystore STORE -destkeystore store.p12 -deststoretype PKCS12, " +
		"then openssl pkcs12 -in store.p12 -nodes -out store.pem, and name those by database.ssl.ca, or database.ssl.cert and database.ssl.key")
}

// skipNone is the value of skipped.operations that skips nothing.
const skipNone = "none"

func checkSkipped(v string) error {
	list := connect.SplitList(strings.ToLower(v))
	for _, op := range list {
		if op != "c" && op != "u" && op != "d" && op != "t" && (op != skipNone || len(list) > 1) {
			return fmt.Errorf("%q is not a list of c, u, d and t, nor none", v)
		}
	}
	return nil
}

// onlyFail refuses the modes that pass over what is not understood
// (invariant 9).
func onlyFail(v string) error {
	if !strings.EqualFold(v, "fail") {
		return fmt.Errorf("%q would leave out changes and tell nobody downstream; only fail is supported, which stops the table concerned and lets all others go on", v)
	}
	return nil
}

func checkPrefix(v string) error {
	for _, c := range v {
		if (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && (c < '0' || c > '9') && !strings.ContainsRune("_-.", c) {
			return fmt.Errorf("%q has %q in it; only letters, digits, '_', '-' and '.' are allowed", v, c)
		}
	}
	return nil
}

// Validate looks at options together.
func Validate(cfg connect.Config) (faults []connect.Fault) {
	both := func(a, b string) {
		if len(cfg.List(a)) > 0 && len(cfg.List(b)) > 0 {
			faults = append(faults, connect.Fault{Key: b, Text: "cannot be used together with " + a + "; leave one of them out"})
		}
	}
	both(optDBInclude, optDBExclude)
	both(optTableInclude, optTableExclude)
	both(optColumnInclude, optColumnExclude)
	both(optSourceInclude, optSourceExclude)
	if (cfg.String(optSSLCert) == "") != (cfg.String(optSSLKey) == "") {
		faults = append(faults, connect.Fault{Key: optSSLCert, Text: "a certificate needs its key and a key its certificate; set both " + optSSLCert + " and " + optSSLKey})
	}
	if _, err := newMaskRules(cfg); err != nil {
		key, text, _ := strings.Cut(err.Error(), ": ")
		faults = append(faults, connect.Fault{Key: key, Text: text})
	}
	if cfg.Bool(optQuery) {
		for _, o := range []string{optColumnInclude, optColumnExclude} {
			if len(cfg.List(o)) > 0 {
				faults = append(faults, connect.Fault{Key: optQuery, Text: "shows statements, which hold the values that " + o + " leaves out; leave one of them out"})
			}
		}
		for _, o := range []string{optMask, optTruncate, optHash, optHashV2} {
			if len(cfg.Family(o)) > 0 {
				faults = append(faults, connect.Fault{Key: optQuery, Text: "shows statements, which hold the values that " + o + " masks; leave one of them out"})
			}
		}
	}
	if cfg.String(optActionQuery) != "" && cfg.Bool(optReadOnly) {
		faults = append(faults, connect.Fault{Key: optActionQuery, Text: "may write to the source, which " + optReadOnly + " forbids; leave one of them out"})
	}
	if cfg.String(optActionQuery) != "" && cfg.Int(optHeartbeat) == 0 {
		faults = append(faults, connect.Fault{Key: optActionQuery, Text: "needs " + optHeartbeat + ", which says how often"})
	}
	for _, o := range []string{optSSLCA, optSSLCert, optSSLKey} {
		if f := cfg.String(o); f != "" {
			if _, err := os.Stat(f); err != nil {
				faults = append(faults, connect.Fault{Key: o, Text: fmt.Sprintf("the file cannot be read: %v", err)})
			}
		}
	}
	return faults
}

// settings are the options, read.
type settings struct {
	host, port     string
	user, password string
	serverID       uint32
	sslMode        string
	ca, cert, key  string
	timeout        time.Duration
	heartbeat      time.Duration
	netWrite       int64
	filter         *filter
	shown          offsets.Entry // what records show, as State
	topics         topics
	guard          guardrail
	query          bool   // records have their statement
	schemaChanges  bool   // DDL is told in messages
	action         string // to execute now and then
	actionEvery    time.Duration
	connector      string
	cluster        string // whose workers share the connector; "": this host has it alone
	log            *slog.Logger
	noReread       bool // see Source.NoReread
	scattered      bool // see Source.Scattered
	single         bool // each transaction is a batch of its own: see Seek
	sources        sources
	givenUp        givenUp
	lookEvery      time.Duration // how often the server is asked for its log and who it is
	maxPos         uint64        // positions from here on cannot be asked for
	commitWait     time.Duration // how long a commit may take after it is in the log
}

func newSettings(cfg connect.Config) (*settings, error) {
	f, err := newFilter(cfg)
	if err != nil {
		return nil, connect.Permanent(err)
	}
	lost, err := parseGivenUp(cfg.String(optLost))
	if err != nil {
		return nil, connect.Permanent(fmt.Errorf("%s: %w", optLost, err))
	}
	sources, err := newSources(cfg)
	if err != nil {
		return nil, connect.Permanent(err)
	}
	s := &settings{
		sources: sources,
		givenUp: lost,
		host:    cfg.String(optHost), port: strconv.FormatInt(cfg.Int(optPort), 10),
		user: cfg.String(optUser), password: cfg.String(optPassword),
		serverID: uint32(cfg.Int(optServerID)),
		sslMode:  strings.ToLower(cfg.String(optSSLMode)),
		ca:       cfg.String(optSSLCA), cert: cfg.String(optSSLCert), key: cfg.String(optSSLKey),
		timeout: cfg.Millis(optTimeout), heartbeat: cfg.Millis(optLogHeartbeat), netWrite: cfg.Int(optNetWrite),
		filter: f, shown: shownEntry(cfg, f),
		query: cfg.Bool(optQuery), schemaChanges: cfg.Bool(optSchemas),
		action: cfg.String(optActionQuery), actionEvery: cfg.Millis(optHeartbeat),
		guard:     guardrail{most: int(cfg.Int(optGuardMax)), fail: strings.EqualFold(cfg.String(optGuardAction), "fail")},
		topics:    topics{prefix: cfg.String(optPrefix), delimiter: cfg.String(optDelimiter), single: strings.EqualFold(cfg.String(optLayout), "single")},
		connector: cfg.Name(), log: slog.New(slog.DiscardHandler), maxPos: 1 << 32, commitWait: 10 * time.Second, lookEvery: retentionEvery,
	}
	s.guard.log = s.log
	if s.topics.delimiter == "" {
		s.topics.delimiter = "."
	}
	if s.serverID == 0 {
		s.serverID = defaultServerID(cfg.Name())
	}
	return s, nil
}

// defaultServerID makes a number from a connector's name, far from the small
// ones that people give to their servers.
func defaultServerID(name string) uint32 {
	h := fnv.New32a()
	h.Write([]byte(name))
	return 1<<30 + h.Sum32()%(1<<30)
}
