package remoting

import (
	"bytes"
	"encoding/json"
	"maps"
	"testing"
)

// TestFrames: what is written is JSON for others, and comes back as it was.
func TestFrames(t *testing.T) {
	for _, c := range []Command{
		{},
		{Code: 11, Fields: map[string]string{"topic": "a%b|2Ec", "": "", "queueOffset": "-9223372036854775808"}, Body: []byte("body")},
		{Code: -1, Remark: "a \"b\"\\\n\x00\x7f\u00e9\u2028<&>", Fields: map[string]string{"k\"\t": "v\\", "\u00e9": "\U0001f600"}, Body: bytes.Repeat([]byte{0xff}, 100_000)},
	} {
		frame, err := appendFrame(nil, &c, -7, 3)
		if err != nil {
			t.Fatal(err)
		}
		var h struct {
			Code         Code
			Language     string
			Version      int
			Opaque, Flag int
			Remark       string
			ExtFields    map[string]string
		}
		if err := json.Unmarshal(frame[8:], &h); err != nil {
			t.Fatalf("%q: %v", frame[8:], err)
		}
		if h.Code != c.Code || h.Language != "GO" || h.Version != protocolVersion || h.Opaque != -7 || h.Flag != 3 || h.Remark != c.Remark || !maps.Equal(h.ExtFields, c.Fields) {
			t.Errorf("%+v is written as %s", c, frame[8:])
		}
		got, opaque, flag, err := readFrame(bytes.NewReader(append(frame, c.Body...)))
		if err != nil {
			t.Fatal(err)
		}
		if got.Code != c.Code || got.Remark != c.Remark || !maps.Equal(got.Fields, c.Fields) || !bytes.Equal(got.Body, c.Body) || opaque != -7 || flag != 3 {
			t.Errorf("%+v comes back as %+v, %d, %d", c, got, opaque, flag)
		}
	}
	for _, bad := range []string{`{`, `[]`, `{"code":}`, `{"extFields":{"a":"\x"}}`, `{"extFields":{{}:1}}`, "{\"remark\":\"\n\"}", `{} x`} {
		frame := append([]byte{0, 0, 0, byte(4 + len(bad)), 0, 0, 0, byte(len(bad))}, bad...)
		if got, _, _, err := readFrame(bytes.NewReader(frame)); err == nil {
			t.Errorf("%q is read as %+v", bad, got)
		}
	}
}

// TestFrameRoom: memory that is given back is used again by frames of about its size.
func TestFrameRoom(t *testing.T) {
	for _, n := range []int{1, 1<<leastKept - 1, 1 << leastKept, 33_000, 256<<10 + 500, 1 << mostKept, 1<<mostKept + headRoom, 1<<mostKept + headRoom + 1} {
		b := frameRoom(n)
		if len(b) != n || n >= 1<<leastKept && cap(b) > 2*n+2*headRoom {
			t.Errorf("of %d bytes there are %d, with room for %d", n, len(b), cap(b))
		}
		keepFrame(b)
		if again := frameRoom(n); len(again) != n {
			t.Errorf("again of %d bytes there are %d", n, len(again))
		}
	}
}
