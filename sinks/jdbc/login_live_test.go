package jdbc

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/e2e/certs"
	"github.com/towline/towline/e2e/mysqltest"
)

// enter logs in as a sink does, and checks how that ends.
func enter(t *testing.T, url, user, password, fault string) {
	t.Helper()
	s := newTestSink(t, url, 0, 1, "connection.user", user, "connection.password", password)
	_, err := s.Open(t.Context())
	_ = s.Close()
	t.Log(err)
	switch {
	case fault == "" && err != nil, fault != "" && (err == nil || !strings.Contains(err.Error(), fault)):
		t.Fatalf("%v, want %q", err, fault)
	case err != nil && !connect.IsPermanent(err):
		t.Errorf("it would be tried again: %v", err)
	}
}

// Every kind of account: in full the first time, and then by what the server
// has cached.
func TestAccounts(t *testing.T) {
	srv := mysqltest.Start(t)
	db := srv.CreateDB(t)
	for _, l := range srv.Logins(t) {
		for mode, fault := range map[string]string{"DISABLED": l.Plain, "PREFERRED": l.TLS} {
			t.Run(l.Name+" "+mode, func(t *testing.T) {
				srv.Exec(t, "FLUSH PRIVILEGES") // forgets passwords
				for range 2 {
					enter(t, fmt.Sprintf("jdbc:mysql://%s/%s?sslMode=%s", srv.Addr(), db, mode), l.User, l.Password, fault)
				}
			})
		}
	}
}

// A login in a way that the driver does not have is named.
func TestForeignPlugins(t *testing.T) {
	srv := mysqltest.Start(t)
	srv.Exec(t, "CREATE USER foreigner@'%' IDENTIFIED WITH sha256_password BY 'geheim'")
	for _, plugin := range []string{"authentication_webauthn_client", "authentication_kerberos_client", "authentication_ldap_sasl_client", "mysql_clear_password"} {
		url := fmt.Sprintf("jdbc:mysql://%s/d?sslMode=DISABLED", srv.AskingFor(t, plugin))
		enter(t, url, "foreigner", "geheim", "logs in by the plug-in "+plugin+", which is not supported; run ALTER USER 'foreigner'")
	}
}

// Every sslMode against certificates that are right and wrong.
func TestTLS(t *testing.T) {
	srv := mysqltest.Start(t)
	db, dir := srv.CreateDB(t), srv.DataDir()
	srv.Exec(t, "CREATE USER plain@'%' IDENTIFIED BY 'geheim'; CREATE USER x509@'%' IDENTIFIED BY 'geheim' REQUIRE X509; GRANT ALL ON "+db+".* TO plain@'%', x509@'%'")
	file := func(name string) string { return filepath.Join(dir, name) }
	theirs, _ := certs.SelfSigned(t, t.TempDir())
	const nobody, other = "signed by nobody we trust", "is for another host"
	client := "&ssl-cert=" + file("client-cert.pem") + "&ssl-key=" + file("client-key.pem")
	run := func(user, params, fault string) {
		t.Run(user+" "+params, func(t *testing.T) {
			enter(t, "jdbc:mysql://"+srv.Addr()+"/"+db+"?sslMode="+params, user, "geheim", fault)
		})
	}
	// The certificate that the server has made for itself is for no host.
	run("plain", "DISABLED", "")
	run("plain", "PREFERRED", "")
	run("plain", "REQUIRED&ssl-ca="+theirs, "")
	run("plain", "VERIFY_CA", nobody)
	run("plain", "VERIFY_CA&ssl-ca="+theirs, nobody)
	run("plain", "VERIFY_CA&ssl-ca="+file("ca.pem"), "")
	run("plain", "VERIFY_IDENTITY&ssl-ca="+file("ca.pem"), other)
	run("x509", "REQUIRED", "does not let user x509 in")
	for _, mode := range []string{"PREFERRED", "REQUIRED", "VERIFY_CA"} {
		run("x509", mode+"&ssl-ca="+file("ca.pem")+client, "")
	}
	ours, _ := certs.SelfSigned(t, dir)
	srv.Exec(t, "SET GLOBAL ssl_ca = 't-cert.pem', ssl_cert = 't-cert.pem', ssl_key = 't-key.pem'; ALTER INSTANCE RELOAD TLS")
	run("plain", "VERIFY_IDENTITY&ssl-ca="+ours, "")
	run("plain", "VERIFY_IDENTITY&ssl-ca="+theirs, nobody)
}
