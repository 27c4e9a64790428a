package mysqltest

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/towline/towline/e2e/child"
)

// dialTimeout bounds how long Close may have to wait for a server that does not accept.
const dialTimeout = 10 * time.Second

// Proxy is a TCP proxy in front of a server that can hurt the network: cut connections, refuse them,
// freeze, delay and slow them down. It keeps its address over Down and Up. Every goroutine of it has
// ended when Close returns.
type Proxy struct {
	upstream atomic.Pointer[string]
	host     string
	port     int
	lease    *child.Lease // nil: the port is another's, on another host
	delay    atomic.Int64 // nanoseconds from server to client
	rate     atomic.Int64 // bytes a second in each direction; 0 is no limit

	mu     sync.Mutex
	ln     net.Listener // nil when down
	links  map[*link]struct{}
	thawed chan struct{} // closed when data may flow
	wg     sync.WaitGroup
}

// OpenProxy opens a proxy in front of any TCP address.
func OpenProxy(upstream string) (*Proxy, error) {
	lease, err := child.LeasePort(0)
	if err != nil {
		return nil, err
	}
	p, err := openProxy(&Proxy{host: "127.0.0.1", port: lease.Port, lease: lease}, upstream)
	if err != nil {
		return nil, errors.Join(err, lease.Close())
	}
	return p, nil
}

// OpenProxyAt is OpenProxy at another address of this machine, such as
// 127.0.0.2, with the port that the server behind it has.
func OpenProxyAt(host, upstream string) (*Proxy, error) {
	_, port, err := net.SplitHostPort(upstream)
	if err != nil {
		return nil, err
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		return nil, err
	}
	return openProxy(&Proxy{host: host, port: n}, upstream)
}

func openProxy(p *Proxy, upstream string) (*Proxy, error) {
	p.links, p.thawed = make(map[*link]struct{}), make(chan struct{})
	p.Point(upstream)
	close(p.thawed)
	return p, p.Up()
}

// Point lets new connections lead to another address, as a failover does. Those that are open stay: see
// Cut.
func (p *Proxy) Point(upstream string) { p.upstream.Store(&upstream) }

// Proxy opens a proxy in front of the server, for the length of the test.
func (s *Server) Proxy(tb testing.TB) *Proxy {
	tb.Helper()
	p, err := OpenProxy(s.Addr())
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := p.Close(); err != nil {
			tb.Error(err)
		}
	})
	return p
}

// Addr is the address to connect to, as host:port.
func (p *Proxy) Addr() string { return net.JoinHostPort(p.Host(), strconv.Itoa(p.Port())) }

// Host is the host of Addr.
func (p *Proxy) Host() string { return p.host }

// Port is the port of Addr.
func (p *Proxy) Port() int { return p.port }

// Up accepts connections again after Down.
func (p *Proxy) Up() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ln != nil {
		return nil
	}
	ln, err := net.Listen("tcp", p.Addr())
	if err != nil {
		return fmt.Errorf("mysqltest: proxy: listen: %w", err)
	}
	p.ln = ln
	p.wg.Go(func() { p.accept(ln) })
	return nil
}

// Down cuts all connections and refuses new ones.
func (p *Proxy) Down() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ln != nil {
		p.ln.Close()
		p.ln = nil
	}
	p.cut()
}

// Cut resets all connections at once; what is under way is lost. New ones are accepted.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut()
}

func (p *Proxy) cut() {
	for l := range p.links {
		l.reset()
	}
}

// Delay makes all that the server sends arrive this much later, without less of it getting through.
// 0 ends the delay.
func (p *Proxy) Delay(d time.Duration) { p.delay.Store(int64(d)) }

// Limit lets at most this many bytes a second through, in each direction and for each connection.
// 0 ends the limit.
func (p *Proxy) Limit(bytesPerSec int64) { p.rate.Store(bytesPerSec) }

// Freeze holds all data back and leaves the connections open, as a lost network or a hung server
// does. New connections are accepted but say nothing.
func (p *Proxy) Freeze() {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.thawed:
		p.thawed = make(chan struct{})
	default:
	}
}

// Thaw lets the data flow again.
func (p *Proxy) Thaw() {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.thawed:
	default:
		close(p.thawed)
	}
}

// Close cuts all connections and ends the proxy.
func (p *Proxy) Close() error {
	p.Down()
	p.wg.Wait()
	if p.lease == nil {
		return nil
	}
	return p.lease.Close()
}

func (p *Proxy) accept(ln net.Listener) {
	for {
		client, err := ln.Accept()
		if err != nil {
			return // Down closed it
		}
		l := &link{proxy: p, client: client.(*net.TCPConn), done: make(chan struct{})}
		p.mu.Lock()
		if p.ln != ln { // went down in between
			l.reset()
		}
		p.links[l] = struct{}{}
		p.wg.Go(func() {
			l.run()
			p.mu.Lock()
			defer p.mu.Unlock()
			delete(p.links, l)
		})
		p.mu.Unlock()
	}
}

// link is one proxied connection.
type link struct {
	proxy  *Proxy
	client *net.TCPConn

	mu     sync.Mutex
	server *net.TCPConn  // nil while being dialled
	done   chan struct{} // closed by reset
	over   bool
}

// reset breaks both connections off with a TCP reset; that wakes all reads and writes.
func (l *link) reset() { l.end(abort) }

// close ends a link in good order when all its data is through.
func (l *link) close() { l.end(func(c *net.TCPConn) { c.Close() }) }

// end ends both connections in the given way, unless that was done before.
func (l *link) end(way func(*net.TCPConn)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over {
		return
	}
	l.over = true
	close(l.done)
	way(l.client)
	if l.server != nil {
		way(l.server)
	}
}

// attach sets the server's side, unless the link was reset before.
func (l *link) attach(server *net.TCPConn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over {
		abort(server)
		return false
	}
	l.server = server
	return true
}

// run carries data in both directions until both have ended or the link is reset.
func (l *link) run() {
	defer l.reset()
	conn, err := net.DialTimeout("tcp", *l.proxy.upstream.Load(), dialTimeout)
	if err != nil {
		return
	}
	server := conn.(*net.TCPConn)
	if !l.attach(server) {
		return
	}
	var wg sync.WaitGroup
	wg.Go(func() { l.carry(server, l.client, false) })
	wg.Go(func() { l.carry(l.client, server, true) })
	wg.Wait()
	l.close()
}

// abort closes a connection with a reset instead of an orderly end. Errors say that it is closed.
func abort(c *net.TCPConn) {
	_ = c.SetLinger(0)
	_ = c.Close()
}

// chunk is a piece of data and the moment it is due.
type chunk struct {
	data []byte
	due  time.Time
}

// carry moves data from src to dst until src ends or the link is reset. Reading goes on while earlier
// chunks wait for their moment, up to the length of the queue.
func (l *link) carry(dst, src *net.TCPConn, delayed bool) {
	queue := make(chan chunk, 256)
	var wg sync.WaitGroup
	wg.Go(func() {
		defer close(queue)
		l.read(queue, src, delayed)
	})
	for c := range queue {
		if err := l.write(dst, c); err != nil {
			l.reset() // wakes the reader
		}
	}
	_ = dst.CloseWrite() // fails when the link was reset
	wg.Wait()
}

func (l *link) read(queue chan<- chunk, src *net.TCPConn, delayed bool) {
	for {
		buf := make([]byte, 16<<10)
		n, err := src.Read(buf)
		if n > 0 {
			c := chunk{data: buf[:n], due: time.Now()}
			if delayed {
				c.due = c.due.Add(time.Duration(l.proxy.delay.Load()))
			}
			select {
			case queue <- c:
			case <-l.done:
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// write hands a chunk on when it is due, in steps of a twentieth of a second when a limit is set.
func (l *link) write(dst *net.TCPConn, c chunk) error {
	if err := l.sleep(time.Until(c.due)); err != nil {
		return err
	}
	for len(c.data) > 0 {
		if err := l.awaitThaw(); err != nil {
			return err
		}
		n, rate := len(c.data), l.proxy.rate.Load()
		if rate > 0 {
			n = int(min(int64(n), max(1, rate/20)))
			if err := l.sleep(time.Duration(int64(n) * int64(time.Second) / rate)); err != nil {
				return err
			}
		}
		if _, err := dst.Write(c.data[:n]); err != nil {
			return err
		}
		c.data = c.data[n:]
	}
	return nil
}

func (l *link) awaitThaw() error {
	l.proxy.mu.Lock()
	thawed := l.proxy.thawed
	l.proxy.mu.Unlock()
	select {
	case <-thawed:
		return nil
	case <-l.done:
		return net.ErrClosed
	}
}

func (l *link) sleep(d time.Duration) error {
	if d <= 0 {
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-l.done:
		return net.ErrClosed
	}
}
