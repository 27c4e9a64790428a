package mysql

import (
	"crypto/rsa"
	"errors"
	"fmt"
	"regexp"
	"sync/atomic"

	driver "github.com/go-sql-driver/mysql"
)

// heard keeps the name of an authentication plug-in that the driver does not
// know: the driver logs it, and its error does not have it. All else it logs
// is returned anyway.
type heard struct{ plugin atomic.Value }

// Print implements driver.Logger.
func (h *heard) Print(v ...any) {
	// What it logs begins with its line.
	if n := len(v); n >= 2 && v[n-2] == "unknown auth plugin:" {
		h.plugin.Store(v[n-1])
	}
}

// name puts the name into the error that lacks it.
func (h *heard) name(err error) error {
	if errors.Is(err, driver.ErrUnknownPlugin) {
		return fmt.Errorf("auth plugin '%v': %w", h.plugin.Load(), err)
	}
	return err
}

// rsaHolds is how long a password may be that a key of 2048 bits, which servers
// make themselves, encrypts.
const rsaHolds = 213

// tooLong puts into the server's refusal of a password that the client could
// not encrypt why that is; the client sends an empty one without a word.
func (s *settings) tooLong(err error) error {
	if n, _ := code(err); n == erAccessDenied && len(s.password) > rsaHolds {
		return errors.Join(rsa.ErrMessageTooLong, err)
	}
	return err
}

// foreign finds the plug-in's name in the errors of both clients.
var foreign = regexp.MustCompile(`auth plugin (?:name )?'([^']*)'`)

// pluginFault says what to do about a login in a way that there is none for
// here, "" if err is another.
func (s *settings) pluginFault(err error) (what, do string) {
	plugin := ""
	switch found := foreign.FindStringSubmatch(err.Error()); {
	case errors.Is(err, rsa.ErrMessageTooLong):
		return "the password of user " + s.user + " is too long to be sent without TLS", "set " + optSSLMode + " to required or use a shorter one"
	case errors.Is(err, driver.ErrCleartextPassword):
		plugin = "mysql_clear_password"
	case errors.Is(err, driver.ErrOldPassword):
		plugin = "mysql_old_password"
	case found != nil:
		plugin = found[1]
	default:
		return "", ""
	}
	return "user " + s.user + " logs in by the plug-in " + plugin + ", which is not supported", s.renew()
}

// refusal says what to do about an account that lets nobody in.
func (s *settings) refusal(code uint16) (what, do string) {
	switch code {
	case erLocked:
		return "the account of user " + s.user + " is locked", fmt.Sprintf("run ALTER USER '%s' ACCOUNT UNLOCK there", s.user)
	case erNoPlugin:
		return "the server lacks the plug-in by which user " + s.user + " logs in", s.renew()
	}
	return "the password of user " + s.user + " has expired", "give the user a new one there and set " + optPassword + " to it"
}

func (s *settings) renew() string {
	return fmt.Sprintf("run ALTER USER '%s' IDENTIFIED WITH caching_sha2_password BY '...' there (on MariaDB mysql_native_password)", s.user)
}
