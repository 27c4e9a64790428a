package main

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/towline/towline/connect"
)

// What is typed becomes the signal that Debezium's users know, and what is
// answered decides the exit code.
func TestSnapshotCommand(t *testing.T) {
	var got connect.Signal
	var query string
	code, answer := http.StatusOK, `{"did": ["shop.orders is copied"]}`
	srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		query = r.URL.Path + "?" + r.URL.RawQuery
		got = connect.Signal{}
		if err := json.NewDecoder(r.Body).Decode(&got); err != nil {
			t.Error(err)
		}
		rw.WriteHeader(code)
		_, _ = rw.Write([]byte(answer))
	}))
	defer srv.Close()
	addr := strings.TrimPrefix(srv.URL, "http://")
	do := func(args ...string) (int, string) {
		var out, errOut strings.Builder
		n := run(context.Background(), append([]string{"snapshot", "-address", addr}, args...), &out, &errOut)
		return n, out.String() + errOut.String()
	}
	if n, out := do("start", `shop\.orders`, "-where", `shop\.orders=price >= 100`, "-connector", "src"); n != exitOK || out != "shop.orders is copied\n" {
		t.Fatal(n, out)
	}
	want := `{"data-collections":["shop\\.orders"],"additional-conditions":[{"data-collection":"shop\\.orders","filter":"price \u003e= 100"}]}`
	if got.Type != "execute-snapshot" || string(got.Data) != want || got.ID == "" || query != "/v1/signals?connector=src" {
		t.Fatalf("%s %s %s %q", query, got.Type, got.Data, got.ID)
	}
	for verb, kind := range map[string]string{"stop": "stop-snapshot", "pause": "pause-snapshot", "resume": "resume-snapshot"} {
		if n, out := do(verb); n != exitOK || got.Type != kind || string(got.Data) != "{}" {
			t.Errorf("%s: %d %s, %s %s", verb, n, out, got.Type, got.Data)
		}
	}
	code, answer = http.StatusBadRequest, `{"error_code": 400, "message": "no table is concerned"}`
	if n, out := do("start", "x"); n != exitRuntime || !strings.Contains(out, "no table is concerned") {
		t.Error(n, out)
	}
	for _, args := range [][]string{{}, {"begin"}, {"start", "-where", "x", "a"}, {"status", "x"}} {
		if n, out := do(args...); n != exitConfig {
			t.Errorf("%v: %d %s", args, n, out)
		}
	}
	srv.Close()
	if n, out := do("pause"); n != exitEnvironment {
		t.Error(n, out)
	}
}
