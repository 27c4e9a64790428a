package frame

import (
	"fmt"
	"testing"

	"github.com/towline/towline/connect"
)

// Messages beside rows and statements of origins come through, and the format
// stays what it is without them.
func TestMessagesAndQueries(t *testing.T) {
	var b connect.Batch
	queries := []string{"", "SELECT 1", "SELECT 1", "", string(make([]byte, 100000)), "SELECT 2"}
	for i, q := range queries {
		r := b.Add()
		r.Topic, r.Seq, r.Origin = "t", uint64(i), b.NewOrigin()
		r.Origin.File, r.Origin.Query = "f", q
		r.SetMessage(&b, connect.KindTransaction, []byte(`{"id":1}`), []byte(fmt.Sprintf(`{"n":%d}`, i)))
	}
	var out connect.Batch
	c := make1()
	if err := c.Decode(&out, mustEncode(t, &b)); err != nil {
		t.Fatal(err)
	}
	for i, q := range queries {
		r := &out.Records[i]
		kind, key, value, ok := r.Message()
		if !ok || kind != connect.KindTransaction || string(key) != `{"id":1}` || string(value) != fmt.Sprintf(`{"n":%d}`, i) || r.Origin.Query != q || r.Origin.File != "f" {
			t.Errorf("record %d is %+v", i, r)
		}
	}
}
