package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/towline/towline/e2e/certs"
)

// says runs a command until its outcome is as wanted: tasks follow in their
// own time.
func (s *sandbox) says(code int, want string, args ...string) {
	s.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		r := s.run(args...)
		if r.code == code && strings.Contains(r.out+r.err, want) {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("%v: exit code %d, want %d and %q in:\n%s%s", args, r.code, code, want, r.out, r.err)
		}
	}
}

// expect is says for what holds at once.
func (s *sandbox) expect(code int, want string, args ...string) {
	s.t.Helper()
	if r := s.run(args...); r.code != code || !strings.Contains(r.out+r.err, want) {
		s.t.Errorf("%v: exit code %d, want %d and %q in:\n%s%s", args, r.code, code, want, r.out, r.err)
	}
}

func TestConnectorCommands(t *testing.T) {
	t.Parallel()
	s := newSandbox(t)
	s.write("c.json", fileSink)
	s.write("bad.json", strings.Replace(fileSink, `"file":`, `"fiel":`, 1))
	s.expect(exitEnvironment, "no running towline is known", "connector", "list")
	p := s.serveWorker()
	s.expect(exitOK, "out is valid", "plugin", "validate", "c.json")
	s.expect(exitConfig, "fiel: is not known; did you mean file?", "plugin", "validate", "bad.json")
	s.expect(exitOK, "jdbc", "plugin", "list")
	s.expect(exitConfig, "did you mean file?", "connector", "create", "bad.json")
	s.expect(exitConfig, "RESTING", "connector", "create", "c.json", "-state", "RESTING")
	s.expect(exitOK, "made out", "connector", "create", "c.json", "-state", "PAUSED")
	s.expect(exitRuntime, "already exists", "connector", "create", "c.json")
	s.says(exitOK, "0 PAUSED", "connector", "list")
	s.expect(exitOK, "resuming out", "connector", "resume", "out")
	s.says(exitOK, "0 RUNNING", "task", "list", "out")
	s.expect(exitOK, "restarting out", "connector", "restart", "out")
	s.expect(exitOK, "restarting out-0", "task", "restart", "out", "0")
	s.expect(exitConfig, "Unknown task: out-7", "task", "restart", "out", "7")
	s.says(exitOK, `"state":"RUNNING"`, "connector", "get", "out", "-json")
	s.expect(exitOK, "out-0", "cluster", "tasks")
	s.says(exitOK, "0 RUNNING", "task", "get", "out", "0")
	s.expect(exitConfig, "No status found for task out-7", "task", "get", "out", "7")
	s.expect(exitOK, "changed out", "connector", "patch", "out", "errors.log.enable=true", "errors.tolerance=none")
	s.expect(exitOK, `"errors.log.enable": "true"`, "connector", "config", "out")
	s.expect(exitOK, "changed out", "connector", "patch", "out", "errors.log.enable", "errors.tolerance")
	s.expect(exitConfig, "fiel: is not known; did you mean file?", "connector", "patch", "out", "fiel=x")
	s.expect(exitConfig, "takes 2 arguments or more, not 1", "connector", "patch", "out")
	s.expect(exitOK, "topics.regex", "plugin", "get", "file")
	s.expect(exitConfig, "Unknown plugin nix.", "plugin", "get", "nix")
	r := s.run("connector", "config", "out")
	if strings.Contains(r.out, "errors.") {
		t.Errorf("after a key is taken away there is %s", r.out)
	}
	s.write("again.json", strings.Replace(r.out, `"topics": "t"`, `"topics": "u"`, 1))
	s.expect(exitOK, "updated out", "connector", "update", "again.json")
	s.expect(exitOK, `"topics": "u"`, "connector", "config", "out")
	s.expect(exitOK, "PARTITION", "connector", "offsets", "out")
	s.expect(exitConfig, "STOPPED state", "connector", "offsets-reset", "out")
	s.expect(exitOK, "stopping out", "connector", "stop", "out")
	s.expect(exitOK, "the offsets are reset", "connector", "offsets-reset", "out")
	s.write("offsets.json", `{"offsets": [{"partition": {"kafka_topic": "u", "kafka_partition": 0}, "offset": {"kafka_offset": 9}}]}`)
	s.expect(exitConfig, "the offsets cannot be set", "connector", "offsets-set", "out", "offsets.json")
	s.expect(exitOK, "", "connector", "topics", "out")
	s.expect(exitOK, "the topics are forgotten: out", "connector", "topics-reset", "out")
	s.expect(exitConfig, "has no dead letters", "dlq", "list", "out")
	s.expect(exitOK, "standalone", "cluster", "members")
	s.expect(exitOK, "INFO", "logger", "list")
	s.expect(exitOK, "cdc.mysql logs from DEBUG on", "logger", "set", "cdc.mysql", "debug", "-scope", "cluster")
	s.expect(exitOK, "DEBUG", "logger", "get", "cdc.mysql")
	s.expect(exitConfig, "Logger nix not found.", "logger", "get", "nix")
	s.expect(exitConfig, "invalid log level 'LOUD'.", "logger", "set", "cdc", "LOUD")
	s.expect(exitConfig, "did you mean resume?", "connector", "resum", "out")
	s.expect(exitConfig, "takes 1 arguments, not 0", "connector", "pause")
	s.expect(exitConfig, "what is to be done?", "connector")
	s.expect(exitOK, "deleted out", "connector", "delete", "out")
	s.expect(exitConfig, "Connector out not found", "connector", "delete", "out")
	s.expect(exitOK, "All that was committed has arrived", "status")
	if r := p.stop(); r.code != exitOK {
		t.Errorf("exit code %d:\n%s", r.code, r.err)
	}
}

// Over TLS and with accounts all works as without, for whom it is.
func TestSecureWorker(t *testing.T) {
	t.Parallel()
	s := newSandbox(t)
	cert, key := certs.SelfSigned(t, s.dir)
	s.write("server.pem", textOf(t, cert)+textOf(t, key))
	ca := filepath.Base(cert)
	s.write("c.json", fileSink)
	s.env["TEST_ADMIN"] = "admin-secret"
	s.write("worker.json", `{"listeners": "https://127.0.0.1:0", "listeners.https.ssl.keystore.location": "server.pem",
		"rest.user.ann.password": "${env:TEST_ADMIN}", "rest.user.ann.role": "admin", "rest.token.look.value": "look-secret"}`)
	p := s.start("worker", "--config", "worker.json")
	s.awaitFile(p, filepath.Join("towline-data", addressFile))
	if b, err := os.ReadFile(filepath.Join(s.dir, "towline-data", addressFile)); err != nil || !strings.HasPrefix(string(b), "https://") {
		t.Errorf("the address is %s, %v", b, err)
	}
	s.expect(exitEnvironment, "certificate", "connector", "list")
	s.expect(exitRuntime, "TOWLINE_PASSWORD", "connector", "list", "-cacert", ca)
	s.env["TOWLINE_TOKEN"] = "look-secret"
	s.expect(exitOK, "CONNECTOR", "connector", "list", "-cacert", ca)
	s.expect(exitOK, "CONNECTOR", "status", "-cacert", ca)
	s.expect(exitRuntime, "may read and change nothing", "connector", "create", "c.json", "-cacert", ca)
	delete(s.env, "TOWLINE_TOKEN")
	s.env["TOWLINE_PASSWORD"] = "admin-secret"
	s.expect(exitOK, "made out", "connector", "create", "c.json", "-cacert", ca, "-user", "ann")
	r := p.stop()
	if r.code != exitOK {
		t.Errorf("exit code %d:\n%s", r.code, r.err)
	}
	for _, secret := range []string{"admin-secret", "look-secret"} {
		if strings.Contains(r.out+r.err, secret) {
			t.Errorf("the log has %s:\n%s", secret, r.err)
		}
	}
}

func textOf(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
