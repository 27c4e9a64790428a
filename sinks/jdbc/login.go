package jdbc

import (
	"context"
	"crypto/rsa"
	"crypto/x509"
	"database/sql/driver"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/go-sql-driver/mysql"

	"github.com/towline/towline/connect"
)

// login opens connections, and says of one that was refused what to do.
type login struct {
	driver.Connector
	user  string
	heard *heard
}

// newConnector returns what opens connections as cfg says.
func newConnector(cfg *mysql.Config) (driver.Connector, error) {
	c, h := cfg.Clone(), &heard{}
	c.Logger = h
	connector, err := mysql.NewConnector(c)
	if err != nil {
		return nil, err
	}
	return login{connector, c.User, h}, nil
}

// Connect implements driver.Connector.
func (l login) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := l.Connector.Connect(ctx)
	if err != nil {
		return nil, l.explain(err)
	}
	return conn, nil
}

// heard keeps the name of a plug-in that the driver does not know: the driver
// logs it, and its error does not have it. All else it logs is returned anyway.
type heard struct{ plugin atomic.Value }

// Print implements mysql.Logger.
func (h *heard) Print(v ...any) {
	// What it logs begins with its line.
	if n := len(v); n >= 2 && v[n-2] == "unknown auth plugin:" {
		h.plugin.Store(v[n-1])
	}
}

// Codes of a login that is refused.
const (
	errDenied      = 1045
	errNoPlugin    = 1524
	errDeniedPlain = 1698
	errExpired     = 1862
	errLocked      = 3118
	errSecure      = 3159
)

// explain says what to do about an error of a login that no retry mends.
func (l login) explain(err error) error {
	what, do := l.refusal(err)
	if what == "" {
		what, do = tlsFault(err)
	}
	if what == "" {
		return err
	}
	return connect.Permanent(fmt.Errorf("%s; %s: %w", what, do, err))
}

func (l login) refusal(err error) (what, do string) {
	renew := fmt.Sprintf("run ALTER USER '%s' IDENTIFIED WITH caching_sha2_password BY '...' there", l.user)
	switch {
	case isCode(err, errDenied, errDeniedPlain):
		return "the server does not let user " + l.user + " in", "check connection.user, connection.password, from which hosts the user may connect, " +
			"and whether it must encrypt (sslMode) or show a certificate (ssl-cert, ssl-key)"
	case isCode(err, errExpired):
		return "the password of user " + l.user + " has expired", "give the user a new one there and set connection.password to it"
	case isCode(err, errLocked):
		return "the account of user " + l.user + " is locked", fmt.Sprintf("run ALTER USER '%s' ACCOUNT UNLOCK there", l.user)
	case isCode(err, errSecure):
		return "the server insists on encryption", "set sslMode=REQUIRED in connection.url"
	case isCode(err, errNoPlugin):
		return "the server lacks the plug-in by which user " + l.user + " logs in", renew
	case errors.Is(err, mysql.ErrUnknownPlugin):
		return fmt.Sprintf("user %s logs in by the plug-in %v, which is not supported", l.user, l.heard.plugin.Load()), renew
	case errors.Is(err, mysql.ErrCleartextPassword):
		return "user " + l.user + " logs in by the plug-in mysql_clear_password, which is not supported", renew
	case errors.Is(err, mysql.ErrOldPassword):
		return "user " + l.user + " logs in by the plug-in mysql_old_password, which is not supported", renew
	case errors.Is(err, rsa.ErrMessageTooLong):
		return "the password of user " + l.user + " is too long to be sent without TLS", "set sslMode=REQUIRED in connection.url or use a shorter one"
	}
	return "", ""
}

func tlsFault(err error) (what, do string) {
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	switch {
	case errors.As(err, &unknown):
		return "the server's certificate is signed by nobody we trust", "set ssl-ca in connection.url to the certificate of its authority"
	case errors.As(err, &name):
		return "the server's certificate is for another host", "correct the host of connection.url or set sslMode=VERIFY_CA"
	case errors.Is(err, mysql.ErrNoTLS):
		return "the server offers no encryption", "set sslMode=PREFERRED or DISABLED in connection.url, or give the server a certificate"
	}
	return "", ""
}
