package remoting

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// errClosed ends the calls of a closed Client.
var errClosed = errors.New("remoting: client is closed")

// conn is one connection and the requests that wait on it.
type conn struct {
	addr   string
	nc     net.Conn
	notify func(addr string, c *Command)
	writer chan struct{} // holds a token while somebody writes

	mu      sync.Mutex
	next    int32
	waiting map[int32]chan *Command
	err     error         // why it ended
	done    chan struct{} // closed when it ended
}

func newConn(addr string, nc net.Conn, notify func(string, *Command)) *conn {
	return &conn{addr: addr, nc: nc, notify: notify, writer: make(chan struct{}, 1),
		waiting: map[int32]chan *Command{}, done: make(chan struct{})}
}

// readLoop hands out answers until the connection ends.
func (c *conn) readLoop() {
	r := bufio.NewReaderSize(c.nc, 64<<10)
	for {
		cmd, opaque, flag, err := readFrame(r)
		if err != nil {
			c.end(err)
			return
		}
		if flag&flagResponse == 0 {
			if c.notify != nil {
				c.notify(c.addr, cmd)
			}
			continue
		}
		c.mu.Lock()
		answer := c.waiting[opaque]
		delete(c.waiting, opaque)
		c.mu.Unlock()
		if answer != nil { // nil: nobody waits any more
			answer <- cmd
		}
	}
}

// end closes the connection; the first cause counts.
func (c *conn) end(err error) {
	c.mu.Lock()
	first := c.err == nil
	if first {
		c.err = err
	}
	c.mu.Unlock()
	if first {
		c.nc.Close()
		close(c.done)
	}
}

func (c *conn) ended() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

func (c *conn) fault() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return fmt.Errorf("remoting: connection to %s: %w", c.addr, c.err)
}

// call sends a request and waits for its answer.
func (c *conn) call(ctx context.Context, req *Command) (*Command, error) {
	answer := make(chan *Command, 1)
	c.mu.Lock()
	c.next++
	opaque := c.next
	c.waiting[opaque] = answer
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		delete(c.waiting, opaque)
		c.mu.Unlock()
	}()
	if err := c.write(ctx, req, opaque); err != nil {
		return nil, err
	}
	select {
	case resp := <-answer:
		return resp, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-c.done:
		return nil, c.fault()
	}
}

// patience is for how long a frame is still written for one who has given up: half
// of one ends the connection, and with it what others wait for.
const patience = time.Second

// write writes one frame. Who gives up in the middle of one that hangs ends the
// connection.
func (c *conn) write(ctx context.Context, req *Command, opaque int32) error {
	head, err := appendFrame(nil, req, opaque, 0)
	if err != nil {
		return err
	}
	select {
	case c.writer <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-c.done:
		return c.fault()
	}
	defer func() { <-c.writer }()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	cut := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		c.nc.SetWriteDeadline(time.Now().Add(patience)) // a write that hangs ends
		close(cut)
	})
	bufs := net.Buffers{head, req.Body}
	_, err = bufs.WriteTo(c.nc)
	if !stop() {
		<-cut
		if err == nil { // the context ended when all was written
			c.nc.SetWriteDeadline(time.Time{})
		}
	}
	if err != nil {
		c.end(err)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return c.fault()
	}
	return nil
}
