package child

import (
	"net"
	"testing"
)

func TestLeasePort(t *testing.T) {
	a, err := LeasePort(0)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := LeasePort(a.Port); err == nil {
		b.Close()
		t.Errorf("port %d was leased twice", a.Port)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", "0"))
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if b, err := LeasePort(ln.Addr().(*net.TCPAddr).Port); err == nil {
		b.Close()
		t.Error("a bound port was leased")
	}
}
