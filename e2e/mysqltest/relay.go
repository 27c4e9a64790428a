package mysqltest

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"sync"
	"testing"
)

// AskingFor is the address of the server through a relay that renames what the server asks a client
// to log in by: accounts of sha256_password seem to be of the plug-in, which need not be one that the
// server has. The relay knows no TLS.
func (s *Server) AskingFor(tb testing.TB, plugin string) *net.TCPAddr {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { relay(c, s.Addr(), plugin) })
		}
	})
	tb.Cleanup(func() { l.Close(); all.Wait() })
	return l.Addr().(*net.TCPAddr)
}

// relay ends when one of both sides does.
func relay(c net.Conn, addr, plugin string) {
	defer c.Close()
	up, err := net.Dial("tcp", addr)
	if err != nil {
		return
	}
	var back sync.WaitGroup
	back.Go(func() {
		_, _ = io.Copy(up, c)
		up.Close()
	})
	for {
		p, err := readPacket(up)
		if err != nil {
			break
		}
		body := bytes.Replace(p[4:], []byte("sha256_password\x00"), []byte(plugin+"\x00"), 1)
		head := binary.LittleEndian.AppendUint32(nil, uint32(len(body))|uint32(p[3])<<24)
		if _, err := c.Write(append(head, body...)); err != nil {
			break
		}
	}
	up.Close()
	c.Close()
	back.Wait()
}

// readPacket reads a packet of the protocol with its head.
func readPacket(r io.Reader) ([]byte, error) {
	p := make([]byte, 4)
	if _, err := io.ReadFull(r, p); err != nil {
		return nil, err
	}
	n := int(p[0]) | int(p[1])<<8 | int(p[2])<<16
	p = append(p, make([]byte, n)...)
	_, err := io.ReadFull(r, p[4:])
	return p, err
}
