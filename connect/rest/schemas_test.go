package rest

import (
	"testing"

	schemas "github.com/towline/towline/connect/registry"
	"github.com/towline/towline/offsets"
)

// putSchemas registers those that testdata/schemas.txt asks for.
func putSchemas(t *testing.T, store offsets.Store) {
	t.Helper()
	reg := schemas.NewOwn(store)
	for _, s := range [][2]string{{"a-value", `{"type":"record","name":"A","fields":[]}`}, {"a-value", `{"type":"record","name":"B","fields":[{"name":"x","type":"int"}]}`},
		{"a-key", `"string"`}, {"b/c d-key", `"string"`}} {
		if _, err := reg.Register(t.Context(), s[0], s[1]); err != nil {
			t.Fatal(err)
		}
	}
}
