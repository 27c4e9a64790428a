package faults

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/towline/towline/e2e/mysqltest"
	"github.com/towline/towline/e2e/rockettest"
	"github.com/towline/towline/e2e/workload"
)

// noLease has brokers forget at once that a killed process had a namespace.
const noLease = "-Drocketmq.broker.rebalance.lockMaxLiveTime=500"

// newRocketRig is newRig with topics in RocketMQ, of four queues over two
// brokers.
func newRocketRig(t *testing.T, o options, cfg rockettest.Config) (*rig, *rockettest.Cluster) {
	t.Helper()
	cfg.Brokers, cfg.Java = 2, append(cfg.Java, noLease)
	c := rockettest.Start(t, cfg)
	o.nameServer = c.NameServer
	return newRig(t, o), c
}

// The program and the brokers, one of which has the positions too, are killed
// at random moments.
func TestKilledOverRocketMQ(t *testing.T) {
	r, c := newRocketRig(t, options{rows: 2000, load: workload.Options{Writers: 2, Types: true, Big: 1000, Pause: 5 * time.Millisecond}}, rockettest.Config{})
	r.start()
	stop := r.writing()
	for i := range kills(t, 4) {
		time.Sleep(500*time.Millisecond + rand.N(2500*time.Millisecond))
		if err, ended := r.proc.Ended(0); ended {
			t.Fatalf("the program ended by itself: %v\n%s", err, r.proc.LogTail(20))
		}
		if i%3 > 0 {
			r.proc.Kill()
			if err := r.proc.Start(); err != nil {
				t.Fatal(err)
			}
			continue
		}
		b := c.Brokers[rand.N(len(c.Brokers))]
		if err := b.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := b.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.proc.AwaitUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	stop()
	r.settle()
}

// front is where brokers are reached that have wires in front of them.
const front = "127.0.0.2"

// wiresTo returns what is between the program and brokers at front.
func wiresTo(t *testing.T, c *rockettest.Cluster) (wires []*mysqltest.Proxy) {
	t.Helper()
	for _, b := range c.Brokers {
		p, err := mysqltest.OpenProxyAt(front, b.Addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := p.Close(); err != nil {
				t.Error(err)
			}
		})
		wires = append(wires, p)
	}
	return wires
}

// Connections to brokers are cut, slow and silent.
func TestBadNetworkToRocketMQ(t *testing.T) {
	r, c := newRocketRig(t, options{rows: 2000, load: workload.Options{Writers: 2, Types: true, Pause: 5 * time.Millisecond}}, rockettest.Config{Front: front})
	wires := wiresTo(t, c)
	r.start()
	stop := r.writing()
	for i := range kills(t, 8) {
		w := wires[rand.N(len(wires))]
		switch i % 4 {
		case 0:
			w.Delay(rand.N(40 * time.Millisecond))
		case 1:
			w.Limit(64<<10 + rand.N(int64(1<<20)))
		case 2:
			w.Freeze()
		}
		time.Sleep(300*time.Millisecond + rand.N(500*time.Millisecond))
		w.Cut()
		w.Thaw()
		w.Delay(0)
		w.Limit(0)
	}
	stop()
	r.settle()
}
