package mysqltest

import (
	"strings"
	"testing"
)

// Login is an account of a server and how one who logs in with Password fares.
type Login struct {
	Name, User, Password string
	// Plain and TLS are words of the error without and with encryption; empty where the login works.
	Plain, TLS string
}

// LongPassword has 200 characters, of all kinds; encrypted by a key of 2048 bits it just fits.
var LongPassword = strings.Repeat(` '"\;#=%@:/?&${}<>[]|~^,.+-*!()`+"`\t", 6)[:195] + "aä€\u00a0Z"

// Words of refusals.
const (
	denied      = "does not let user"
	noPlugin    = "lacks the plug-in"
	expired     = "has expired"
	locked      = "is locked"
	tooLong     = "too long to be sent without TLS"
	grantLogins = "GRANT ALL ON *.* TO ?@'%'"
)

// Logins makes accounts of every authentication plug-in that the server has or can install, with
// passwords of all kinds, and accounts that let nobody in.
func (s *Server) Logins(tb testing.TB) []Login {
	tb.Helper()
	s.Exec(tb, "INSTALL PLUGIN auth_socket SONAME 'auth_socket.so'; INSTALL PLUGIN mysql_no_login SONAME 'mysql_no_login.so'")
	var all []Login
	add := func(name, with, password string, plain, tls string) {
		user := strings.ReplaceAll(name, " ", "_")
		s.Exec(tb, "CREATE USER ?@'%' "+with+"; "+grantLogins, user, user)
		all = append(all, Login{name, user, password, plain, tls})
	}
	quoted := strings.NewReplacer(`\`, `\\`, `'`, `\'`)
	for _, row := range s.Query(tb, "SELECT plugin_name FROM information_schema.plugins WHERE plugin_type = 'AUTHENTICATION'") {
		short, with := strings.TrimSuffix(row[0], "_password"), "IDENTIFIED WITH "+row[0]
		switch row[0] {
		case "caching_sha2_password", "sha256_password":
			for _, p := range []struct{ kind, password, plain string }{
				{"short", "geheim", ""}, {"empty", "", ""}, {"long", LongPassword, ""}, {"too long", strings.Repeat("x", 230), tooLong},
			} {
				add(short+" "+p.kind, with+" BY '"+quoted.Replace(p.password)+"'", p.password, p.plain, "")
			}
			add(short+" wrong", with+" BY 'geheim'", "Geheim", denied, denied)
			add(short+" none", with+" BY 'geheim'", "", denied, denied)
		case "auth_socket", "mysql_no_login":
			add(short, with, "geheim", denied, denied)
		default:
			tb.Errorf("the server has the plug-in %s, of which there is no case", row[0])
		}
	}
	const by = "IDENTIFIED BY 'geheim' "
	add("expired", by+"PASSWORD EXPIRE", "geheim", expired, expired)
	add("locked", by+"ACCOUNT LOCK", "geheim", locked, locked)
	add("ssl", by+"REQUIRE SSL", "geheim", denied, "")
	add("x509", by+"REQUIRE X509", "geheim", denied, denied)
	add("native", by, "geheim", noPlugin, noPlugin)
	// As an upgrade leaves it: the server has no such plug-in any more.
	s.Exec(tb, "UPDATE mysql.user SET plugin = 'mysql_native_password' WHERE user = 'native'; FLUSH PRIVILEGES")
	return all
}
