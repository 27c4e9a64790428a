package convert

import (
	"encoding/json"
	"testing"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/schema"
)

// What is told beside rows has the form of Debezium and comes back as it was.
func TestMessagesBesideRows(t *testing.T) {
	for _, c := range []struct {
		kind             connect.Kind
		key, value, name string
	}{
		{connect.KindHeartbeat, `{"serverName":"p"}`, `{"ts_ms":1}`, "io.debezium.connector.common.Heartbeat"},
		{connect.KindTransaction, `{"id":"u:1"}`, `{"status":"END","id":"u:1","event_count":2,"data_collections":[{"data_collection":"d.t","event_count":2}],"ts_ms":5}`, "io.debezium.connector.common.TransactionMetadataValue"},
		{connect.KindSchemaChange, `{"databaseName":"d"}`, `{"source":{},"ts_ms":1,"databaseName":"d","schemaName":null,"ddl":"DROP TABLE t","tableChanges":[]}`, "io.debezium.connector.mysql.SchemaChangeValue"},
	} {
		for _, schemas := range []string{"true", "false"} {
			conv := open(t, map[string]string{optSchemas: schemas})
			var b connect.Batch
			r := b.Add()
			r.Topic, r.Seq, r.Time, r.Flags = "topic", 7, 9, connect.TxEnd
			r.SetMessage(&b, c.kind, []byte(c.key), []byte(c.value))
			var m connect.Messages
			if err := conv.Encode(&m, &b); err != nil || len(m.List) != 1 {
				t.Fatalf("%s: %d messages, %v", c.kind, len(m.List), err)
			}
			key, value := string(m.List[0].Key), string(m.List[0].Value)
			if schemas == "false" {
				if key != c.key || value != c.value {
					t.Errorf("%s is %s: %s", c.kind, key, value)
				}
				continue
			}
			var parts struct {
				Schema  struct{ Type, Name string }
				Payload json.RawMessage
			}
			if err := json.Unmarshal(m.List[0].Value, &parts); err != nil || string(parts.Payload) != c.value || parts.Schema.Name != c.name || parts.Schema.Type != "struct" {
				t.Errorf("%s is %s, %v", c.kind, value, err)
			}
			if err := json.Unmarshal(m.List[0].Key, &parts); err != nil || string(parts.Payload) != c.key {
				t.Errorf("%s has the key %s, %v", c.kind, key, err)
			}
			var back connect.Batch
			if err := conv.Decode(&back, m.List); err != nil || len(back.Records) != 1 {
				t.Fatal(err)
			}
			g := &back.Records[0]
			kind, k, v, ok := g.Message()
			if !ok || kind != c.kind || string(k) != c.key || string(v) != c.value || g.Topic != "topic" || g.Seq != 7 || g.Time != 9 || g.Flags != connect.TxEnd {
				t.Errorf("%s comes back as %+v", c.kind, g)
			}
		}
	}
}

// addInTransaction adds two changes, in an envelope and without, of a transaction.
func addInTransaction(t *testing.T, b *connect.Batch, block string) {
	t.Helper()
	for _, flags := range []connect.Flags{0, connect.Unwrapped} {
		r := b.Add()
		r.Op, r.Flags, r.Table, r.After, r.Time, r.Origin = connect.OpInsert, flags, shopTable(t), schema.Row{schema.MakeInt(1), str("x")}, 5, &connect.Origin{ServerID: 1, Query: "INSERT \"é\""}
		r.Headers = []connect.Header{{Key: "other", Value: []byte("1")}, {Key: connect.HeaderTransaction, Value: []byte(block)}}
	}
}

// Where a change stands in its transaction is in the envelope, and in a header
// where there is no envelope.
func TestTransactionBlock(t *testing.T) {
	const block = `{"id":"u:1","total_order":3,"data_collection_order":2}`
	conv := open(t, nil)
	var b connect.Batch
	addInTransaction(t, &b, block)
	var m connect.Messages
	if err := conv.Encode(&m, &b); err != nil {
		t.Fatal(err)
	}
	var value struct {
		Payload struct {
			Transaction json.RawMessage
			Source      struct{ Query string }
		}
	}
	if err := json.Unmarshal(m.List[0].Value, &value); err != nil || string(value.Payload.Transaction) != block || value.Payload.Source.Query != `INSERT "é"` {
		t.Fatalf("%s, %v", m.List[0].Value, err)
	}
	for i, want := range []int{0, 1} {
		n := 0
		for _, h := range m.List[i].Headers {
			if h.Key == connect.HeaderTransaction {
				n++
			}
		}
		if n != want {
			t.Errorf("message %d has %q", i, m.List[i].Headers)
		}
	}
	var back connect.Batch
	if err := conv.Decode(&back, m.List); err != nil {
		t.Fatal(err)
	}
	for i := range back.Records {
		h := back.Records[i].Headers
		if len(h) != 2 || h[0].Key != "other" || h[1].Key != connect.HeaderTransaction || string(h[1].Value) != block {
			t.Errorf("record %d has %q", i, h)
		}
	}
	if q := back.Records[0].Origin.Query; q != `INSERT "é"` {
		t.Errorf("the query is %q", q)
	}
}
