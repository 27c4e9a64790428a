package convert

import (
	"fmt"

	"github.com/towline/towline/connect"
)

// messageSchemas are the schemas of a kind of messages, as Debezium has them.
type messageSchemas struct{ key, value string }

var schemasOfMessages = map[connect.Kind]messageSchemas{
	connect.KindHeartbeat: {
		key:   `{"type":"struct","fields":[{"type":"string","optional":false,"field":"serverName"}],"optional":false,"name":"io.debezium.connector.common.ServerNameKey","version":1}`,
		value: `{"type":"struct","fields":[{"type":"int64","optional":false,"field":"ts_ms"}],"optional":false,"name":"io.debezium.connector.common.Heartbeat","version":1}`,
	},
	connect.KindTransaction: {
		key: `{"type":"struct","fields":[{"type":"string","optional":false,"field":"id"}],"optional":false,"name":"io.debezium.connector.common.TransactionMetadataKey","version":1}`,
		value: `{"type":"struct","fields":[{"type":"string","optional":false,"field":"status"},{"type":"string","optional":false,"field":"id"},` +
			`{"type":"int64","optional":true,"field":"event_count"},{"type":"array","items":{"type":"struct","fields":[` +
			`{"type":"string","optional":false,"field":"data_collection"},{"type":"int64","optional":false,"field":"event_count"}],` +
			`"optional":false,"name":"event.collection","version":1},"optional":true,"field":"data_collections"},` +
			`{"type":"int64","optional":false,"field":"ts_ms"}],"optional":false,"name":"io.debezium.connector.common.TransactionMetadataValue","version":1}`,
	},
	connect.KindSchemaChange: {
		key:   `{"type":"struct","fields":[{"type":"string","optional":false,"field":"databaseName"}],"optional":false,"name":"io.debezium.connector.mysql.SchemaChangeKey","version":1}`,
		value: `{"type":"struct","fields":[` + sourceFieldSchema + `,` + schemaChangeFields + `],"optional":false,"name":"io.debezium.connector.mysql.SchemaChangeValue","version":1}`,
	},
}

// schemaChangeFields are the fields of a schema change behind its source.
const schemaChangeFields = `{"type":"int64","optional":false,"field":"ts_ms"},{"type":"string","optional":true,"field":"databaseName"},` +
	`{"type":"string","optional":true,"field":"schemaName"},{"type":"string","optional":true,"field":"ddl"},` +
	`{"type":"array","items":{"type":"struct","fields":[{"type":"string","optional":false,"field":"type"},{"type":"string","optional":false,"field":"id"},` +
	`{"type":"struct","fields":[{"type":"string","optional":true,"field":"defaultCharsetName"},` +
	`{"type":"array","items":{"type":"string","optional":false},"optional":true,"field":"primaryKeyColumnNames"},` +
	`{"type":"array","items":{"type":"struct","fields":[{"type":"string","optional":false,"field":"name"},{"type":"int32","optional":false,"field":"jdbcType"},` +
	`{"type":"int32","optional":true,"field":"nativeType"},{"type":"string","optional":false,"field":"typeName"},` +
	`{"type":"string","optional":true,"field":"typeExpression"},{"type":"string","optional":true,"field":"charsetName"},` +
	`{"type":"int32","optional":true,"field":"length"},{"type":"int32","optional":true,"field":"scale"},{"type":"int32","optional":false,"field":"position"},` +
	`{"type":"boolean","optional":true,"field":"optional"},{"type":"boolean","optional":true,"field":"autoIncremented"},` +
	`{"type":"boolean","optional":true,"field":"generated"},{"type":"array","items":{"type":"string","optional":false},"optional":true,"field":"enumValues"}],` +
	`"optional":false,"name":"io.debezium.connector.schema.Column","version":1},"optional":false,"field":"columns"}],` +
	`"optional":true,"name":"io.debezium.connector.schema.Table","version":1,"field":"table"}],` +
	`"optional":false,"name":"io.debezium.connector.schema.Change","version":1},"optional":false,"field":"tableChanges"}`

// kindsOfMessages finds a kind by the schema of its values.
var kindsOfMessages = func() map[string]connect.Kind {
	kinds := map[string]connect.Kind{}
	for k, s := range schemasOfMessages {
		kinds[s.value] = k
	}
	return kinds
}()

// appendMessage appends the key or the value of an OpMessage.
func (e *Encoder) appendMessage(dst []byte, r *connect.Record, key bool) ([]byte, error) {
	kind, part, value, ok := r.Message()
	if !ok {
		return dst, fmt.Errorf("convert: a record of %s is not the message that its op says", r.Table)
	}
	s := schemasOfMessages[kind]
	head := s.key
	if !key {
		part, head = value, s.value
	}
	if !e.opts.Schemas {
		return append(dst, part...), nil
	}
	if head == "" {
		head = "null"
	}
	dst = append(append(append(dst, `{"schema":`...), head...), `,"payload":`...)
	return append(append(dst, part...), '}'), nil
}

// message reads an OpMessage back. The parts are of m.
func (d *decoder) message(dst *connect.Batch, m *connect.Message, kind connect.Kind, value []byte) error {
	_, key, err := split(m.Key)
	if err != nil {
		return err
	}
	r := dst.Add()
	*r = connect.Record{Topic: m.Topic, Partition: m.Partition, Time: m.Time}
	r.SetMessage(dst, kind, key, value)
	return d.headers(dst, r, m)
}

// appendTransaction appends where r stands in its transaction, or null.
func appendTransaction(dst []byte, r *connect.Record) []byte {
	for i := range r.Headers {
		if r.Headers[i].Key == connect.HeaderTransaction {
			return append(dst, r.Headers[i].Value...)
		}
	}
	return append(dst, "null"...)
}
