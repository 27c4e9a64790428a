package mysql

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/e2e/mysqltest"
)

// authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string
	next int64
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	a := &authority{next: 1}
	a.cert, a.key = a.sign(t, &x509.Certificate{Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	a.file = filepath.Join(t.TempDir(), "ca.pem")
	writePEM(t, a.file, "CERTIFICATE", a.cert.Raw)
	return a
}

func (a *authority) sign(t *testing.T, c *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a.next++
	c.SerialNumber, c.NotBefore, c.NotAfter = big.NewInt(a.next), time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour)
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return signed, key
}

// issue writes a certificate and its key to dir.
func (a *authority) issue(t *testing.T, dir, name string, c *x509.Certificate) (cert, key string) {
	t.Helper()
	signed, k := a.sign(t, c)
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, name+".pem"), filepath.Join(dir, name+"-key.pem")
	writePEM(t, cert, "CERTIFICATE", signed.Raw)
	writePEM(t, key, "PRIVATE KEY", der)
	return cert, key
}

func writePEM(t *testing.T, path, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o644); err != nil {
		t.Fatal(err)
	}
}

// secured gives a server a certificate of a for hosts, and returns the client's
// own. What the server reads lies in its data folder.
func secured(t *testing.T, srv *mysqltest.Server, a *authority, server *x509.Certificate) {
	t.Helper()
	dir := srv.DataDir()
	a.issue(t, dir, "t-server", server)
	writePEM(t, filepath.Join(dir, "t-ca.pem"), "CERTIFICATE", a.cert.Raw)
	srv.Exec(t, "SET GLOBAL ssl_ca = 't-ca.pem', ssl_cert = 't-server.pem', ssl_key = 't-server-key.pem'; ALTER INSTANCE RELOAD TLS")
}

// Every mode of encryption against certificates that are right and wrong, on
// the three kinds of connection: for questions, for the log, and for rows.
func TestTLS(t *testing.T) {
	srv := mysqltest.Start(t)
	ours, theirs := newAuthority(t, "ours"), newAuthority(t, "theirs")
	srv.Exec(t, `CREATE USER plain@'%' IDENTIFIED BY 'geheim' REQUIRE NONE; CREATE USER secure@'%' IDENTIFIED BY 'geheim' REQUIRE SSL; CREATE USER x509@'%' IDENTIFIED BY 'geheim' REQUIRE X509;
		CREATE USER named@'%' IDENTIFIED BY 'geheim' REQUIRE SUBJECT '/CN=towline';
		GRANT REPLICATION SLAVE, REPLICATION CLIENT, SELECT ON *.* TO plain@'%', secure@'%', x509@'%', named@'%'`)
	local := []net.IP{net.ParseIP("127.0.0.1")}
	dir := t.TempDir()
	cert, key := ours.issue(t, dir, "client", &x509.Certificate{Subject: pkix.Name{CommonName: "towline"}})
	badCert, badKey := theirs.issue(t, dir, "bad", &x509.Certificate{Subject: pkix.Name{CommonName: "towline"}})
	right := &x509.Certificate{Subject: pkix.Name{CommonName: "db"}, IPAddresses: local, DNSNames: []string{"localhost"}}
	elsewhere := &x509.Certificate{Subject: pkix.Name{CommonName: "db"}, DNSNames: []string{"db.example"}}
	for _, c := range []struct {
		name      string
		server    *x509.Certificate
		user      string
		mode, ca  string
		cert, key string
		fault     string
	}{
		{"identity", right, "plain", "verify_identity", ours.file, "", "", ""},
		{"identity by name", right, "plain", "verify_identity@localhost", ours.file, "", "", ""},
		{"another authority", right, "plain", "verify_identity", theirs.file, "", "", "signed by nobody we trust"},
		{"another authority", right, "plain", "verify_ca", theirs.file, "", "", "signed by nobody we trust"},
		{"nobody looks", right, "secure", "required", theirs.file, "", "", ""},
		{"preferred", right, "secure", "preferred", "", "", "", ""},
		{"refused", right, "secure", "disabled", "", "", "", "does not let user secure in"},
		{"client certificate", right, "x509", "verify_identity", ours.file, cert, key, ""},
		{"client certificate", right, "x509", "required", "", cert, key, ""},
		{"client certificate", right, "named", "preferred", "", cert, key, ""},
		{"no client certificate", right, "x509", "required", "", "", "", "does not let user x509 in"},
		{"a client of others", right, "x509", "required", "", badCert, badKey, "MySQL at"},
		{"key of others", right, "x509", "required", "", cert, badKey, "private key does not match"},
		{"no file of certificates", right, "plain", "verify_ca", key, "", "", "there is no certificate in"},
		{"another host", elsewhere, "plain", "verify_identity", ours.file, "", "", "its certificate is for another host"},
		{"another host", elsewhere, "plain", "verify_ca", ours.file, "", "", ""},
	} {
		t.Run(c.name+" "+c.user+" "+c.mode, func(t *testing.T) {
			secured(t, srv, ours, c.server)
			r := newRig(t, srv)
			mode, host, named := strings.Cut(c.mode, "@")
			if named {
				r.values[optHost] = host
			}
			r.values[optUser], r.values[optPassword], r.values[optSSLMode], r.values[optSSLCA], r.values[optSSLCert], r.values[optSSLKey] = c.user, "geheim", mode, c.ca, c.cert, c.key
			s := r.source(t)
			err := s.Open(t.Context(), nil, nil)
			s.Close()
			check(t, c.fault, err)
			if err != nil && !connect.IsPermanent(err) && c.name != "a client of others" {
				t.Errorf("it would be tried again: %v", err)
			}
			dial, err := Dialer(r.config())
			if err != nil {
				t.Fatal(err)
			}
			conn, err := dial(t.Context())
			check(t, c.fault, err)
			if err != nil {
				return
			}
			defer conn.Close()
			res, err := conn.Execute("SHOW STATUS LIKE 'Ssl_cipher'")
			if err != nil {
				t.Fatal(err)
			}
			if cipher, _ := res.GetString(0, 1); (cipher != "") != (mode != "disabled") {
				t.Errorf("the cipher is %q", cipher)
			}
		})
	}
}

func check(t *testing.T, fault string, err error) {
	t.Helper()
	if fault == "" && err != nil || fault != "" && (err == nil || !strings.Contains(err.Error(), fault)) {
		t.Fatalf("%v, want %q", err, fault)
	}
}

// A certificate that expires while the server runs is told as that. (No server
// starts with one.)
func TestExpired(t *testing.T) {
	s := newRig(t, mysqltest.Shared(t)).source(t).settings
	err := s.explain("connect to", fmt.Errorf("tls: %w", x509.CertificateInvalidError{Reason: x509.Expired}))
	if !connect.IsPermanent(err) {
		t.Error("it would be tried again")
	}
	check(t, "its certificate has expired", err)
}

// A server without encryption is taken by preferred only.
func TestServerWithoutTLS(t *testing.T) {
	srv := mysqltest.Start(t, mysqltest.Flags("--tls-version="))
	for mode, fault := range map[string]string{"disabled": "", "preferred": "", "required": "it offers no encryption", "verify_ca": "it offers no encryption"} {
		r := newRig(t, srv)
		r.values[optSSLMode] = mode
		s := r.source(t)
		err := s.Open(t.Context(), nil, nil)
		s.Close()
		check(t, fault, err)
	}
}

// A connection that nobody answers ends by connect.timeout.ms.
func TestConnectTimeout(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	r := newRig(t, mysqltest.Shared(t))
	_, r.values[optPort], _ = net.SplitHostPort(silent.Addr().String())
	r.values[optTimeout] = "100"
	err = r.source(t).Open(t.Context(), nil, nil)
	if err == nil || connect.IsPermanent(err) || errors.Is(err, connect.ErrPositionLost) {
		t.Fatal(err)
	}
	dial, err := Dialer(r.config())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := dial(t.Context()); err == nil || !strings.Contains(err.Error(), optTimeout) {
		t.Fatal(err)
	}
}
