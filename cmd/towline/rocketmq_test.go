package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/towline/towline/e2e/certs"
	"github.com/towline/towline/e2e/child"
	"github.com/towline/towline/e2e/rockettest"
)

// rocketWorker is a worker over RocketMQ, which listens at an address of its
// own and logs into a file.
type rocketWorker struct {
	*sandbox
	addr string
	proc *process
}

// startRocket starts a worker with more keys. It does not wait.
func startRocket(t *testing.T, c *rockettest.Cluster, more map[string]string) *rocketWorker {
	t.Helper()
	port, err := child.LeasePort(0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { port.Close() })
	w := &rocketWorker{sandbox: newSandbox(t), addr: fmt.Sprintf("127.0.0.1:%d", port.Port)}
	conf := map[string]string{"listeners": "http://" + w.addr, "namesrvAddr": c.NameServer, "rest.advertised.host.name": "127.0.0.1"}
	for k, v := range more {
		conf[k] = v
	}
	text, err := json.Marshal(conf)
	if err != nil {
		t.Fatal(err)
	}
	w.write("worker.json", string(text))
	w.launch()
	return w
}

func (w *rocketWorker) launch() {
	w.t.Helper()
	log, err := os.OpenFile(filepath.Join(w.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		w.t.Fatal(err)
	}
	defer log.Close()
	w.proc = w.startTo(log, "worker", "--config", "worker.json")
}

func (w *rocketWorker) log() string {
	b, _ := os.ReadFile(filepath.Join(w.dir, "log"))
	return string(b)
}

// await waits until something holds of a worker that goes on.
func (w *rocketWorker) await(what string, holds func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(20 * time.Millisecond) {
		select {
		case err := <-w.proc.ended:
			w.proc.ended <- err
			w.t.Fatalf("towline ended while waiting for %s:\n%s", what, w.log())
		default:
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("%s does not come:\n%s", what, w.log())
		}
	}
}

// ask sends a request; code is 0 if there is no answer.
func (w *rocketWorker) ask(method, path, body string) (code int, answer string) {
	req, err := http.NewRequestWithContext(w.t.Context(), method, "http://"+w.addr+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	resp, err := client.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(b)
}

func (w *rocketWorker) must(code int, method, path, body string) {
	w.t.Helper()
	if got, answer := w.ask(method, path, body); got != code {
		w.t.Fatalf("%s %s: %d %s, want %d; its log:\n%s", method, path, got, answer, code, w.log())
	}
}

func (w *rocketWorker) up() {
	w.t.Helper()
	w.await("an answer", func() bool { code, _ := w.ask("GET", "/connectors", ""); return code == 200 })
}

func (w *rocketWorker) kill() {
	w.t.Helper()
	if err := w.proc.cmd.Process.Kill(); err != nil {
		w.t.Fatal(err)
	}
	w.proc.wait()
}

// shortLease has brokers forget a process that was killed soon.
const shortLease = "-Drocketmq.broker.rebalance.lockMaxLiveTime=12000"

// TestNoRocketMQ: a worker waits for servers that are not there yet.
func TestNoRocketMQ(t *testing.T) {
	t.Parallel()
	port, err := child.LeasePort(0)
	if err != nil {
		t.Fatal(err)
	}
	defer port.Close()
	w := startRocket(t, &rockettest.Cluster{NameServer: fmt.Sprintf("127.0.0.1:%d", port.Port)}, nil)
	w.await("its complaint", func() bool {
		return strings.Contains(w.log(), "RocketMQ does not answer; trying again") && strings.Contains(w.log(), "connection refused")
	})
	if r := w.proc.stop(); r.code == exitOK {
		t.Errorf("exit code %d:\n%s", r.code, w.log())
	}
}

// TestSecureRocketMQ: brokers that want TLS and signatures get them, and what
// is wrong with either is said at once.
func TestSecureRocketMQ(t *testing.T) {
	t.Parallel()
	cert, key := certs.SelfSigned(t, t.TempDir())
	user := `{"username":"towline","password":"secret-1"}`
	c := rockettest.Start(t, rockettest.Config{
		Java: []string{"-Dtls.server.mode=permissive", "-Dtls.test.mode.enable=false", "-Dtls.server.certPath=" + cert, "-Dtls.server.keyPath=" + key, "-Dtls.server.need.client.auth=none"},
		Settings: []string{"authenticationEnabled=true",
			"authenticationProvider=org.apache.rocketmq.auth.authentication.provider.DefaultAuthenticationProvider",
			"authenticationMetadataProvider=org.apache.rocketmq.auth.authentication.provider.LocalAuthenticationMetadataProvider",
			"initAuthenticationUser=" + user, `innerClientAuthenticationCredentials={"accessKey":"towline","secretKey":"secret-1"}`},
	})
	good := map[string]string{"useTLS": "true", "tls.client.trustCertPath": cert, "aclEnable": "true", "accessKey": "towline", "secretKey": "secret-1"}
	for _, bad := range []struct{ key, value, want string }{
		{"secretKey", "secret-2", "check the access key"},
		{"accessKey", "nobody", "check the access key"},
		{"tls.client.trustCertPath", "", "certificate signed by unknown authority"},
	} {
		keys := maps.Clone(good)
		keys[bad.key] = bad.value
		w := startRocket(t, c, keys)
		if r := w.proc.wait(); r.code != exitEnvironment || !strings.Contains(w.log(), bad.want) || strings.Contains(w.log(), "secret-") {
			t.Errorf("with another %s: exit code %d, want %d and %q in:\n%s", bad.key, r.code, exitEnvironment, bad.want, w.log())
		}
	}
	w := startRocket(t, c, good)
	w.up()
	w.must(201, "POST", "/connectors", `{"name": "out", "config": {"connector.class": "file", "file": "out.jsonl", "topics": "t"}}`)
	if r := w.proc.stop(); r.code != exitOK {
		t.Errorf("exit code %d:\n%s", r.code, w.log())
	}
}
