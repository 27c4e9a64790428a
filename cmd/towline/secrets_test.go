package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/towline/towline/e2e/mysqltest"
)

// Secrets that must never be seen. None is part of a word that may be.
const (
	plainSecret   = "plainly-Gi7en!pass"
	envSecret     = "fr0m-the-env'ment"
	urlSecret     = "in-the-Ur1-here"
	fileSecret    = "0ut-of-a-file"
	webhookSecret = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oDgh4="
)

func noSecret(t *testing.T, where, text string) {
	t.Helper()
	for _, secret := range []string{plainSecret, envSecret, urlSecret, fileSecret, webhookSecret, strings.TrimPrefix(webhookSecret, "whsec_")} {
		if i := strings.Index(text, secret); i >= 0 {
			t.Errorf("%s shows %q: ...%s", where, secret, text[max(0, i-200):i+len(secret)])
		}
	}
}

// secretive writes connector files with secrets in every form.
func secretive(t *testing.T, s *sandbox, srv *mysqltest.Server, db, hook string) []string {
	t.Helper()
	s.env["SECRET_PASSWORD"], s.env["SECRET_HOOK"] = envSecret, webhookSecret
	properties := s.dir + "/" + s.write("secrets.properties", "password="+fileSecret+"\n")
	jdbc := func(name, url, user, password string) string {
		return fmt.Sprintf(`{"name": %q, "config": {"connector.class": "jdbc", "connection.url": %q, "topics.regex": "t\\..*", "connection.user": %q, "connection.password": %q}}`,
			name, url, user, password)
	}
	addr := srv.Addr() + "/" + db + "_"
	return []string{
		s.write("in.json", source(srv, db+"_0", plainSecret, db)),
		s.write("env.json", jdbc("by-env", "jdbc:mysql://"+addr+"env", db+"_1", "${env:SECRET_PASSWORD}")),
		s.write("url.json", strings.Replace(jdbc("by-url", "mysql://"+db+"_2:"+urlSecret+"@"+addr+"url", "", ""), `, "connection.user": "", "connection.password": ""`, "", 1)),
		s.write("file.json", jdbc("by-file", "jdbc:mysql://"+addr+"file", db+"_3", "${file:"+properties+":password}")),
		s.write("hook.json", fmt.Sprintf(`{"name": "hook", "config": {"connector.class": "webhook", "topics.regex": "t\\..*", "http.url": %q,
			"webhook.secret": "${env:SECRET_HOOK}", "http.authorization.type": "static", "http.headers.authorization": %q}}`, hook, "Bearer "+plainSecret)),
	}
}

// TestSecretsStayHidden runs and breaks a pipeline that has secrets in all the
// ways there are, and looks for them in all that the program says.
func TestSecretsStayHidden(t *testing.T) {
	srv := mysqltest.Shared(t)
	db := srv.CreateDB(t)
	srv.Exec(t, "CREATE TABLE "+db+".a (id INT PRIMARY KEY); INSERT INTO "+db+".a VALUES (1)")
	for i, password := range []string{plainSecret, envSecret, urlSecret, fileSecret} {
		user := fmt.Sprintf("'%s_%d'@'%%'", db, i)
		srv.Exec(t, "CREATE USER "+user+" IDENTIFIED BY ?; GRANT ALL ON *.* TO "+user, password)
		t.Cleanup(func() { srv.DB().Exec("DROP USER " + user) })
	}
	t.Cleanup(func() {
		srv.DB().Exec(fmt.Sprintf("DROP DATABASE %[1]s_env; DROP DATABASE %[1]s_url; DROP DATABASE %[1]s_file", db))
	})
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	defer hook.Close()
	s := newSandbox(t)
	files := secretive(t, s, srv, db, hook.URL)

	r := s.run(append([]string{"doctor"}, files...)...)
	if r.code != exitOK {
		t.Errorf("doctor: exit code %d:\n%s%s", r.code, r.out, r.err)
	}
	noSecret(t, "doctor", r.out+r.err)
	p := s.serve(append([]string{"--log-level", "debug"}, files...)...)
	r = s.run("status", "--wait")
	if r.code != exitOK {
		t.Errorf("status --wait: exit code %d:\n%s%s", r.code, r.out, r.err)
	}
	noSecret(t, "status", r.out+r.err)
	noSecret(t, "status --json", s.run("status", "--json").out)
	for _, path := range []string{"/metrics", "/v1/status", "/health", "/"} {
		noSecret(t, path, s.get(path))
	}
	if r = p.stop(); r.code != exitOK {
		t.Errorf("run: exit code %d:\n%s", r.code, r.err)
	}
	noSecret(t, "the log", r.out+r.err)

	// The same where every login fails.
	for i := range 4 {
		srv.Exec(t, fmt.Sprintf("ALTER USER '%s_%d'@'%%' IDENTIFIED BY 'another'", db, i))
	}
	r = s.run(append([]string{"doctor"}, files...)...)
	if r.code != exitEnvironment || !strings.Contains(r.out, "4 faults") {
		t.Errorf("doctor of a broken pipeline: exit code %d:\n%s%s", r.code, r.out, r.err)
	}
	noSecret(t, "doctor of a broken pipeline", r.out+r.err)
	p = s.serve(append([]string{"--log-level", "debug", "--log-format", "json"}, files...)...)
	r = s.run("status", "--wait", "--timeout", "3m")
	noSecret(t, "status of a broken pipeline", r.out+r.err)
	noSecret(t, "status --json of a broken pipeline", s.run("status", "--json").out+s.get("/metrics"))
	noSecret(t, "the log of a broken pipeline", p.stop().err)
}

// TestSecretsStayHiddenInFaults gives values that are not valid.
func TestSecretsStayHiddenInFaults(t *testing.T) {
	t.Parallel()
	s := newSandbox(t)
	s.env["SECRET_PASSWORD"] = envSecret
	for name, content := range map[string]string{
		"a secret that is not base64":   `"connector.class": "webhook", "topics": "t", "http.url": "http://localhost/", "webhook.secret": "` + plainSecret + `"`,
		"a reference where it is wrong": `"connector.class": "webhook", "topics": "t", "http.url": "http://localhost/", "max.in.flight": "${env:SECRET_PASSWORD}"`,
		"a URL that is none":            `"connector.class": "webhook", "topics": "t", "http.url": "http://u:` + urlSecret + `@[::1/?x=` + plainSecret + `"`,
		"a server's URL that is none":   `"connector.class": "jdbc", "topics": "t", "connection.url": "mysql://u:` + urlSecret + `@host:port:port/"`,
		"a DSN that is none":            `"connector.class": "jdbc", "topics": "t", "connection.url": "u:` + urlSecret + `@tcp(x"`,
		"an unknown key":                `"connector.class": "jdbc", "topics": "t", "connection.url": "mysql://h/d", "connection.pasword": "` + plainSecret + `"`,
		"another scheme":                `"connector.class": "jdbc", "topics": "t", "connection.url": "jdbc:postgresql://u:` + urlSecret + `@h/d"`,
	} {
		r := s.run("doctor", s.write("c.json", `{"name": "c", "config": {`+content+`}}`))
		if r.code != exitConfig || r.err == "" {
			t.Errorf("%s: exit code %d, want %d:\n%s%s", name, r.code, exitConfig, r.out, r.err)
		}
		noSecret(t, name, r.out+r.err)
	}
}
