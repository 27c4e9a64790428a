package main

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	schemas "github.com/towline/towline/connect/registry"
	"github.com/towline/towline/e2e/mysqltest"
	"github.com/towline/towline/e2e/registrytest"
)

// A registry of others takes the schemas of a pipeline and gives them back, and
// what it says of schemas that it has not, or does not take, is told.
func TestAvroWithRegistryElsewhere(t *testing.T) {
	t.Parallel()
	server := registrytest.Start(t)
	t.Run("answers", func(t *testing.T) { registryAnswers(t, server.URL) })

	srv := mysqltest.Shared(t)
	db := srv.CreateDB(t)
	to := db + "_copy"
	t.Cleanup(func() { srv.DB().Exec("DROP DATABASE IF EXISTS " + to) })
	srv.Exec(t, fmt.Sprintf("CREATE TABLE %s.a (id INT PRIMARY KEY, price DECIMAL(10,2)); INSERT INTO %[1]s.a VALUES (1, 1.50), (2, NULL)", db))
	s := newSandbox(t)
	p := s.serveWorker()
	more := fmt.Sprintf(`"value.converter.schema.registry.url": %q, "key.converter.schema.registry.url": %[1]q, `, server.URL)
	if got := s.must(400, "POST", "/connectors", withAvro(source(srv, srv.User, srv.Password, db), more+`"value.converter.basic.auth.user.info": "u:hush", `)); !strings.Contains(got, "value.converter.basic.auth.credentials.source: is not USER_INFO") || strings.Contains(got, "hush") {
		t.Errorf("a user that is not used: %s", got)
	}
	s.must(201, "POST", "/connectors", withAvro(source(srv, srv.User, srv.Password, db), more))
	s.must(201, "POST", "/connectors", withAvro(target(srv, srv.User, srv.Password, to), more))
	equal := func() {
		t.Helper()
		s.arrived()
		const q = "SELECT * FROM %s.a ORDER BY id"
		if want, got := srv.Query(t, fmt.Sprintf(q, db)), srv.Query(t, fmt.Sprintf(q, to)); !slices.EqualFunc(want, got, slices.Equal) {
			t.Fatalf("the target has %q, the source %q", got, want)
		}
	}
	equal()
	srv.Exec(t, fmt.Sprintf("ALTER TABLE %s.a ADD COLUMN note VARCHAR(20); UPDATE %[1]s.a SET note = 'x'; DELETE FROM %[1]s.a WHERE id = 2", db))
	equal()
	if got := s.must(200, "GET", "/subjects", ""); got != "[]\n" {
		t.Errorf("Towline's own registry has %s", got)
	}
	code, got := request(t, http.MethodGet, server.URL+"/subjects/t."+db+".a-value/versions", "")
	if code != 200 || !strings.HasPrefix(got, "[1,2") {
		t.Errorf("the registry lists %d %s", code, got)
	}
	if r := p.stop(); r.code != exitOK {
		t.Errorf("exit code %d:\n%s", r.code, r.err)
	}
}

func registryAnswers(t *testing.T, url string) {
	record := func(field, typ string) string {
		return `{"type":"record","name":"x.R","fields":[{"name":"` + field + `","type":"` + typ + `"}],"connect.name":"x.R"}`
	}
	reg := schemas.NewRemote(schemas.RemoteOptions{URLs: []string{url}})
	lookup := schemas.NewRemote(schemas.RemoteOptions{URLs: []string{url}, Lookup: true})
	if _, err := lookup.Register(t.Context(), "s-value", record("a", "int")); err == nil || !strings.Contains(err.Error(), "auto.register.schemas=true") {
		t.Errorf("a schema that is not there: %v", err)
	}
	id, err := reg.Register(t.Context(), "s-value", record("a", "int"))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []*schemas.Remote{reg, lookup} {
		if again, err := r.Register(t.Context(), "s-value", record("a", "int")); err != nil || again != id {
			t.Errorf("it is registered as %d and then as %d, %v", id, again, err)
		}
	}
	if text, err := reg.Schema(t.Context(), id); err != nil || text != record("a", "int") {
		t.Errorf("it comes back as %s, %v", text, err)
	}
	if _, err := reg.Schema(t.Context(), id+1000); !errors.Is(err, schemas.ErrNotFound) {
		t.Errorf("an id that is not there: %v", err)
	}
	var away *schemas.Outage
	if code, answer := request(t, http.MethodPut, url+"/config/s-value", `{"compatibility": "BACKWARD"}`); code != 200 {
		t.Fatal(code, answer)
	}
	if _, err := reg.Register(t.Context(), "s-value", record("b", "int")); err == nil || errors.As(err, &away) || !strings.Contains(err.Error(), "not compatible") {
		t.Errorf("a schema that is not compatible: %v", err)
	}
	if _, err := reg.Register(t.Context(), "s-value", record("a", "nothing")); err == nil || errors.As(err, &away) {
		t.Errorf("a schema that is none: %v", err)
	}
	elsewhere := schemas.NewRemote(schemas.RemoteOptions{URLs: []string{url + "/nowhere"}})
	if _, err := elsewhere.Schema(t.Context(), id); !errors.As(err, &away) {
		t.Errorf("a path that is none: %v", err)
	}
}
