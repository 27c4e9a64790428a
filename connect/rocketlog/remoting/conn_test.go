package remoting

import (
	"context"
	"errors"
	"net"
	"os"
	"testing"
	"time"
)

// slowWire is a connection whose reader comes to a frame only when who sent it has
// given up.
type slowWire struct {
	net.Conn
	giveUp context.CancelFunc // nil: it has
	cut    chan time.Time     // the deadlines that are set
}

func (w *slowWire) SetWriteDeadline(at time.Time) error {
	w.cut <- at
	return nil
}

func (w *slowWire) Write(b []byte) (int, error) {
	if w.giveUp == nil {
		return len(b), nil
	}
	w.giveUp()
	w.giveUp = nil
	if at := <-w.cut; !at.After(time.Now()) {
		return 0, os.ErrDeadlineExceeded
	}
	return len(b), nil
}

// Who gives up while a frame is written leaves the connection to the others; who has
// given up before writes nothing.
func TestGivingUpLeavesTheConnection(t *testing.T) {
	ctx, giveUp := context.WithCancel(t.Context())
	w := &slowWire{giveUp: giveUp, cut: make(chan time.Time, 2)}
	c := &conn{nc: w, writer: make(chan struct{}, 1), done: make(chan struct{})}
	if err := c.write(ctx, &Command{}, 1); err != nil {
		t.Fatal(err)
	}
	if at := <-w.cut; !at.IsZero() {
		t.Errorf("the next write ends by %v", at)
	}
	if err := c.write(ctx, &Command{}, 2); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	select {
	case <-c.done:
		t.Error("the connection has ended")
	default:
	}
}
