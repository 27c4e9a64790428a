package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/towline/towline/connect"
)

// Registry is the set of plug-ins that configurations may name.
type Registry struct {
	Connectors []connect.Plugin
	Transforms []connect.Plugin
	Predicates []connect.Plugin
	Converters []connect.Plugin
	// Defaults are those of options, by name, where the worker has others.
	Defaults map[string]string
}

// Connector is a checked configuration of one connector.
type Connector struct {
	Name       string
	Plugin     connect.Plugin
	Config     connect.Config
	Converter  Part
	Transforms []Step
	// Public is the configuration as the user wrote it, references
	// unresolved, passwords replaced: what may be shown.
	Public map[string]string
}

// Part is a plug-in with its own configuration.
type Part struct {
	Plugin connect.Plugin
	Config connect.Config
}

// Step is one transform of a chain.
type Step struct {
	Part
	Predicate *Part
	Negate    bool
}

// IsSource reports whether c is a source.
func (c *Connector) IsSource() bool { return c.Plugin.Source != nil }

// Hidden stands for a secret in everything that is shown.
const Hidden = connect.Hidden

// builder collects faults while it takes a file apart.
type builder struct {
	reg    *Registry
	raw    map[string]string
	used   map[string]bool
	faults []connect.Fault
	known  []string
	public map[string]string
	// settings are the single options that were looked for, in order.
	settings []Setting
}

// Build checks f against the plug-ins of reg.
func Build(reg *Registry, f *File) (*Connector, error) {
	c, b := take(reg, f)
	b.unknownKeys(c.Plugin.Explain)
	if len(b.faults) > 0 {
		return nil, &connect.ConfigError{Name: f.Name, Faults: b.faults}
	}
	return c, nil
}

func take(reg *Registry, f *File) (*Connector, *builder) {
	b := &builder{reg: reg, raw: maps.Clone(f.Config), used: map[string]bool{}, public: map[string]string{}}
	return b.connector(f.Name), b
}

func (b *builder) fault(key, format string, args ...any) {
	b.faults = append(b.faults, connect.Fault{Key: connect.ShownKey(key), Text: fmt.Sprintf(format, args...)})
}

func (b *builder) connector(name string) *Connector {
	c := &Connector{Name: name, Public: b.public}
	if name == "" || strings.ContainsAny(name, "/\x00\n") {
		b.fault("name", "%q is not a name; it must not be empty or hold a slash", name)
	}
	class, ok := b.raw["connector.class"]
	if !ok {
		b.fault("connector.class", "is required; it is one of %s", names(b.reg.Connectors))
		b.takeAll()
		return c
	}
	c.Plugin, ok = Find(b.reg.Connectors, class)
	if !ok {
		b.fault("connector.class", "there is no connector %q%s", class, hint(class, b.reg.Connectors))
		b.takeAll()
		return c
	}
	c.Config = b.options(name, "", b.reg.OptionsOf(&c.Plugin))
	b.rules(c)
	b.shared(c.Config.String("value.converter"))
	c.Converter = b.part(b.reg.Converters, "converter", "value.converter", c.Config.String("value.converter"), "value.converter.")
	b.converterRules(&c.Converter)
	b.keyConverter(c)
	if need := c.Plugin.NeedsSchemas; need != nil && len(b.faults) == 0 && !c.Converter.Plugin.Schemas {
		b.faults = append(b.faults, need(c.Config)...)
	}
	b.transforms(c)
	return c
}

// rules are those that concern options together.
func (b *builder) rules(c *Connector) {
	if strings.EqualFold(c.Config.String("errors.tolerance"), "all") && c.Config.String("errors.deadletterqueue.topic.name") == "" {
		b.fault("errors.deadletterqueue.topic.name", "is required with errors.tolerance=all, so that no record is lost; name a topic")
	}
	if !c.IsSource() && (c.Config.String("topics") == "") == (c.Config.String("topics.regex") == "") {
		b.fault("topics", "give either topics or topics.regex")
	}
	if c.Plugin.Validate != nil && len(b.faults) == 0 {
		b.faults = append(b.faults, c.Plugin.Validate(c.Config)...)
	}
}

// converterRules are those of a converter's options together.
func (b *builder) converterRules(p *Part) {
	if p.Plugin.Validate == nil || len(b.faults) > 0 {
		return
	}
	for _, f := range p.Plugin.Validate(p.Config) {
		b.fault("value.converter."+f.Key, "%s", f.Text)
	}
}

// shared lets the options of the converter stand at the connector as well,
// as they do in Debezium: tombstones.on.delete, decimal.handling.mode and the
// like mean the same there.
func (b *builder) shared(class string) {
	p, _ := Find(b.reg.Converters, class)
	for i := range p.Options {
		name := p.Options[i].Name
		b.known = append(b.known, name)
		if v, ok := b.take(name); ok {
			if _, own := b.raw["value.converter."+name]; !own {
				b.raw["value.converter."+name] = v
			}
		}
	}
}

// keyConverter accepts key.converter and its options where they say the same
// as those of the value.
func (b *builder) keyConverter(c *Connector) {
	if class := c.Config.String("key.converter"); class != "" {
		p, ok := Find(b.reg.Converters, class)
		if !ok {
			b.fault("key.converter", "there is no converter %q%s", class, hint(class, b.reg.Converters))
		} else if p.Name != c.Converter.Plugin.Name {
			b.fault("key.converter", "%s differs from value.converter, %s; keys and values have one form", p.Name, c.Converter.Plugin.Name)
		}
		b.options(c.Name, "key.converter.", c.Converter.Plugin.Options)
	}
}

func (b *builder) transforms(c *Connector) {
	predicates := map[string]*Part{}
	for _, name := range c.Config.List("predicates") {
		prefix := "predicates." + name + "."
		class := b.class(prefix + "type")
		p := b.part(b.reg.Predicates, "predicate", prefix+"type", class, prefix)
		predicates[name] = &p
	}
	for _, name := range c.Config.List("transforms") {
		prefix := "transforms." + name + "."
		step := Step{}
		class := b.class(prefix + "type")
		ref, _ := b.take(prefix + "predicate")
		negate, _ := b.take(prefix + "negate")
		b.known = append(b.known, prefix+"predicate", prefix+"negate")
		step.Part = b.part(b.reg.Transforms, "transform", prefix+"type", class, prefix)
		step.Negate = strings.EqualFold(negate, "true")
		if negate != "" && !step.Negate && !strings.EqualFold(negate, "false") {
			b.fault(prefix+"negate", "%q is neither true nor false", negate)
		}
		if ref != "" {
			if step.Predicate = predicates[ref]; step.Predicate == nil {
				b.fault(prefix+"predicate", "%q is not listed in predicates", ref)
			}
		}
		c.Transforms = append(c.Transforms, step)
	}
}

func (b *builder) class(key string) string {
	b.known = append(b.known, key)
	class, ok := b.take(key)
	if !ok {
		b.fault(key, "is required")
	}
	return class
}

// part finds a plug-in by its class and reads its options under prefix. A
// "$Value" or "$Key" behind the class goes to the option "side", where the
// plug-in declares it.
func (b *builder) part(set []connect.Plugin, what, key, class, prefix string) Part {
	base, side, _ := strings.Cut(class, "$")
	p, ok := Find(set, base)
	if !ok {
		if class != "" {
			b.fault(key, "there is no %s %q%s", what, class, hint(base, set))
		}
		for k := range b.raw {
			if strings.HasPrefix(k, prefix) {
				b.used[k] = true
			}
		}
		return Part{}
	}
	if side != "" {
		if !slices.ContainsFunc(p.Options, func(o connect.Option) bool { return o.Name == "side" }) {
			b.fault(key, "%s has no $%s; write %s", p.Name, side, base)
		} else {
			b.raw[prefix+"side"] = side
		}
	}
	return Part{Plugin: p, Config: b.options(p.Name, prefix, p.Options)}
}

// options reads the options under prefix, and checks them.
func (b *builder) options(name, prefix string, options []connect.Option) connect.Config {
	values := map[string]string{}
	for i := range options {
		o := &options[i]
		b.known = append(b.known, prefix+o.Name)
		if o.Pattern != nil {
			b.family(prefix, o, values)
			continue
		}
		b.settings = append(b.settings, Setting{Key: prefix + o.Name, Option: o})
		key, value, ok := b.find(prefix, o)
		if !ok {
			if o.Required {
				b.fault(prefix+o.Name, "is required: %s", o.Doc)
			}
			continue
		}
		if v, ok := b.resolve(key, value, o); ok {
			values[o.Name] = v
		}
	}
	return connect.NewConfig(name, options, values)
}

// family reads the keys under prefix that match o. References in a key are
// resolved too, for those that hold a secret.
func (b *builder) family(prefix string, o *connect.Option, values map[string]string) {
	for _, key := range slices.Sorted(maps.Keys(b.raw)) {
		name, ok := strings.CutPrefix(key, prefix)
		if !ok || b.used[key] {
			continue
		}
		name, _, err := Resolve(name)
		if o.Match(name) == nil {
			if err != nil {
				b.used[key] = true
				b.fault(key, "%v", err)
			}
			continue
		}
		raw, _ := b.take(key)
		if v, ok := b.resolve(key, raw, o); ok {
			values[name] = v
		}
	}
}

// find takes the option's value by its name or one of its aliases.
func (b *builder) find(prefix string, o *connect.Option) (key, value string, ok bool) {
	for _, n := range append([]string{o.Name}, o.Aliases...) {
		v, there := b.take(prefix + n)
		if !there {
			continue
		}
		if ok && v != value {
			b.fault(prefix+n, "says another thing than %s, which means the same", key)
			continue
		}
		key, value, ok = prefix+n, v, true
	}
	return key, value, ok
}

func (b *builder) resolve(key, raw string, o *connect.Option) (string, bool) {
	v, secret, err := Resolve(raw)
	shown := connect.ShownKey(key)
	b.public[shown] = raw
	if o.Type == connect.TypePassword && !secret {
		b.public[shown] = Hidden
	}
	if err != nil {
		b.fault(key, "%v", err)
		return "", false
	}
	if err := o.Validate(v); err != nil {
		if secret || o.Type == connect.TypePassword {
			err = fmt.Errorf("the value behind it is not valid for this option")
		}
		b.fault(key, "%v", err)
		return "", false
	}
	return v, true
}

func (b *builder) take(key string) (string, bool) {
	v, ok := b.raw[key]
	b.used[key] = b.used[key] || ok
	return v, ok
}

func (b *builder) takeAll() {
	for k := range b.raw {
		b.used[k] = true
	}
}

func (b *builder) unknownKeys(explain func(key string) string) {
	var unknown []string
	for k := range b.raw {
		if !b.used[k] {
			unknown = append(unknown, k)
		}
	}
	slices.Sort(unknown)
	for _, k := range unknown {
		if explain != nil {
			if why := explain(k); why != "" {
				b.fault(k, "%s", why)
				continue
			}
		}
		text := "is not known"
		if n := Nearest(connect.ShownKey(k), b.known); n != "" {
			text += "; did you mean " + n + "?"
		}
		b.fault(k, "%s", text)
	}
}

// Find returns the plug-in of that name or alias; case does not matter.
func Find(set []connect.Plugin, class string) (connect.Plugin, bool) {
	for _, p := range set {
		if strings.EqualFold(p.Name, class) || slices.ContainsFunc(p.Aliases, func(a string) bool {
			return strings.EqualFold(a, class) || strings.EqualFold(a[strings.LastIndexByte(a, '.')+1:], class)
		}) {
			return p, true
		}
	}
	return connect.Plugin{}, false
}

func names(set []connect.Plugin) string {
	n := make([]string, len(set))
	for i := range set {
		n[i] = set[i].Name
	}
	return strings.Join(n, ", ")
}

func hint(class string, set []connect.Plugin) string {
	var all []string
	for _, p := range set {
		all = append(append(all, p.Name), p.Aliases...)
	}
	if n := Nearest(class, all); n != "" {
		return "; did you mean " + n + "?"
	}
	return "; there are " + names(set)
}
