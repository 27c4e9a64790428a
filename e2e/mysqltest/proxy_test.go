package mysqltest

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
)

// awaitGone waits until a path does not exist; the test's time limit bounds it.
func awaitGone(t *testing.T, path string) {
	t.Helper()
	for {
		b, err := os.ReadFile(path + "/stat")
		if errors.Is(err, fs.ErrNotExist) || strings.Contains(string(b), ") Z ") {
			return
		}
		select {
		case <-t.Context().Done():
			t.Fatalf("%s is still there", path)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// openVia is a pool whose connections go through the proxy.
func openVia(t *testing.T, s *Server, p *Proxy) *sql.DB {
	t.Helper()
	cfg, err := mysql.ParseDSN(s.DSN(""))
	if err != nil {
		t.Fatal(err)
	}
	cfg.Addr = p.Addr()
	cfg.Logger = &mysql.NopLogger{}
	conn, err := mysql.NewConnector(cfg)
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(conn)
	t.Cleanup(func() { db.Close() })
	return db
}

func TestProxyCutDownUp(t *testing.T) {
	s := Shared(t)
	p := s.Proxy(t)
	db := openVia(t, s, p)
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p.Cut()
	if _, err := conn.ExecContext(t.Context(), "DO 1"); err == nil {
		t.Error("a cut connection works")
	}
	conn.Close()
	if err := db.Ping(); err != nil {
		t.Errorf("new connection after a cut: %v", err)
	}
	p.Down()
	if err := db.Ping(); err == nil {
		t.Error("the proxy is down and answers")
	}
	for range 2 {
		if err := p.Up(); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Ping(); err != nil {
		t.Errorf("after up: %v", err)
	}
}

func TestProxyFreezeHoldsData(t *testing.T) {
	s := Shared(t)
	p := s.Proxy(t)
	conn, err := openVia(t, s, p).Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	p.Freeze()
	answer := make(chan error, 1)
	go func() {
		_, err := conn.ExecContext(context.Background(), "DO 1")
		answer <- err
	}()
	select {
	case err := <-answer:
		t.Errorf("a frozen connection answered: %v", err)
	case <-time.After(50 * time.Millisecond):
		p.Thaw()
		if err := <-answer; err != nil {
			t.Errorf("after the thaw: %v", err)
		}
	}
}

// echo is a TCP server that sends back what it gets.
func echo(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_, _ = io.Copy(c, c)
			}()
		}
	}()
	return ln.Addr().String()
}

func TestProxyCarriesAllBytes(t *testing.T) {
	p, err := OpenProxy(echo(t))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	want := bytes.Repeat([]byte("0123456789abcdef!"), 1<<16)
	for _, hurt := range []func(){
		func() {},
		func() { p.Delay(20 * time.Millisecond) },
		func() { p.Limit(8 << 20) },
	} {
		hurt()
		conn, err := net.Dial("tcp", p.Addr())
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			_, _ = conn.Write(want)
			_ = conn.(*net.TCPConn).CloseWrite()
		}()
		got, err := io.ReadAll(conn)
		conn.Close()
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("got %d bytes and %v, want %d", len(got), err, len(want))
		}
	}
}

// A cut in the middle of a stream that nobody reads must not leave a goroutine behind; TestMain looks.
func TestProxyCutUnderLoad(t *testing.T) {
	p, err := OpenProxy(echo(t))
	if err != nil {
		t.Fatal(err)
	}
	p.Delay(time.Hour)
	var conns []net.Conn
	ended := make(chan struct{}, 8)
	for range cap(ended) {
		conn, err := net.Dial("tcp", p.Addr())
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, conn)
		go func() {
			buf := make([]byte, 1<<16)
			for {
				if _, err := conn.Write(buf); err != nil {
					ended <- struct{}{}
					return
				}
			}
		}()
	}
	time.Sleep(50 * time.Millisecond) // lets the queues fill
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	for _, c := range conns {
		<-ended
		c.Close()
	}
	if _, err := net.Dial("tcp", p.Addr()); err == nil {
		t.Error("a closed proxy accepts")
	}
}

func TestCopySparse(t *testing.T) {
	src, dst := t.TempDir()+"/src", t.TempDir()+"/dst"
	for _, want := range [][]byte{nil, []byte("x"), make([]byte, 200<<10),
		append(make([]byte, 128<<10), 1), append(bytes.Repeat([]byte{7}, 64<<10), make([]byte, 100)...)} {
		os.Remove(dst)
		if err := os.WriteFile(src, want, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := copySparse(dst, src, 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(dst); err != nil || !bytes.Equal(got, want) {
			t.Errorf("copy of %d bytes: %d bytes, %v", len(want), len(got), err)
		}
	}
}

func TestProxyPointsElsewhere(t *testing.T) {
	a, b := sayer(t, "a"), sayer(t, "b")
	p, err := OpenProxy(a)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	ask := func() string {
		conn, err := net.Dial("tcp", p.Addr())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		got, err := io.ReadAll(conn)
		if err != nil {
			t.Fatal(err)
		}
		return string(got)
	}
	if got := ask(); got != "a" {
		t.Errorf("the proxy leads to %q", got)
	}
	p.Point(b)
	if got := ask(); got != "b" {
		t.Errorf("pointed to b, the proxy leads to %q", got)
	}
}

// sayer is a TCP server that says one thing.
func sayer(t *testing.T, says string) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(c, says)
			c.Close()
		}
	}()
	return ln.Addr().String()
}
