package config

import "github.com/towline/towline/connect"

// Options that every connector has, whatever its class. The names and
// meanings are Kafka Connect's where it has one.

// Common returns the options of sources and sinks alike.
func Common() []connect.Option {
	return []connect.Option{
		{Name: "connector.class", Type: connect.TypeClass, Required: true, Importance: connect.High, Group: "Common",
			Doc: "What kind of connector this is: a plug-in's name, or the class name of a well-known equivalent."},
		{Name: "tasks.max", Type: connect.TypeInt, Default: "1", Min: 1, Max: 1000, Importance: connect.High, Group: "Common",
			Doc: "The most tasks to divide the work into. A sink has as many, over which the partitions of its topics are shared out; each has its own lanes. " +
				"What cannot be divided runs as one task."},
		{Name: "key.converter", Type: connect.TypeClass, Importance: connect.Low, Group: "Common",
			Doc: "The converter of message keys. It follows `value.converter`; give it only to say so."},
		{Name: "value.converter", Type: connect.TypeClass, Default: "frame", Importance: connect.Low, Group: "Common",
			Doc: "The form of messages in the topics: `frame` (compact batches, between Towline's own ends), `json` or `debezium`, or `avro`. " +
				"Options of the converter begin with `value.converter.`. The connectors that read a topic must use the one that wrote it."},
		{Name: "transforms", Type: connect.TypeList, Importance: connect.Low, Group: "Transforms",
			Doc: "Names of transforms to apply, in order. The options of transform `t` begin with `transforms.t.`; `transforms.t.type` is its class."},
		{Name: "predicates", Type: connect.TypeList, Importance: connect.Low, Group: "Predicates",
			Doc: "Names of predicates that transforms refer to by `transforms.t.predicate`. The options of predicate `p` begin with `predicates.p.`."},
		{Name: "errors.tolerance", Type: connect.TypeString, Default: "none", Values: []string{"none", "all"}, Importance: connect.Medium, Group: "Error Handling",
			Doc: "What a record that cannot be processed does: `none` fails the task (a `jdbc` sink stops the table alone where it can), `all` writes the record to the dead-letter topic and goes on."},
		{Name: "errors.deadletterqueue.topic.name", Type: connect.TypeString, Importance: connect.Medium, Group: "Error Handling",
			Doc: "The topic for records that cannot be processed. Required with `errors.tolerance=all`: nothing is thrown away."},
		{Name: "errors.deadletterqueue.context.headers.enable", Type: connect.TypeBoolean, Default: "true", Importance: connect.Medium, Group: "Error Handling",
			Doc: "Whether dead letters carry headers with the topic, partition, offset, stage and error (`__connect.errors.*`)."},
		{Name: "errors.retry.delay.max.ms", Type: connect.TypeLong, Default: "60000", Min: 1, Max: 86400000, Importance: connect.Medium, Group: "Error Handling",
			Doc: "The longest pause between two attempts after a fault, in milliseconds. Pauses grow from 300 ms, with jitter."},
		{Name: "errors.retry.timeout", Type: connect.TypeLong, Default: "-1", Min: -1, Max: 1 << 40, Importance: connect.Medium, Group: "Error Handling",
			Doc: "How long, in milliseconds, a task that makes no progress is started again before it is given up as failed; -1 for ever. Faults that no retry mends fail at once."},
		{Name: "errors.log.enable", Type: connect.TypeBoolean, Default: "true", Importance: connect.Medium, Group: "Error Handling",
			Doc: "Whether each dead letter is also logged, without its content."},
	}
}

// SourceOnly returns the options that only sources have.
func SourceOnly() []connect.Option {
	return []connect.Option{
		{Name: "topic.creation.default.partitions", Type: connect.TypeInt, Default: "1", Min: 1, Max: 1024, Importance: connect.Medium, Group: "Topic Creation",
			Doc: "The number of partitions of topics that this connector makes. Rows are spread over them by key; with one, a table's changes stay in commit order. " +
				"In several, a column that is renamed, dropped or made narrower, or another key, has the table copied anew; that and a TRUNCATE is followed by `jdbc` sinks."},
	}
}

// SinkOnly returns the options that only sinks have.
func SinkOnly() []connect.Option {
	return []connect.Option{
		{Name: "topics", Type: connect.TypeList, Importance: connect.High, Group: "Common",
			Doc: "The topics to read. Either this or `topics.regex`."},
		{Name: "topics.regex", Type: connect.TypeString, Check: connect.Regexps, Importance: connect.High, Group: "Common",
			Doc: "A regular expression that the whole name of a topic must match to be read. Topics that come later are picked up."},
		{Name: "lanes", Type: connect.TypeInt, Default: "0", Min: 0, Max: 64, Importance: connect.Medium, Group: "Common",
			Doc: "How many parallel writers the sink has. Records are split over them by key, so order per key holds; 0 takes what the sink prefers."},
		{Name: "transaction.mode", Type: connect.TypeString, Default: "batched", Values: []string{"batched", "source"}, Importance: connect.Medium, Group: "Common",
			Doc: "`batched` groups records as is fastest. `source` shows the target each transaction of the source whole and in order: it needs a source that writes all of its tables to one topic of one partition, and one lane."},
	}
}
