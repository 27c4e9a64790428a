package remoting_test

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"testing"

	"github.com/towline/towline/connect/rocketlog/remoting"
	"github.com/towline/towline/e2e/certs"
	"github.com/towline/towline/e2e/rockettest"
)

// TestSecure speaks TLS to servers with access control.
func TestSecure(t *testing.T) {
	cert, key := certs.SelfSigned(t, t.TempDir())
	text, err := os.ReadFile(cert)
	check(t, err)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(text)
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
