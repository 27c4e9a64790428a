package snapshot

import (
	"context"
	"strings"
	"testing"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/offsets"
)

// noBrake is one whose answers the test gives by hand.
type noBrake struct{}

func (noBrake) Look(context.Context, bool) (string, bool) { return "", false }
func (noBrake) Close()                                    {}

func TestCopiesRestAndGoOn(t *testing.T) {
	k := newScript(t, Config{Brake: noBrake{}}, simShape("a", true, 0))
	var reason string
	k.w.env.Report = func(s connect.TableStatus) { reason = s.Reason }
	throttled := -1.0
	k.w.env.Gauge = func(_ string, v float64, _ ...string) { throttled = v }
	if busy, resting := k.w.mayRead(); !busy || resting || k.job() != nil {
		t.Fatalf("busy %v, resting %v: copies begin before anybody looked", busy, resting)
	}
	k.w.heed("it is too much", false)
	if k.job() != nil || reason != "it is too much" || throttled != 1 {
		t.Fatalf("copies go on, because %q, gauge %v", reason, throttled)
	}
	if busy, resting := k.w.mayRead(); !busy || !resting {
		t.Fatalf("busy %v, resting %v", busy, resting)
	}
	k.w.heed("", false)
	if k.job() == nil || reason != "" || throttled != 0 {
		t.Fatalf("copies do not go on, because %q, gauge %v", reason, throttled)
	}
}

// A critical load pauses copies for good, which a restart keeps.
func TestACriticalLoadPauses(t *testing.T) {
	k := newScript(t, Config{Brake: noBrake{}}, simShape("a", true, 0))
	k.w.heed("it is far too much", true)
	k.w.heed("", false)
	if k.job() != nil || !k.w.paused {
		t.Fatal("copies go on after a critical load")
	}
	if busy, _ := k.w.mayRead(); busy {
		t.Error("the load is looked at while copies are paused")
	}
	var b connect.Batch
	if !k.w.emitNext(&b, false) {
		t.Fatal("the pause is not saved")
	}
	w := newWeaver(Config{}, k.l, connect.Env{})
	if err := w.load(append([]offsets.Entry(nil), b.State...), false); err != nil || !w.paused {
		t.Fatalf("the pause is not in the state: %v", err)
	}
}

func TestLimitsOfLoad(t *testing.T) {
	loads, err := parseLoads("Threads_running=25, Threads_connected = 500")
	if err != nil || len(loads) != 2 || loads[0] != (Load{"Threads_running", 25}) || loads[1] != (Load{"Threads_connected", 500}) {
		t.Errorf("%v %v", loads, err)
	}
	for _, text := range []string{"Threads_running", "=5", "a=b", "a=-1", "a'b=1"} {
		if err := checkLoads(text); err == nil || !strings.Contains(err.Error(), "Threads_running=25") {
			t.Errorf("%s: %v", text, err)
		}
	}
	for text, ok := range map[string]bool{"": true, "a:3306,[::1]:1": true, "a": false, "a:b": false, ":1": false} {
		if err := checkReplicas(text); (err == nil) != ok {
			t.Errorf("%q: %v", text, err)
		}
	}
}
