package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/towline/towline/connect/worker"
	"github.com/towline/towline/e2e/mysqltest"
)

// workerFile configures a worker on a free port.
const workerFile = `{"listeners": "http://127.0.0.1:0"}`

// serveWorker starts towline worker and waits until it answers.
func (s *sandbox) serveWorker() *process {
	s.t.Helper()
	s.write("worker.json", workerFile)
	_ = os.Remove(filepath.Join(s.dir, "towline-data", addressFile)) // of one that was killed
	p := s.start("worker", "--config", "worker.json")
	s.awaitFile(p, filepath.Join("towline-data", addressFile))
	return p
}

func (s *sandbox) url(path string) string {
	s.t.Helper()
	addr, err := os.ReadFile(filepath.Join(s.dir, "towline-data", addressFile))
	if err != nil {
		s.t.Fatal(err)
	}
	return "http://" + strings.TrimSpace(string(addr)) + path
}

// ask sends a request and returns the answer's code and body.
func (s *sandbox) ask(method, path, body string) (int, string) {
	s.t.Helper()
	return request(s.t, method, s.url(path), body)
}

// request sends one and returns the answer's code and body.
func request(t *testing.T, method, url, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// must is ask for an answer with a code.
func (s *sandbox) must(code int, method, path, body string) string {
	s.t.Helper()
	got, answer := s.ask(method, path, body)
	if got != code {
		s.t.Fatalf("%s %s: %d %s, want %d", method, path, got, answer, code)
	}
	return answer
}

// arrived waits until all that is committed has arrived.
func (s *sandbox) arrived() {
	s.t.Helper()
	s.must(200, "GET", "/v1/status?wait=3m", "")
}

// atRest waits until the only task of a connector that is stopped has ended.
func (s *sandbox) atRest(connector string) {
	s.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		var st worker.Status
		text := s.must(200, "GET", "/v1/status", "")
		if err := json.Unmarshal([]byte(text), &st); err != nil {
			s.t.Fatal(err)
		}
		i := slices.IndexFunc(st.Connectors, func(c worker.ConnectorStatus) bool { return c.Name == connector })
		if i >= 0 && len(st.Connectors[i].Tasks) == 1 && st.Connectors[i].Tasks[0].State == worker.StateStopped {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("%s does not come to rest: %s", connector, text)
		}
	}
}

// A pipeline from beginning to end over REST alone: made, stopped, its offsets
// changed, resumed, killed and started again, deleted.
func TestPipelineOverREST(t *testing.T) {
	srv := mysqltest.Shared(t)
	db := srv.CreateDB(t)
	t.Cleanup(func() { srv.DB().Exec("DROP DATABASE IF EXISTS " + db + "_copy") })
	srv.Exec(t, "CREATE TABLE "+db+".a (id INT PRIMARY KEY); INSERT INTO "+db+".a VALUES (1), (2)")
	s := newSandbox(t)
	p := s.serveWorker()
	rows := func(want string) {
		t.Helper()
		if got := fmt.Sprint(srv.Query(t, "SELECT id FROM "+db+"_copy.a ORDER BY id")); got != want {
			t.Fatalf("the copy has %s, want %s", got, want)
		}
	}
	copied := "/connectors/copy"
	s.must(201, "POST", "/connectors", source(srv, srv.User, srv.Password, db))
	s.must(201, "POST", "/connectors", target(srv, srv.User, srv.Password, db+"_copy"))
	s.arrived()
	rows("[[1] [2]]")

	// While it is stopped nothing arrives, and nothing is lost.
	s.must(204, "PUT", copied+"/stop", "")
	srv.Exec(t, "INSERT INTO "+db+".a VALUES (3)")
	s.must(200, "GET", "/connectors/copy/offsets", "")
	s.must(202, "PUT", copied+"/resume", "")
	s.arrived()
	rows("[[1] [2] [3]]")

	// From the beginning of the topics: what was taken from the target comes back.
	s.must(204, "PUT", copied+"/stop", "")
	s.must(200, "DELETE", copied+"/offsets", "")
	srv.Exec(t, "DELETE FROM "+db+"_copy.a")
	if got := s.must(200, "GET", copied+"/offsets", ""); !strings.Contains(got, `"kafka_offset":0`) {
		t.Errorf("after a reset the offsets are %s", got)
	}
	s.must(202, "PUT", copied+"/resume", "")
	s.arrived()
	rows("[[1] [2] [3]]")

	// A kill changes nothing of what was made, nor of what rests.
	s.must(202, "PUT", copied+"/pause", "")
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	p.wait()
	srv.Exec(t, "INSERT INTO "+db+".a VALUES (4)")
	p = s.serveWorker()
	if got := s.must(200, "GET", "/connectors?expand=status", ""); strings.Count(got, `"state":"PAUSED"`) == 0 || !strings.Contains(got, `"in"`) {
		t.Errorf("after a kill there are %s", got)
	}
	s.must(202, "PUT", copied+"/resume", "")
	s.arrived()
	rows("[[1] [2] [3] [4]]")

	// The source begins anew: what nobody saw go is gone in the end.
	s.must(204, "PUT", "/connectors/in/stop", "")
	srv.Exec(t, "DELETE FROM "+db+".a WHERE id = 2; INSERT INTO "+db+".a VALUES (5)")
	s.must(200, "DELETE", "/connectors/in/offsets", "")
	s.must(202, "PUT", "/connectors/in/resume", "")
	s.arrived()
	rows("[[1] [3] [4] [5]]")
	srv.Exec(t, "INSERT INTO "+db+".a VALUES (6)")
	s.arrived()
	rows("[[1] [3] [4] [5] [6]]")

	// Secrets do not come back, and stand for themselves.
	cfg := s.must(200, "GET", "/connectors/copy/config", "")
	if srv.Password != "" && strings.Contains(cfg, srv.Password) {
		t.Errorf("the password is in %s", cfg)
	}
	s.must(200, "PUT", copied+"/config", strings.Replace(cfg, `"name":"copy"`, `"name":"copy","batch.size":"100"`, 1))
	srv.Exec(t, "INSERT INTO "+db+".a VALUES (7)")
	s.arrived()
	rows("[[1] [3] [4] [5] [6] [7]]")

	s.must(204, "DELETE", copied, "")
	s.must(204, "DELETE", "/connectors/in", "")
	s.must(404, "GET", copied, "")
	if got := s.must(200, "GET", "/connectors", ""); got != "[]\n" {
		t.Errorf("in the end there are %s", got)
	}
	if r := p.stop(); r.code != exitOK {
		t.Errorf("exit code %d:\n%s", r.code, r.err)
	}
}

// clientOf returns a program of a client that e2e/servers/clients.sh installs.
func clientOf(t *testing.T, name, program string) string {
	t.Helper()
	home := os.Getenv("TOWLINE_SERVERS")
	if home == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			t.Fatal(err)
		}
		home = filepath.Join(cache, "towline", "servers")
	}
	if _, err := os.Stat(filepath.Join(home, name, "installed")); err != nil {
		if os.Getenv("TOWLINE_REQUIRE_SERVERS") == "1" {
			t.Fatalf("%s is not installed: run e2e/servers/clients.sh", name)
		}
		t.Skipf("%s is not installed: make servers", name)
	}
	return filepath.Join(home, name, "bin", program)
}

// A client of Kafka Connect that knows nothing of Towline drives it, with each of
// its commands.
func TestKafkaConnectCLI(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("needs kafka-connect-cli")
	}
	python := clientOf(t, "kafka-connect-cli", "python3")
	// The program, which is to give a slow machine more than 5 seconds for an answer.
	const program = "import sys; from kafka_connect import kafka_connect, __main__; kafka_connect.TIMEOUT = 240; sys.exit(__main__.main())"
	command := func(args ...string) *exec.Cmd {
		return exec.Command(python, append([]string{"-c", program}, args...)...)
	}
	s := newSandbox(t)
	p := s.serveWorker()
	// run runs the client until what it prints has text in it: tasks follow in
	// their own time.
	run := func(text string, args ...string) {
		t.Helper()
		for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
			out, err := command(append(args, "--url", s.url(""))...).CombinedOutput()
			if err == nil && strings.Contains(string(out), text) {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%v: %v\n%s\nnever says %s", args, err, out, text)
			}
		}
	}
	once := func(args ...string) string {
		t.Helper()
		out, err := command(append(args, "--url", s.url(""))...).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	cfg := s.write("cfg.json", `{"connector.class": "file", "topics": "t", "file": "out.jsonl"}`)
	cfg = filepath.Join(s.dir, cfg)
	once("connector", "create", "--name", "c", "--configuration-file", cfg)
	run(`"state": "RUNNING"`, "connector", "get", "--name", "c")
	if got := once("connector", "create", "--name", "c", "--configuration-file", cfg, "--if-not-exists"); !strings.Contains(got, "null") {
		t.Errorf("creating what is there: %s", got)
	}
	if got := once("connector", "configuration", "--name", "c"); !strings.Contains(got, `"topics": "t"`) {
		t.Errorf("the configuration is %s", got)
	}
	once("connector", "pause", "--name", "c")
	run(`"state": "PAUSED"`, "connector", "list")
	once("connector", "resume-all")
	run(`"RUNNING"`, "task", "list", "--connector", "c")
	once("connector", "update", "--name", "c", "--configuration", `{"connector.class": "file", "topics": "u", "file": "out.jsonl"}`)
	run(`"topics": "u"`, "connector", "configuration", "--name", "c")
	once("connector", "restart", "--name", "c")
	once("task", "restart", "--connector", "c", "--task", "0")
	run(`"RUNNING"`, "task", "list", "--connector", "c")
	run("Connector c in state RUNNING", "health-check", "--verbose")
	other := filepath.Join(s.dir, s.write("other.json", `{"connector.class": "file", "topics": "v", "file": "other.jsonl"}`))
	once("connector", "create", "--name", "d", "--configuration-file", other)
	run("Connector d in state RUNNING", "health-check", "--verbose")
	if got := once("connector", "pause-all", "--verbose"); got != "Connector c paused\nConnector d paused\n" {
		t.Errorf("pausing all: %s", got)
	}
	run("Connector d in state PAUSED", "health-check", "--verbose")
	once("connector", "resume", "--name", "d")
	run(`"connector": "d",
        "state": "RUNNING"`, "connector", "list")
	s.write("other.json", `{"connector.class": "file", "topics": "w", "file": "other.jsonl"}`)
	once("connector", "update", "--name", "d", "--configuration-file", other)
	run(`"topics": "w"`, "connector", "configuration", "--name", "d")
	if out, _ := command("connector", "create", "--name", "d", "--configuration-file", cfg, "--url", s.url("")).CombinedOutput(); !strings.Contains(string(out), "Connector d already exists") {
		t.Errorf("creating what is there: %s", out)
	}
	if out, _ := command("task", "list", "--connector", "nix", "--url", s.url("")).CombinedOutput(); !strings.Contains(string(out), "Connector nix not found") {
		t.Errorf("tasks of what is not there: %s", out)
	}
	once("connector", "delete", "--name", "c")
	if got := once("connector", "delete-all", "--name", "d|e", "--verbose"); got != "Connector d deleted\n" {
		t.Errorf("deleting all: %s", got)
	}
	var left []json.RawMessage
	if err := json.Unmarshal([]byte(once("connector", "list")), &left); err != nil || len(left) > 0 {
		t.Errorf("in the end there are %s, %v", left, err)
	}
	if r := p.stop(); r.code != exitOK {
		t.Errorf("exit code %d:\n%s", r.code, r.err)
	}
}

// What is wrong with a worker's configuration is said, with what to do.
func TestWorkerConfiguration(t *testing.T) {
	for _, c := range []struct{ name, file, want string }{
		{"not JSON", "listeners=http://:8083", "is not a worker's configuration"},
		{"unknown", `{"listener": "http://:8083"}`, "did you mean listeners?"},
		{"of a cluster", `{"group.id": "g"}`, "leave it out to run standalone"},
		{"of Kafka", `{"offset.storage.file.filename": "x"}`, "data.dir"},
		{"scheme", `{"listeners": "ftp://127.0.0.1:1"}`, "neither http nor https"},
		{"no certificate", `{"listeners": "https://127.0.0.1:0"}`, "listeners.https.ssl.keystore.location: is required"},
		{"no such certificate", `{"listeners": "https://127.0.0.1:0", "ssl.keystore.location": "nix.pem"}`, "nix.pem: no such file"},
		{"a key store of Java", `{"ssl.keystore.type": "JKS"}`, `"JKS" is not one of PEM`},
		{"a role", `{"rest.user.ann.password": "x", "rest.user.ann.role": "king"}`, "not one of admin, reader"},
		{"a role of nobody", `{"rest.user.ann.role": "admin"}`, "there is no rest.user.ann.password"},
		{"an empty password", `{"rest.user.ann.password": ""}`, "is empty"},
		{"a secret", `{"rest.user.ann.password": "${env:TOWLINE_TEST_NOT_SET}"}`, "no variable TOWLINE_TEST_NOT_SET"},
		{"two places", `{"namesrvAddr": "127.0.0.1:9876", "data.dir": "x"}`, "data.dir: topics, positions and connectors are in RocketMQ"},
		{"bytes of a broker", `{"namesrvAddr": "127.0.0.1:9876", "log.retention.bytes": "1"}`, "by their age alone"},
		{"for ever", `{"namesrvAddr": "127.0.0.1:9876", "log.retention.ms": "0"}`, "nothing for ever"},
		{"no port", `{"namesrvAddr": "127.0.0.1:9876;localhost"}`, "\"localhost\" is not host:port"},
		{"no name servers", `{"connectClusterId": "x"}`, "connectClusterId: is for topics in RocketMQ"},
		{"a dot", `{"namesrvAddr": "127.0.0.1:9876", "connectClusterId": "a.b"}`, "letters, digits"},
		{"no secret", `{"namesrvAddr": "127.0.0.1:9876", "aclEnable": true, "accessKey": "x"}`, "both accessKey and secretKey"},
		{"no access control", `{"namesrvAddr": "127.0.0.1:9876", "accessKey": "x"}`, "has no use without aclEnable"},
		{"no TLS", `{"namesrvAddr": "127.0.0.1:9876", "tls.client.certPath": "x"}`, "has no use without useTLS"},
		{"no trust", `{"namesrvAddr": "127.0.0.1:9876", "useTLS": true, "tls.client.trustCertPath": "nix.pem"}`, "nix.pem: no such file"},
		{"no key", `{"namesrvAddr": "127.0.0.1:9876", "useTLS": true, "tls.client.certPath": "nix.pem"}`, "tls.client.certPath and tls.client.keyPath: have to be PEM"},
		{"of RocketMQ Connect", `{"namesrvAddr": "127.0.0.1:9876", "httpPort": 8082}`, "give listeners"},
		{"a reporter", `{"metric.reporters": "org.apache.kafka.common.metrics.JmxReporter"}`, "not one of topic"},
		{"no reporter", `{"metric.reporters.topic.name": "x"}`, "has no use without metric.reporters"},
		{"a topic of connectors", `{"namesrvAddr": "127.0.0.1:9876", "config.storage.topic": "x"}`, "are in one topic, since what a worker may save is decided by the order of all of them; offset.storage.topic names it"},
		{"a topic of RocketMQ Connect", `{"namesrvAddr": "127.0.0.1:9876", "positionStoreTopic": "x"}`, "offset.storage.topic names it"},
		{"queues of the state", `{"namesrvAddr": "127.0.0.1:9876", "offset.storage.partitions": 25}`, "has one queue"},
		{"replicas", `{"namesrvAddr": "127.0.0.1:9876", "status.storage.replication.factor": 3}`, "copies whole brokers"},
		{"no topic", `{"namesrvAddr": "127.0.0.1:9876", "offset.storage.topic": "a|b"}`, "letters, digits"},
		{"a topic of nobody", `{"offset.storage.topic": "x"}`, "offset.storage.topic: is for topics in RocketMQ"},
		{"a cluster with positions elsewhere", `{"namesrvAddr": "127.0.0.1:9876", "offset.storage": "redis", "offset.storage.redis.address": "b:1", "session.timeout.ms": 9000}`, "workers whose positions are elsewhere do not share connectors"},
		{"an origin", `{"access.control.allow.origin": "*"}`, "not scheme://host"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newSandbox(t)
			s.write("worker.json", c.file)
			if r := s.run("worker", "--config", "worker.json"); r.code != exitConfig || !strings.Contains(r.err, c.want) {
				t.Errorf("exit code %d, want %d and %q in:\n%s", r.code, exitConfig, c.want, r.err)
			}
		})
	}
	s := newSandbox(t)
	if r := s.run("worker"); r.code != exitConfig || !strings.Contains(r.err, "--config") {
		t.Errorf("exit code %d:\n%s", r.code, r.err)
	}
}
