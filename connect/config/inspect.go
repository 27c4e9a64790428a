package config

import (
	"slices"
	"strings"

	"github.com/towline/towline/connect"
)

// Setting is one key of a configuration: what is declared of it, what it was
// given, and what is wrong with that.
type Setting struct {
	Key    string
	Option *connect.Option // nil: nobody knows the key
	Value  string          // as it may be shown
	Given  bool
	Errors []string
}

// Inspect checks f as Build does, and returns all keys that it may have, those
// that were given and are not known behind them.
func Inspect(reg *Registry, f *File) []Setting {
	c, b := take(reg, f)
	b.unknownKeys(c.Plugin.Explain)
	at := map[string]int{}
	for i, s := range b.settings {
		at[s.Key] = i
		for _, a := range s.Option.Aliases {
			key := strings.TrimSuffix(s.Key, s.Option.Name) + a
			if _, taken := at[key]; !taken {
				at[key] = i
			}
		}
	}
	for key, value := range b.public {
		if i, ok := at[key]; ok && !b.settings[i].Given {
			b.settings[i].Value, b.settings[i].Given = value, true
		}
	}
	for _, fault := range b.faults {
		i, ok := at[fault.Key]
		if !ok {
			i = len(b.settings)
			at[fault.Key] = i
			_, given := f.Config[fault.Key]
			b.settings = append(b.settings, Setting{Key: fault.Key, Given: given})
		}
		b.settings[i].Errors = append(b.settings[i].Errors, fault.Text)
	}
	return b.settings
}

// OptionsOf returns all options that a configuration of a connector may have,
// but for those of its converters and transforms.
func (reg *Registry) OptionsOf(p *connect.Plugin) []connect.Option {
	list := slices.Concat(Common(), p.Options, SinkOnly())
	if p.Source != nil {
		list = slices.Concat(Common(), p.Options, SourceOnly())
	}
	for i := range list {
		if v, ok := reg.Defaults[list[i].Name]; ok {
			list[i].Default = v
		}
	}
	return list
}

// Shown returns a configuration as it may be shown: as its user wrote it, with
// secrets hidden, and what nobody knows hidden too, since it may be one.
func Shown(reg *Registry, f *File) map[string]string {
	_, b := take(reg, f)
	shown := make(map[string]string, len(f.Config))
	for key, value := range f.Config {
		hidden := !b.used[key] || b.public[connect.ShownKey(key)] == Hidden || b.public["value.converter."+key] == Hidden
		if hidden && key != "connector.class" {
			value = Hidden
		}
		shown[connect.ShownKey(key)] = value
	}
	return shown
}

// Read checks values against options that are of no plug-in: those of a
// program. explain says what to do about keys that people know from elsewhere.
func Read(name string, options []connect.Option, values map[string]string, explain func(key string) string) (connect.Config, error) {
	b := &builder{raw: values, used: map[string]bool{}, public: map[string]string{}}
	c := b.options(name, "", options)
	b.unknownKeys(explain)
	if len(b.faults) > 0 {
		return c, &connect.ConfigError{Name: name, Faults: b.faults}
	}
	return c, nil
}
