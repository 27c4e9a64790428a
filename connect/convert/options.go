package convert

import (
	"regexp"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/towline/towline/connect"
)

// DecimalMode says how DECIMAL columns are written.
type DecimalMode uint8

// The decimal modes.
const (
	DecimalPrecise DecimalMode = iota // Kafka Connect's Decimal
	DecimalDouble                     // a number of double precision, where that holds the value
	DecimalString                     // the digits, as a string
)

// TimeMode says how DATE, TIME and DATETIME columns are written. A TIMESTAMP
// is always an ISO 8601 string in UTC.
type TimeMode uint8

// The time modes; the names are Debezium's.
const (
	TimeISO TimeMode = iota
	TimeAdaptive
	TimeAdaptiveMicros
	TimeConnect
	TimeMicros
	TimeNanos
)

// BinaryMode says how binary columns are written.
type BinaryMode uint8

// The binary modes.
const (
	BinaryBytes     BinaryMode = iota // Kafka Connect's bytes, which JSON has in base64
	BinaryBase64                      // a string in base64
	BinaryBase64URL                   // a string in the URL's alphabet
	BinaryHex                         // a string of hexadecimal digits
)

// EncoderOptions are the choices of an Encoder.
type EncoderOptions struct {
	// Prefix is the logical name of the source: source.name, and what names of
	// schemas begin with.
	Prefix string
	// Version is source.version; empty: that of this build.
	Version string
	// Schemas puts each value beside its schema.
	Schemas bool
	// TableInSchema puts the table into the schema of its rows.
	TableInSchema bool
	// SourceTypes are columns (database.table.column) whose source type,
	// length and scale go into their schema.
	SourceTypes []*regexp.Regexp

	Decimal        DecimalMode
	DecimalNumeric bool // DecimalPrecise as a number, not in base64
	Time           TimeMode
	UnsignedLong   bool // BIGINT UNSIGNED as a signed long, where it fits
	Binary         BinaryMode

	// Readable is for people and for consumers without a schema. Integers
	// beyond 2^53, which JavaScript would round, are strings; JSON columns are
	// nested; BIT is a number; local dates and times carry no zone; text that
	// cannot be decoded is {"$base64": ...}; a column that the row image does
	// not have is left out.
	Readable bool
	// Clock gives ts_ms, ts_us and ts_ns: microseconds since 1970. nil: the
	// time of the record, so that its JSON is always the same.
	Clock func() int64
}

// Readable returns the options that sinks without a schema use by default:
// each value whole and easy to read. Decimals are strings of digits, binary
// is base64, dates and times are ISO 8601.
func Readable(prefix string) EncoderOptions {
	return EncoderOptions{Prefix: prefix, Decimal: DecimalString, Readable: true}
}

// Names of the options.
const (
	optPrefix      = "topic.prefix"
	optSchemas     = "schemas.enable"
	optTable       = "schemas.table.enable"
	optCacheSize   = "schemas.cache.size"
	optSourceTypes = "column.propagate.source.type"
	optTombstones  = "tombstones.on.delete"
	optFormat      = "decimal.format"
	optDecimal     = "decimal.handling.mode"
	optTime        = "time.precision.mode"
	optUnsigned    = "bigint.unsigned.handling.mode"
	optBinary      = "binary.handling.mode"
)

// The values of options, in the order of the constants above.
var (
	decimalModes = []string{"precise", "double", "string"}
	timeModes    = []string{"isostring", "adaptive", "adaptive_time_microseconds", "connect", "microseconds", "nanoseconds"}
	binaryModes  = []string{"bytes", "base64", "base64-url-safe", "hex"}
)

// Plugins returns the converters of this package.
func Plugins() []connect.Plugin {
	return []connect.Plugin{{
		Name:    "json",
		Aliases: []string{"org.apache.kafka.connect.json.JsonConverter", "debezium", "io.debezium.converters.JsonConverter"},
		Doc:     "One JSON message per record, in the form of Debezium and Kafka Connect's JsonConverter.",
		Options: options(),
		Converter: func(cfg connect.Config, env connect.Env) (connect.Converter, error) {
			return newJSON(cfg, env), nil
		},
	}, avroPlugin()}
}

// options are those of json.
func options() []connect.Option {
	return slices.Concat([]connect.Option{
		{Name: optSchemas, Type: connect.TypeBoolean, Default: "true", Importance: connect.High, Group: "Schemas",
			Doc: "Whether each key and value is `{\"schema\": ..., \"payload\": ...}`. Without schemas messages are small, but cannot be read back by a sink of Towline."},
	}, sharedOptions(), ValueOptions())
}

// sharedOptions are those of json and avro alike.
func sharedOptions() []connect.Option {
	return []connect.Option{
		{Name: optTable, Type: connect.TypeBoolean, Default: "true", Importance: connect.Low, Group: "Schemas",
			Doc: "Whether the schema of a row has the parameter `towline.table`, from which a sink restores the table exactly. `false` gives the schema as Debezium has it, to the byte."},
		{Name: optCacheSize, Type: connect.TypeInt, Default: "1000", Min: 1, Max: 100000, Importance: connect.Low, Group: "Schemas",
			Doc: "The number of tables and of schemas that are kept ready."},
		{Name: optSourceTypes, Type: connect.TypeList, Check: connect.Regexps, Importance: connect.Low, Group: "Schemas",
			Doc: "Regular expressions of columns (`database.table.column`) whose source type, length and scale are parameters of their schema (`__debezium.source.column.*`)."},
		{Name: optPrefix, Type: connect.TypeString, Importance: connect.Medium, Group: "Envelope",
			Doc: "The logical name of the source, for `source.name` and the names of schemas. Without it, the name of the connector."},
		{Name: optTombstones, Type: connect.TypeBoolean, Default: "true", Importance: connect.Medium, Group: "Envelope",
			Doc: "Whether a delete is followed by a message with its key and no value, with which logs that are compacted drop the row."},
	}
}

// ValueOptions returns the options for how values are written, which
// the converter and sinks share.
func ValueOptions() []connect.Option {
	return []connect.Option{
		{Name: optDecimal, Type: connect.TypeString, Default: "precise", Values: decimalModes, Importance: connect.Medium, Group: "Values",
			Doc: "How DECIMAL is written: `precise` is Kafka Connect's Decimal, `string` its digits, `double` a floating-point number; a value that a double does not hold exactly is an error."},
		{Name: optFormat, Type: connect.TypeString, Default: "BASE64", Values: []string{"BASE64", "NUMERIC"}, Importance: connect.Low, Group: "Values",
			Doc: "How precise decimals look in JSON: the bytes of the unscaled number in base64, or a number with all its digits."},
		{Name: optTime, Type: connect.TypeString, Default: "isostring", Values: timeModes, Importance: connect.Medium, Group: "Values",
			Doc: "How DATE, TIME and DATETIME are written; the modes are Debezium's. `isostring` holds every value. The others count from an epoch: zero and partial dates are an error there, " +
				"as are fractions that `connect` (milliseconds) cannot hold and years that `nanoseconds` cannot."},
		{Name: optUnsigned, Type: connect.TypeString, Default: "precise", Values: []string{"precise", "long"}, Importance: connect.Low, Group: "Values",
			Doc: "How BIGINT UNSIGNED is written: `precise` is Kafka Connect's Decimal, `long` a signed number; a value beyond 9223372036854775807 is an error there."},
		{Name: optBinary, Type: connect.TypeString, Default: "bytes", Values: binaryModes, Importance: connect.Low, Group: "Values",
			Doc: "How binary columns are written: Kafka Connect's bytes (base64 in JSON), or a string in base64, in base64 for URLs, or in hexadecimal."},
	}
}

// ReadableOptions returns those of ValueOptions that matter to sinks which
// start from Readable, with the defaults that they have there.
func ReadableOptions() []connect.Option {
	var list []connect.Option
	for _, o := range ValueOptions() {
		switch o.Name {
		case optUnsigned: // integers beyond 2^53 are strings anyway
			continue
		case optDecimal:
			o.Default = "string"
		}
		list = append(list, o)
	}
	return list
}

// SetValues takes the values of ReadableOptions from a configuration. Options
// that were not given keep what o has.
func (o *EncoderOptions) SetValues(cfg connect.Config) {
	o.setModes(cfg)
	if cfg.Given(optFormat) {
		o.DecimalNumeric = strings.EqualFold(cfg.String(optFormat), "NUMERIC")
	}
}

// setModes takes the values of options that any form has.
func (o *EncoderOptions) setModes(cfg connect.Config) {
	if cfg.Given(optDecimal) {
		o.Decimal = DecimalMode(index(decimalModes, cfg.String(optDecimal)))
	}
	if cfg.Given(optTime) {
		o.Time = TimeMode(index(timeModes, cfg.String(optTime)))
	}
	if cfg.Given(optBinary) {
		o.Binary = BinaryMode(index(binaryModes, cfg.String(optBinary)))
	}
}

func index(values []string, value string) int {
	for i, v := range values {
		if strings.EqualFold(v, value) {
			return i
		}
	}
	return 0
}

// jsonOptions returns what the configuration of json says.
func jsonOptions(cfg connect.Config, env connect.Env) EncoderOptions {
	o := encoderOptions(cfg, env)
	o.Schemas = cfg.Bool(optSchemas)
	o.SetValues(cfg)
	return o
}

// encoderOptions returns what the configuration of any converter says.
func encoderOptions(cfg connect.Config, env connect.Env) EncoderOptions {
	o := EncoderOptions{
		Prefix:        cfg.String(optPrefix),
		TableInSchema: cfg.Bool(optTable),
	}
	if o.Prefix == "" {
		o.Prefix = env.Connector
	}
	for _, p := range cfg.List(optSourceTypes) {
		o.SourceTypes = append(o.SourceTypes, regexp.MustCompile("^(?:"+p+")$")) // checked by the option
	}
	o.setModes(cfg)
	o.UnsignedLong = strings.EqualFold(cfg.String(optUnsigned), "long")
	return o
}

// buildVersion returns the version of this program.
func buildVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return strings.TrimPrefix(info.Main.Version, "v")
	}
	return "(devel)"
}
