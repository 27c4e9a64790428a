package offsets

import "testing"

func TestMarks(t *testing.T) {
	for _, m := range []Mark{{}, {Offset: 1}, {Offset: 1<<62 - 1, Index: 1 << 20}} {
		back, err := ParseMark(m.Position())
		if err != nil || back != m {
			t.Errorf("%+v comes back as %+v, %v", m, back, err)
		}
	}
	for _, bad := range []Position{nil, {}, {0x80}, {1}, {1, 2, 3}} {
		if m, err := ParseMark(bad); err == nil {
			t.Errorf("%x passes as %+v", []byte(bad), m)
		}
	}
	if !(Mark{Offset: 1, Index: 5}).Before(Mark{Offset: 2}) || (Mark{Offset: 1, Index: 5}).Before(Mark{Offset: 1, Index: 5}) ||
		!(Mark{Offset: 1, Index: 4}).Before(Mark{Offset: 1, Index: 5}) {
		t.Error("Before")
	}
}

func TestMarkKeys(t *testing.T) {
	for _, c := range []struct {
		topic string
		num   int32
	}{{"a", 0}, {"a/b", 7}, {"p.d.t", 1<<31 - 1}} {
		topic, num, err := ParseMarkKey(MarkKey(c.topic, c.num))
		if err != nil || topic != c.topic || num != c.num {
			t.Errorf("%v comes back as %q, %d, %v", c, topic, num, err)
		}
	}
	for _, bad := range []string{"", "a", "/1", "a/", "a/x", "a/-1", "a/4294967296"} {
		if topic, num, err := ParseMarkKey(bad); err == nil {
			t.Errorf("%q passes as %q, %d", bad, topic, num)
		}
	}
}

func TestKeysOfTasksAreApart(t *testing.T) {
	if SourceKey("a", 0) == SinkKey("a") || SourceKey("a", 1) == SourceKey("a", 11)[:len(SourceKey("a", 1))] {
		t.Error("the keys of one task are a prefix of another's")
	}
}

func TestAfter(t *testing.T) {
	for prefix, want := range map[string]string{"": "", "a": "b", "a\xff": "b", "\xff\xff": "", "a/": "a0"} {
		if got := After(prefix); got != want {
			t.Errorf("behind %q comes %q, want %q", prefix, got, want)
		}
	}
}
