package mysql

import (
	"fmt"
	"strings"

	"github.com/towline/towline/schema"
)

// topics gives tables their topics.
type topics struct {
	prefix    string
	delimiter string
	single    bool
}

func (t topics) of(db, table string) string {
	if t.single {
		return t.prefix
	}
	var b strings.Builder
	b.WriteString(t.prefix)
	for _, name := range []string{db, table} {
		b.WriteString(t.delimiter)
		escape(&b, name, strings.ContainsRune(t.delimiter, '-'))
	}
	return b.String()
}

func checkDelimiter(v string) error {
	if i := strings.IndexFunc(v, func(c rune) bool { return !strings.ContainsRune(".-", c) }); i >= 0 {
		return fmt.Errorf("%q has %q in it; a delimiter is made of '.' and '-', which names then do not have, so that no two tables share a topic", v, v[i:i+1])
	}
	return nil
}

// Topic returns the topic of a table's records. It may run beside Read.
func (s *Source) Topic(t *schema.Table) string { return s.settings.topics.of(t.Database, t.Name) }

// escape writes name with every character outside A-Z, a-z, 0-9, '_' and '-'
// as _xHHHH_, its code point; '-' too if it delimits names. An '_' that stands
// before an 'x' is written so too: then every "_x" begins an escape, and no two
// names become the same.
func escape(b *strings.Builder, name string, dash bool) {
	for i, c := range name {
		plain := c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' && !dash ||
			c == '_' && !strings.HasPrefix(name[i+1:], "x")
		if plain {
			b.WriteRune(c)
		} else {
			fmt.Fprintf(b, "_x%04X_", c)
		}
	}
}
