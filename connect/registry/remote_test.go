package registry

import (
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// What is no answer of a registry about a schema is an outage, and what is one is
// of that schema. The answers of a real registry are tested in cmd/towline.
func TestRemoteAnswers(t *testing.T) {
	for _, c := range []struct {
		code   int
		body   string
		outage bool
		want   string
	}{
		{500, `{"error_code":50001,"message":"Error in the backend data store"}`, true, "500"},
		{503, "try later", true, "503"}, {401, `{"error_code":401,"message":"Unauthorized"}`, true, "Unauthorized"}, {403, "no", true, "403"},
		{404, `{"error_code":404,"message":"HTTP 404 Not Found"}`, true, "404"}, {404, "<html>", true, "404"}, {429, "", true, "429"},
		{200, "<html>", true, "does not answer as a registry"}, {200, "{}", true, "Confluent's API?"},
		{404, `{"error_code":40403,"message":"Schema not found"}`, false, "Schema not found"},
		{409, `{"error_code":409,"message":"incompatible"}`, false, "incompatible"}, {422, `{"error_code":42201,"message":"Invalid schema"}`, false, "Invalid schema"},
	} {
		srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if name, secret, _ := r.BasicAuth(); name != "u" || secret != "p:q" {
				t.Errorf("it is asked by %s, %s", name, secret)
			}
			rw.WriteHeader(c.code)
			_, _ = rw.Write([]byte(c.body))
		}))
		reg := NewRemote(RemoteOptions{URLs: []string{srv.URL + "/"}, User: "u", Password: "p:q"})
		for _, err := range []error{second(reg.Register(t.Context(), "s", `"int"`)), second(reg.Schema(t.Context(), 1))} {
			var away *Outage
			if err == nil || errors.As(err, &away) != c.outage || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%d %s: %v", c.code, c.body, err)
			}
		}
		srv.Close()
	}
}

// A registry has several addresses, of which one answers.
func TestRemoteAddresses(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone := "http://" + l.Addr().String()
	l.Close()
	srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.EscapedPath() == "/subjects/a%2Fb%20c/versions" {
			_, _ = rw.Write([]byte(`{"id":77}`))
			return
		}
		_, _ = rw.Write([]byte(`{"schemaType":"JSON","schema":"{}"}`))
	}))
	defer srv.Close()
	if id, err := NewRemote(RemoteOptions{URLs: []string{gone, srv.URL}}).Register(t.Context(), "a/b c", `"int"`); err != nil || id != 77 {
		t.Error(id, err)
	}
	if _, err := NewRemote(RemoteOptions{URLs: []string{srv.URL}}).Schema(t.Context(), 1); err == nil || !strings.Contains(err.Error(), "one of JSON") {
		t.Error(err)
	}
	var away *Outage
	if _, err := NewRemote(RemoteOptions{URLs: []string{gone, gone}}).Register(t.Context(), "s", `"int"`); !errors.As(err, &away) {
		t.Error(err)
	}
}

func TestCheckURL(t *testing.T) {
	for text, want := range map[string]string{"http://r:8081": "", "https://r/apis/ccompat/v7": "", "r:8081": "not the URL", "ftp://r": "not the URL", "http://": "not the URL", "http://u:p@r": "USER_INFO", "http://r?x=1": "not the URL"} {
		err := CheckURL(text)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v", text, err)
		}
	}
}
