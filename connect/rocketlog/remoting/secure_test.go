package remoting_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/towline/towline/connect/rocketlog/remoting"
	"github.com/towline/towline/e2e/rockettest"
)

// certificate writes a key and a certificate for 127.0.0.1 that vouches for
// itself, and returns the pool that trusts it.
func certificate(t *testing.T) (cert, key string, pool *x509.CertPool) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "towline test"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &k.PublicKey, k)
	check(t, err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(k)
	check(t, err)
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	check(t, os.WriteFile(cert, certPEM, 0o600))
	check(t, os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), 0o600))
	pool = x509.NewCertPool()
	pool.AppendCertsFromPEM(certPEM)
	return cert, key, pool
}

// TestSecure speaks TLS to servers with access control.
func TestSecure(t *testing.T) {
	cert, key, pool := certificate(t)
	c := rockettest.Start(t, rockettest.Config{
		Java: []string{"-Dtls.server.mode=permissive", "-Dtls.test.mode.enable=false", "-Dtls.server.certPath=" + cert, "-Dtls.server.keyPath=" + key, "-Dtls.server.need.client.auth=none"},
		Settings: []string{"authenticationEnabled=true",
			"authenticationProvider=org.apache.rocketmq.auth.authentication.provider.DefaultAuthenticationProvider",
			"authenticationMetadataProvider=org.apache.rocketmq.auth.authentication.provider.LocalAuthenticationMetadataProvider",
			`initAuthenticationUser={"username":"towline","password":"secret-1"}`,
			`innerClientAuthenticationCredentials={"accessKey":"towline","secretKey":"secret-1"}`},
	})
	ctx := t.Context()
	trusting := &tls.Config{RootCAs: pool}
	good := &remoting.Credentials{AccessKey: "towline", SecretKey: "secret-1"}

	r := newRig(t, c, remoting.Options{TLS: trusting, Credentials: good})
	topic := r.topic(t, 1, map[string]string{"cleanup.policy": "COMPACTION"})
	if got := must[remoting.TopicConfig](t)(r.TopicConfig(ctx, r.addr, topic)); got.Queues != 1 {
		t.Errorf("the topic is %+v", got)
	}
	if n := must[int64](t)(r.Send(ctx, r.addr, batch(topic, "k", "one"))); n != 0 {
		t.Errorf("sent to %d", n)
	}
	for name, o := range map[string]remoting.Options{
		"without credentials":  {TLS: trusting},
		"with another secret":  {TLS: trusting, Credentials: &remoting.Credentials{AccessKey: "towline", SecretKey: "secret-2"}},
		"as somebody unknown":  {TLS: trusting, Credentials: &remoting.Credentials{AccessKey: "nobody", SecretKey: "secret-1"}},
		"without trust in it":  {TLS: &tls.Config{}, Credentials: good},
		"under another's name": {TLS: &tls.Config{RootCAs: pool, ServerName: "elsewhere"}, Credentials: good},
	} {
		bad := newRig(t, c, o)
		if err := bad.CreateTopic(ctx, bad.addr, remoting.TopicConfig{Topic: "bad", Queues: 1}); err == nil {
			t.Errorf("%s a topic is made", name)
		}
		if _, err := bad.Send(ctx, bad.addr, batch(topic, "k", "two")); err == nil {
			t.Errorf("%s a message is sent", name)
		}
	}
}
