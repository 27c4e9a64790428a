package remoting

import "testing"

func TestLoose(t *testing.T) {
	o, err := parseObject([]byte(` {"offsetTable":{{"brokerName":"a","queueId":3,"topic":"t"}:{"maxOffset":7,"minOffset":-1},"x\"y":[1, 2.5e3,{}, []]},"brokerAddrs":{0:"h:1",2:null},"f":true,"n":"12"}`))
	if err != nil {
		t.Fatal(err)
	}
	table := o.object("offsetTable")
	key, _ := table[0].key.(object)
	value, _ := table[0].value.(object)
	if key.text("brokerName") != "a" || key.number("queueId") != 3 || value.number("maxOffset") != 7 || value.number("minOffset") != -1 {
		t.Errorf("table is %v", table)
	}
	if len(table.list(`x"y`)) != 4 || masterOf(o) != "h:1" || o.number("n") != 12 || o.get("f") != true || o.get("gone") != nil {
		t.Errorf("object is %v", o)
	}
	for _, bad := range []string{"", "{", "[]", "{1}", "{1:2", "{1:2}}", `{"a":"b}`, `{"a":tru}`, "{a:1}", "{1:2,,3:4}", "{1:--1}", `{"a":"\`, `{"a":"\x"}`} {
		if o, err := parseObject([]byte(bad)); err == nil {
			t.Errorf("%s passes as %v", bad, o)
		}
	}
	deep := make([]byte, 100000)
	for i := range deep {
		deep[i] = '{'
	}
	if _, err := parseObject(deep); err == nil {
		t.Error("an object of any depth passes")
	}
}

func FuzzLoose(f *testing.F) {
	f.Add([]byte(`{"a":{0:"x",{"b":1}:[true,null]}}`))
	f.Fuzz(func(t *testing.T, b []byte) { _, _ = parseObject(b) })
}

func FuzzStored(f *testing.F) {
	f.Add([]byte{0, 0, 0, 8, 0xda, 0xa3, 0x20, 0xa7})
	f.Fuzz(func(t *testing.T, b []byte) { _, _ = appendStored(nil, b) })
}
