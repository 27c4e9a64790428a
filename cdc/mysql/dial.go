package mysql

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/go-mysql-org/go-mysql/client"
	gomysql "github.com/go-mysql-org/go-mysql/mysql"
	driver "github.com/go-sql-driver/mysql"

	"github.com/towline/towline/connect"
)

// addr returns host:port.
func (s *settings) addr() string { return net.JoinHostPort(s.host, s.port) }

// tls returns the configuration of an encrypted connection, nil for none.
func (s *settings) tls() (*tls.Config, error) {
	if s.sslMode == "disabled" {
		return nil, nil
	}
	c := &tls.Config{ServerName: s.host, MinVersion: tls.VersionTLS12, InsecureSkipVerify: s.sslMode != "verify_identity"}
	if s.ca != "" {
		pem, err := os.ReadFile(s.ca)
		if err != nil {
			return nil, connect.Permanent(fmt.Errorf("read %s: %w", optSSLCA, err))
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, connect.Permanent(fmt.Errorf("read %s: there is no certificate in %s; it must be a PEM file", optSSLCA, s.ca))
		}
	}
	if s.cert != "" {
		pair, err := tls.LoadX509KeyPair(s.cert, s.key)
		if err != nil {
			return nil, connect.Permanent(fmt.Errorf("read %s and %s: %w", optSSLCert, optSSLKey, err))
		}
		c.Certificates = []tls.Certificate{pair}
	}
	if s.sslMode == "verify_ca" {
		c.VerifyConnection = func(cs tls.ConnectionState) error { return verifyChain(cs, c.RootCAs) }
	}
	return c, nil
}

// verifyChain checks who signed the certificate, but not for whom.
func verifyChain(cs tls.ConnectionState, roots *x509.CertPool) error {
	opts := x509.VerifyOptions{Roots: roots, Intermediates: x509.NewCertPool()}
	for _, cert := range cs.PeerCertificates[1:] {
		opts.Intermediates.AddCert(cert)
	}
	_, err := cs.PeerCertificates[0].Verify(opts)
	return err
}

// openDB returns a pool of connections for questions beside the log. It does
// not connect yet.
func (s *settings) openDB() (*sql.DB, error) {
	c := driver.NewConfig()
	c.User, c.Passwd, c.Net, c.Addr = s.user, s.password, "tcp", s.addr()
	c.Timeout, c.ReadTimeout, c.WriteTimeout = s.timeout, 2*time.Minute, s.timeout
	h := &heard{}
	c.Logger = h
	var err error
	if c.TLS, err = s.tls(); err != nil {
		return nil, err
	}
	c.AllowFallbackToPlaintext = s.sslMode == "preferred"
	connector, err := driver.NewConnector(c)
	if err != nil {
		return nil, connect.Permanent(fmt.Errorf("connect to %s: %w", s.addr(), err))
	}
	db := sql.OpenDB(timed{connector, s.timeout, h})
	db.SetMaxOpenConns(4)
	db.SetMaxIdleConns(1)
	db.SetConnMaxIdleTime(30 * time.Second)
	db.SetConnMaxLifetime(s.lookEvery) // so that it is seen where the address leads to
	return db, nil
}

// timed bounds how long a login takes. The driver bounds only the steps of it,
// each by as long as an answer may take.
type timed struct {
	sqldriver.Connector
	timeout time.Duration
	heard   *heard
}

// Connect implements sqldriver.Connector.
func (t timed) Connect(ctx context.Context) (sqldriver.Conn, error) {
	within, cancel := context.WithTimeout(ctx, t.timeout)
	defer cancel()
	conn, err := t.Connector.Connect(within)
	if err != nil && within.Err() != nil && ctx.Err() == nil {
		return nil, fmt.Errorf("no login within %s (%s): %w", t.timeout, optTimeout, within.Err())
	}
	return conn, t.heard.name(err)
}

// Dialer returns how to open and log in to further connections to the server
// of a source, for those who read its rows. Options are passed to the client.
func Dialer(cfg connect.Config) (func(ctx context.Context, options ...client.Option) (*client.Conn, error), error) {
	s, err := newSettings(cfg)
	if err != nil {
		return nil, err
	}
	return s.dial, nil
}

// DialerTo is Dialer for another server, host:port, with the same login.
func DialerTo(cfg connect.Config, addr string) (func(ctx context.Context, options ...client.Option) (*client.Conn, error), error) {
	s, err := newSettings(cfg)
	if err != nil {
		return nil, err
	}
	if s.host, s.port, err = net.SplitHostPort(addr); err != nil {
		return nil, err
	}
	return s.dial, nil
}

// dial opens a connection and logs in.
func (s *settings) dial(ctx context.Context, options ...client.Option) (*client.Conn, error) {
	config, err := s.tls()
	if err != nil {
		return nil, err
	}
	conn, err := s.handshake(ctx, config, options)
	if err != nil && s.sslMode == "preferred" && strings.Contains(err.Error(), "does not support TLS") {
		conn, err = s.handshake(ctx, nil, options)
	}
	if err != nil {
		return nil, s.explain("connect to", err)
	}
	return conn, nil
}

func (s *settings) handshake(ctx context.Context, config *tls.Config, options []client.Option) (conn *client.Conn, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	stop := func() bool { return true }
	defer func() { stop() }()
	dialer := func(dialing context.Context, network, address string) (net.Conn, error) {
		var d net.Dialer
		c, err := d.DialContext(dialing, network, address)
		if err != nil {
			return nil, err
		}
		// The client does not look at ctx once it is connected: end it by closing.
		raw := c
		stop = context.AfterFunc(ctx, func() { raw.Close() })
		if config != nil {
			c = &readAhead{Conn: c, buf: bufio.NewReaderSize(c, readAheadSize)}
		}
		return c, nil
	}
	defer func() { // the client does not expect to be told nonsense
		if p := recover(); p != nil {
			conn, err = nil, fmt.Errorf("what answers there breaks the login protocol: %v", p)
		}
	}()
	encrypt := func(c *client.Conn) error {
		if config != nil {
			c.SetTLSConfig(config)
		}
		return nil
	}
	conn, err = client.ConnectWithDialer(ctx, "tcp", s.addr(), s.user, s.password, "", dialer, append([]client.Option{encrypt}, options...)...)
	if err != nil && ctx.Err() != nil {
		return nil, fmt.Errorf("no login within %s (%s): %w", s.timeout, optTimeout, ctx.Err())
	}
	if config == nil {
		err = s.tooLong(err)
	}
	return conn, err
}

// readAhead reads more from the socket than is asked for. TLS asks for a
// record at a time, of which the server makes one for each event.
type readAhead struct {
	net.Conn
	buf *bufio.Reader
}

const readAheadSize = 128 << 10

func (c *readAhead) Read(b []byte) (int, error) { return c.buf.Read(b) }

// Numbers of server errors.
const (
	erAccessDenied   = 1045
	erDBAccessDenied = 1044
	erNoPrivilege    = 1227
	erTableDenied    = 1142
	erColumnDenied   = 1143
	erNotPrepared    = 1295
	erTooMany        = 1040
	erHostBlocked    = 1129
	erHostRefused    = 1130
	erLogFatal       = 1236
	erLocked         = 3118
	erExpired        = 1820
	erSecure         = 3159
	erNoPlugin       = 1524
	erDeniedPlain    = 1698
	erMustChange     = 1862
)

// code returns the number and words of a server's error, 0 if err is none.
func code(err error) (uint16, string) {
	var a *gomysql.MyError
	if errors.As(err, &a) {
		return a.Code, a.Message
	}
	var b *driver.MySQLError
	if errors.As(err, &b) {
		return b.Number, b.Message
	}
	return 0, ""
}

// explain says what an error of the connection means and what to do.
func (s *settings) explain(deed string, err error) error {
	if err == nil || connect.IsPermanent(err) {
		return err
	}
	say := func(what, do string) error {
		return fmt.Errorf("%s MySQL at %s: %s; %s: %w", deed, s.addr(), what, do, err)
	}
	if what, do := s.pluginFault(err); what != "" {
		return connect.Permanent(say(what, do))
	}
	switch n, words := code(err); n {
	case 0:
	case erAccessDenied, erDeniedPlain, erDBAccessDenied, erHostRefused:
		return connect.Permanent(say("the server does not let user "+s.user+" in", "check "+optUser+", "+optPassword+", from which hosts the user may connect, "+
			"and whether it must encrypt ("+optSSLMode+") or show a certificate ("+optSSLCert+")"))
	case erLocked, erExpired, erMustChange, erNoPlugin:
		return connect.Permanent(say(s.refusal(n)))
	case erNoPrivilege:
		return connect.Permanent(say("user "+s.user+" lacks a privilege", fmt.Sprintf("GRANT REPLICATION SLAVE, REPLICATION CLIENT, SELECT ON *.* TO '%s'@'%%'", s.user)))
	case erSecure:
		return connect.Permanent(say("the server insists on encryption", "set "+optSSLMode+" to required"))
	case erTooMany:
		return say("the server has no connection left", "raise max_connections there")
	case erHostBlocked:
		return say("the server has blocked this host after many errors", "run FLUSH HOSTS or TRUNCATE performance_schema.host_cache there")
	default:
		return fmt.Errorf("%s MySQL at %s: the server says error %d: %s: %w", deed, s.addr(), n, words, err)
	}
	return s.explainNet(say, err)
}

func (s *settings) explainNet(say func(what, do string) error, err error) error {
	var dns *net.DNSError
	var timeout net.Error
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.Is(err, context.Canceled):
		return err
	case errors.As(err, &dns):
		return say("its name has no address", "check "+optHost)
	case errors.Is(err, syscall.ECONNREFUSED):
		return say("nothing listens there", "check "+optHost+" and "+optPort+" and that the server runs")
	case errors.As(err, &unknown):
		return connect.Permanent(say("its certificate is signed by nobody we trust", "set "+optSSLCA+" to the certificate of its authority"))
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return connect.Permanent(say("its certificate has expired or is not valid yet", "renew it there, and look at the clocks of both machines"))
	case errors.As(err, &name):
		return connect.Permanent(say("its certificate is for another host", "correct "+optHost+" or set "+optSSLMode+" to verify_ca"))
	case strings.Contains(err.Error(), "does not support TLS"):
		return connect.Permanent(say("it offers no encryption", "set "+optSSLMode+" to preferred or disabled, or give the server a certificate"))
	case errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return say("it was silent for too long", "look at the network and the load of the server")
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, net.ErrClosed), errors.Is(err, gomysql.ErrBadConn), errors.Is(err, driver.ErrInvalidConn):
		return say("the connection broke", "it is opened again; look at the server's error log if this repeats")
	}
	return say("it failed", "look at the cause")
}
