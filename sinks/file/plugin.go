package file

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/connect/convert"
)

// Names and values of options.
const (
	optFile   = "file"
	optFormat = "format"
	optSource = "source.name"

	formatEnvelope = "envelope"
	formatFlat     = "flat"
	formatValue    = "value"
)

// Plugins returns the sinks of this package.
func Plugins() []connect.Plugin {
	return []connect.Plugin{{
		Name:    "file",
		Aliases: []string{"FileStreamSink", "org.apache.kafka.connect.file.FileStreamSinkConnector"},
		Doc:     "Writes records as lines of JSON to a file, each of them once, or to the standard output.",
		Options: slices.Concat([]connect.Option{
			{Name: optFile, Type: connect.TypeString, Importance: connect.High, Group: "File",
				Doc: "The path of the file. Without it, or with `-`, lines go to the standard output. Beside the file is `<file>.state`, which says what is in it."},
			{Name: optFormat, Type: connect.TypeString, Default: formatEnvelope, Values: []string{formatEnvelope, formatFlat, formatValue}, Importance: connect.Medium, Group: "File",
				Doc: "What a line holds: `envelope` has topic, partition, offset, seq, key and Debezium's envelope; `flat` has the row instead of the envelope; `value` is the value alone."},
			{Name: optSource, Type: connect.TypeString, Default: "towline", Importance: connect.Low, Group: "File",
				Doc: "What the envelope's `source.name` says."},
		}, convert.ReadableOptions()),
		Sink:     open,
		Lanes:    1,
		Validate: validate,
	}}
}

// validate refuses what one file cannot have.
func validate(cfg connect.Config) []connect.Fault {
	if path := cfg.String(optFile); path == "" || path == "-" {
		return nil
	}
	if n := cfg.Int("tasks.max"); n > 1 {
		return []connect.Fault{{Key: "tasks.max", Text: fmt.Sprintf("%d tasks cannot share a file, whose one writer keeps beside it how far it is; set tasks.max=1, "+
			"or divide the topics over several connectors with a file each", n)}}
	}
	return nil
}

func open(cfg connect.Config, env connect.Env) (connect.Sink, error) {
	if env.Lanes > 1 {
		return nil, connect.Permanent(fmt.Errorf("file: a file has one writer, but there are %d lanes; set lanes=1", env.Lanes))
	}
	opts := convert.Readable(cfg.String(optSource))
	opts.SetValues(cfg)
	lines := liner{enc: convert.NewEncoder(opts), format: strings.ToLower(cfg.String(optFormat))}
	path := cfg.String(optFile)
	if path == "" || path == "-" {
		return &streamSink{out: os.Stdout, lines: lines}, nil
	}
	return &fileSink{path: path, connector: env.Connector, lines: lines}, nil
}
