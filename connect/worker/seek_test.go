package worker

import (
	"fmt"
	"testing"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/connect/memlog"
)

// A time is found in a partition: before all, among equal ones, between two, and
// behind all; also where messages have been forgotten.
func TestFirstFrom(t *testing.T) {
	log := memlog.New()
	defer log.Close()
	if err := log.CreateTopic(t.Context(), "t", 1); err != nil {
		t.Fatal(err)
	}
	var msgs []connect.Message
	for i, at := range []int64{10, 20, 20, 20, 30, 50, 50, 70} {
		msgs = append(msgs, connect.Message{Topic: "t", Count: 1, Time: at, Value: fmt.Append(nil, i)})
	}
	if err := log.Append(t.Context(), msgs, nil); err != nil {
		t.Fatal(err)
	}
	look := func(want map[int64]int64) {
		t.Helper()
		for at, offset := range want {
			if got, err := firstFrom(t.Context(), log, partition{"t", 0}, at); err != nil || got != offset {
				t.Errorf("%d is at %d, %v, want %d", at, got, err, offset)
			}
		}
	}
	look(map[int64]int64{0: 0, 10: 0, 11: 1, 20: 1, 21: 4, 30: 4, 40: 5, 50: 5, 51: 7, 70: 7, 71: 8})
	if err := log.Trim(t.Context(), "t", 0, 3); err != nil {
		t.Fatal(err)
	}
	look(map[int64]int64{0: 3, 20: 3, 21: 4, 71: 8})
}
