package rest

import (
	"encoding/json"
	"slices"
	"testing"
)

// A validation answers 200 with all keys: what they are, what they were given,
// and what is wrong, with secrets hidden.
func TestValidate(t *testing.T) {
	r := newRig(t)
	a := r.ask("PUT", "/connector-plugins/silent/config/validate", "application/json",
		`{"name": "a", "connector.class": "org.example.SilentConnector", "secret": "hush", "depth": 12, "depht": 1}`)
	var got configInfos
	if err := json.Unmarshal(a.Body.Bytes(), &got); err != nil || a.Code != 200 {
		t.Fatalf("%d %s", a.Code, a.Body)
	}
	if got.Name != "silent" || got.ErrorCount != 2 || !slices.Contains(got.Groups, "Silence") || !slices.Contains(got.Groups, "Error Handling") {
		t.Errorf("%s has %d errors in %v", got.Name, got.ErrorCount, got.Groups)
	}
	for _, want := range []struct {
		key, value string
		errors     []string
		known      bool
	}{
		{"connector.class", "org.example.SilentConnector", []string{}, true},
		{"secret", "[hidden]", []string{}, true},
		{"depth", "12", []string{"12 is not between 1 and 9"}, true},
		{"tasks.max", "1", []string{}, true},
		{"depht", "", []string{"is not known; did you mean depth?"}, false},
	} {
		i := slices.IndexFunc(got.Configs, func(c configInfo) bool { return c.Value.Name == want.key })
		if i < 0 {
			t.Errorf("nothing of %s", want.key)
			continue
		}
		c := got.Configs[i]
		value := ""
		if c.Value.Value != nil {
			value = *c.Value.Value
		}
		if value != want.value || !slices.Equal(c.Value.Errors, want.errors) || (c.Definition != nil) != want.known || !c.Value.Visible {
			t.Errorf("%s: %+v, want %+v", want.key, c, want)
		}
		if d := c.Definition; d != nil && (d.Name != want.key || d.Type == "" || d.Importance == "" || d.Order == 0 || d.Width == "") {
			t.Errorf("%s: %+v", want.key, d)
		}
	}
}

// A plug-in is found by its name, by a class name, and by one without
// "Connector".
func TestPluginConfig(t *testing.T) {
	r := newRig(t)
	for _, class := range []string{"silent", "org.example.SilentConnector", "SilentConnector", "Silent"} {
		var got []keyInfo
		a := r.ask("GET", "/connector-plugins/"+class+"/config", "", "")
		if err := json.Unmarshal(a.Body.Bytes(), &got); err != nil || a.Code != 200 {
			t.Fatalf("%s: %d %s", class, a.Code, a.Body)
		}
		i := slices.IndexFunc(got, func(k keyInfo) bool { return k.Name == "depth" })
		if i < 0 || *got[i].DefaultValue != "7" || got[i].Type != "INT" || got[i].Documentation != "How deep it is." || got[i].Required {
			t.Errorf("%s: %s", class, a.Body)
		}
	}
}
