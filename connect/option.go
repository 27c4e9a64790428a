package connect

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// OptionType is the type of an option's value; the names are Kafka Connect's.
type OptionType string

// The types.
const (
	TypeString   OptionType = "STRING"
	TypeInt      OptionType = "INT"
	TypeLong     OptionType = "LONG"
	TypeDouble   OptionType = "DOUBLE"
	TypeBoolean  OptionType = "BOOLEAN"
	TypeList     OptionType = "LIST" // values separated by commas
	TypePassword OptionType = "PASSWORD"
	TypeClass    OptionType = "CLASS"
)

// Importance of an option; the names are Kafka Connect's.
type Importance string

// The importances.
const (
	High   Importance = "HIGH"
	Medium Importance = "MEDIUM"
	Low    Importance = "LOW"
)

// Option declares one key of a configuration. Help, docs, validation and the
// REST API come from it.
type Option struct {
	Name       string
	Aliases    []string // other spellings, of other tools
	Type       OptionType
	Default    string // "" with Required false: no value
	Required   bool
	Importance Importance
	Group      string
	Doc        string   // Markdown, full sentences
	Values     []string // if set, the only ones allowed (case does not matter)
	Min, Max   int64    // of INT and LONG when Max > Min
	// Pattern makes this a family of options: all keys that match the whole of
	// it. Name is then a template for people. Config.Family returns them.
	Pattern *regexp.Regexp
	// Check looks at a value that passed the checks above; its error says
	// what is wrong and how to mend it.
	Check func(value string) error
}

// Regexps is a Check for lists of regular expressions.
func Regexps(value string) error {
	for _, p := range SplitList(value) {
		if _, err := regexp.Compile("^(?:" + p + ")$"); err != nil {
			return fmt.Errorf("%q is not a regular expression: %v", p, err)
		}
	}
	return nil
}

// Validate returns what is wrong with value, or nil.
func (o *Option) Validate(value string) error {
	if value == "" {
		if o.Required {
			return fmt.Errorf("is required and has no value")
		}
		return nil
	}
	if err := o.validateType(value); err != nil {
		return err
	}
	if len(o.Values) > 0 && !slices.ContainsFunc(o.Values, func(v string) bool { return strings.EqualFold(v, value) }) {
		return fmt.Errorf("%q is not one of %s", value, strings.Join(o.Values, ", "))
	}
	if o.Check != nil {
		return o.Check(value)
	}
	return nil
}

func (o *Option) validateType(value string) error {
	switch o.Type {
	case TypeInt, TypeLong:
		bits := 32
		if o.Type == TypeLong {
			bits = 64
		}
		n, err := strconv.ParseInt(value, 10, bits)
		if err != nil {
			return fmt.Errorf("%q is not a whole number of %d bits", value, bits)
		}
		if o.Max > o.Min && (n < o.Min || n > o.Max) {
			return fmt.Errorf("%d is not between %d and %d", n, o.Min, o.Max)
		}
	case TypeDouble:
		if _, err := strconv.ParseFloat(value, 64); err != nil {
			return fmt.Errorf("%q is not a number", value)
		}
	case TypeBoolean:
		if !strings.EqualFold(value, "true") && !strings.EqualFold(value, "false") {
			return fmt.Errorf("%q is neither true nor false", value)
		}
	}
	return nil
}

// Config is a validated configuration: the options that a plug-in declares,
// with defaults filled in and aliases and references resolved. The accessors
// panic on a name that is not declared, which is a bug of the plug-in.
type Config struct {
	name    string
	options []Option
	values  map[string]string
}

// NewConfig returns a Config of resolved values, whose keys are option names.
// It does not validate: see connect/config.
func NewConfig(name string, options []Option, values map[string]string) Config {
	return Config{name: name, options: options, values: values}
}

// Name returns the name of the connector (or transform) configured.
func (c Config) Name() string { return c.name }

// String returns an option's value, its default if it was not given.
func (c Config) String(name string) string {
	if v, ok := c.values[name]; ok {
		return v
	}
	for i := range c.options {
		if c.options[i].Name == name {
			return c.options[i].Default
		}
	}
	panic("connect: option " + name + " is not declared")
}

// Given reports whether the option was set by the user.
func (c Config) Given(name string) bool {
	_ = c.String(name)
	_, ok := c.values[name]
	return ok
}

// Member is one key of a family of options, and its value.
type Member struct {
	Key    string
	Groups []string // what the groups of the pattern matched
	Value  string
}

// Family returns the keys that were given of an option with a Pattern, in
// order.
func (c Config) Family(name string) []Member {
	i := slices.IndexFunc(c.options, func(o Option) bool { return o.Name == name && o.Pattern != nil })
	if i < 0 {
		panic("connect: no family of options " + name + " is declared")
	}
	var list []Member
	for k, v := range c.values {
		if m := c.options[i].Match(k); m != nil {
			list = append(list, Member{k, m, v})
		}
	}
	slices.SortFunc(list, func(a, b Member) int { return strings.Compare(a.Key, b.Key) })
	return list
}

// Match returns what the groups of o's Pattern match in key, and nil if key is
// not one of the family.
func (o *Option) Match(key string) []string {
	m := o.Pattern.FindStringSubmatch(key)
	if m == nil || m[0] != key {
		return nil
	}
	return m[1:]
}

// Hidden stands for a secret in everything that is shown.
const Hidden = "[hidden]"

// ShownKey returns a key as it may be shown: the end of one that has a salt is
// a secret.
func ShownKey(key string) string {
	const mark = ".salt."
	if i := strings.Index(key, mark); i >= 0 {
		return key[:i+len(mark)] + Hidden
	}
	return key
}

// Int returns the value of an INT or LONG; 0 if there is none.
func (c Config) Int(name string) int64 {
	n, _ := strconv.ParseInt(c.String(name), 10, 64)
	return n
}

// Bool returns the value of a BOOLEAN.
func (c Config) Bool(name string) bool { return strings.EqualFold(c.String(name), "true") }

// Float returns the value of a DOUBLE; 0 if there is none.
func (c Config) Float(name string) float64 {
	f, _ := strconv.ParseFloat(c.String(name), 64)
	return f
}

// Millis returns the value of an option that counts milliseconds.
func (c Config) Millis(name string) time.Duration {
	return time.Duration(c.Int(name)) * time.Millisecond
}

// List returns the values of a LIST, without empty ones.
func (c Config) List(name string) []string { return SplitList(c.String(name)) }

// SplitList splits at commas that are not escaped by a backslash, trims
// spaces, and leaves out empty values.
func SplitList(s string) []string {
	var list []string
	var cur strings.Builder
	flush := func() {
		if v := strings.TrimSpace(cur.String()); v != "" {
			list = append(list, v)
		}
		cur.Reset()
	}
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s) && s[i+1] == ',':
			cur.WriteByte(',')
			i++
		case s[i] == ',':
			flush()
		default:
			cur.WriteByte(s[i])
		}
	}
	flush()
	return list
}
