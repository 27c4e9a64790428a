package convert

import (
	"testing"

	"github.com/towline/towline/connect"
)

// A GTID of the source block is read back as it was, of whichever server.
func TestGTIDs(t *testing.T) {
	for _, text := range []string{"00112233-4455-6677-8899-aabbccddeeff:5", "00112233-4455-6677-8899-aabbccddeeff:tag:6", "0-1-100", "4294967295-4294967295-9223372036854775807"} {
		var o connect.Origin
		d := decoder{strings: map[string]string{}, max: 10}
		if err := d.gtid(&o, []byte(text)); err != nil {
			t.Error(err)
		} else if got := string(o.AppendGTID(nil)); got != text {
			t.Errorf("%s became %s", text, got)
		}
	}
	for _, bad := range []string{"", "1", "1-2", "1-2-0", "1-2-3-4", "-1-2-3", "4294967296-1-1", "a-b-c", "1-2-9223372036854775808"} {
		var o connect.Origin
		if err := new(decoder).gtid(&o, []byte(bad)); err == nil {
			t.Errorf("%q was read as %s", bad, o.AppendGTID(nil))
		}
	}
}
