package herder

import (
	"maps"
	"slices"
	"strings"

	"github.com/towline/towline/connect"
)

// Unhide returns sent with each hidden secret replaced by the one that kept
// has, so that a configuration that was read can be written back, changed or
// not. A hidden value that stands for none is an error.
func Unhide(kept, sent map[string]string) (map[string]string, error) {
	out := maps.Clone(sent)
	if out == nil {
		out = map[string]string{}
	}
	var unknown []string
	for key, value := range sent {
		real := key
		if strings.Contains(key, connect.Hidden) {
			delete(out, key)
			var ok bool
			if real, ok = keyBehind(kept, key); !ok {
				unknown = append(unknown, key)
				continue
			}
			out[real] = value
		}
		if value != connect.Hidden {
			continue
		}
		old, ok := kept[real]
		if !ok {
			unknown = append(unknown, key)
			continue
		}
		out[real] = old
	}
	if len(unknown) > 0 {
		slices.Sort(unknown)
		return nil, Errorf(Invalid, "%s stands for a secret that is kept here, but none is kept for %s; send the secret itself, or a reference to it",
			connect.Hidden, strings.Join(unknown, ", "))
	}
	return out, nil
}

// keyBehind returns the one key of kept that is shown as key.
func keyBehind(kept map[string]string, key string) (found string, ok bool) {
	for k := range kept {
		if connect.ShownKey(k) != key {
			continue
		}
		if ok {
			return "", false // which of them is meant?
		}
		found, ok = k, true
	}
	return found, ok
}

// Merge returns config with changes; nil removes a key.
func Merge(config map[string]string, changes map[string]*string) map[string]string {
	out := maps.Clone(config)
	for k, v := range changes {
		if v == nil {
			delete(out, k)
		} else {
			out[k] = *v
		}
	}
	return out
}
