package remoting

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// dialTimeout bounds how long a connection may take to be made.
const dialTimeout = 5 * time.Second

// Options of a Client.
type Options struct {
	TLS         *tls.Config  // nil: plain connections
	Credentials *Credentials // nil: requests are not signed
	// Notify is called with what servers send of their own accord. It must not
	// block.
	Notify func(addr string, c *Command)
}

// Client speaks to any number of servers.
type Client struct {
	o Options

	mu     sync.Mutex
	conns  map[string]*slot
	closed bool
	loops  sync.WaitGroup
}

// slot is where the connection to one address is made, by one at a time.
type slot struct {
	making chan struct{} // holds a token while somebody makes it
	conn   *conn         // who holds the token, or mu of the Client
}

// New returns a Client without connections.
func New(o Options) *Client { return &Client{o: o, conns: map[string]*slot{}} }

// Call sends a request to a server and returns its answer, whatever its code.
// The request is not changed.
func (c *Client) Call(ctx context.Context, addr string, req *Command) (*Command, error) {
	cn, err := c.connect(ctx, addr)
	if err != nil {
		return nil, err
	}
	signed := *req
	if c.o.Credentials != nil {
		c.o.Credentials.sign(&signed)
	}
	return cn.call(ctx, &signed)
}

// want is Call, with any code but Success as an *Error.
func (c *Client) want(ctx context.Context, addr, what string, req *Command) (*Command, error) {
	resp, err := c.Call(ctx, addr, req)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	if resp.Code != Success {
		return nil, &Error{What: what, Addr: addr, Code: resp.Code, Remark: resp.Remark}
	}
	return resp, nil
}

// connect returns the connection to an address, a new one if need be.
func (c *Client) connect(ctx context.Context, addr string) (*conn, error) {
	s, cn, err := c.slotOf(addr)
	if cn != nil || err != nil {
		return cn, err
	}
	select {
	case s.making <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	defer func() { <-s.making }()
	if _, cn, err := c.slotOf(addr); cn != nil || err != nil {
		return cn, err
	}
	nc, err := c.dial(ctx, addr)
	if err != nil {
		return nil, fmt.Errorf("remoting: connect to %s: %w", addr, err)
	}
	cn = newConn(addr, nc, c.o.Notify)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		nc.Close()
		return nil, errClosed
	}
	s.conn = cn
	c.loops.Go(cn.readLoop)
	return cn, nil
}

// slotOf returns the slot of an address, and its connection if that lives.
func (c *Client) slotOf(addr string) (*slot, *conn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, nil, errClosed
	}
	s := c.conns[addr]
	if s == nil {
		s = &slot{making: make(chan struct{}, 1)}
		c.conns[addr] = s
	}
	if s.conn != nil && !s.conn.ended() {
		return s, s.conn, nil
	}
	return s, nil, nil
}

func (c *Client) dial(ctx context.Context, addr string) (net.Conn, error) {
	d := net.Dialer{Timeout: dialTimeout}
	if c.o.TLS == nil {
		return d.DialContext(ctx, "tcp", addr)
	}
	t := tls.Dialer{NetDialer: &d, Config: c.o.TLS}
	return t.DialContext(ctx, "tcp", addr)
}

// Close ends all connections. Calls that wait return an error.
func (c *Client) Close() error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return errClosed
	}
	c.closed = true
	for _, s := range c.conns {
		if s.conn != nil {
			s.conn.end(errClosed)
		}
	}
	c.mu.Unlock()
	c.loops.Wait()
	return nil
}

// IsClosed reports whether err is that of a closed Client.
func IsClosed(err error) bool { return errors.Is(err, errClosed) }
