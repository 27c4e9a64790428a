package connect

import "github.com/towline/towline/schema"

// Kind says what an OpMessage tells. It is the name of the record's Table,
// whose Database is empty.
type Kind string

// The kinds; what they hold is Debezium's.
const (
	KindHeartbeat    Kind = "heartbeat"     // that the source lives
	KindTransaction  Kind = "transaction"   // where a transaction begins or ends
	KindSchemaChange Kind = "schema_change" // a statement that defines tables
)

// HeaderTransaction is the header of a row's record that says where in its
// transaction it stands: the envelope's block "transaction", as JSON.
const HeaderTransaction = "__debezium.transaction"

var messageTables = map[Kind]*schema.Table{KindHeartbeat: messageTable(KindHeartbeat),
	KindTransaction: messageTable(KindTransaction), KindSchemaChange: messageTable(KindSchemaChange)}

func messageTable(kind Kind) *schema.Table {
	t, err := schema.New(&schema.Table{Name: string(kind), Columns: []schema.Column{{Name: "__key", Type: schema.TypeJSON}, {Name: "__value", Type: schema.TypeJSON}}})
	if err != nil {
		panic(err)
	}
	return t
}

// SetMessage makes r an OpMessage of a kind. key and value are JSON; they are
// b's, or shared.
func (r *Record) SetMessage(b *Batch, kind Kind, key, value []byte) {
	r.Op, r.Table, r.After = OpMessage, messageTables[kind], b.NewRow(2)
	r.After[0], r.After[1] = schema.MakeBytes(schema.JSON, key), schema.MakeBytes(schema.JSON, value)
}

// Message returns what an OpMessage tells; ok is false if r is none, or broken.
func (r *Record) Message() (kind Kind, key, value []byte, ok bool) {
	if r.Op != OpMessage || r.Table == nil || len(r.After) != 2 || r.After[0].Kind() != schema.JSON || r.After[1].Kind() != schema.JSON {
		return "", nil, nil, false
	}
	return Kind(r.Table.Name), r.After[0].Bytes(), r.After[1].Bytes(), true
}
