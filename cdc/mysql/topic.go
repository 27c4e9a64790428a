package mysql

import (
	"fmt"
	"strings"

	"github.com/towline/towline/schema"
)

// topics gives tables their topics.
type topics struct {
	prefix string
	single bool
}

func (t topics) of(db, table string) string {
	if t.single {
		return t.prefix
	}
	var b strings.Builder
	b.WriteString(t.prefix)
	b.WriteByte('.')
	escape(&b, db)
	b.WriteByte('.')
	escape(&b, table)
	return b.String()
}

// Topic returns the topic of a table's records. It may run beside Read.
func (s *Source) Topic(t *schema.Table) string { return s.settings.topics.of(t.Database, t.Name) }

// escape writes name with every character outside A-Z, a-z, 0-9, '_' and '-'
// as _xHHHH_, its code point. An '_' that stands before an 'x' is written so
// too: then every "_x" begins an escape, and no two names become the same.
func escape(b *strings.Builder, name string) {
	for i, c := range name {
		plain := c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' ||
			c == '_' && !strings.HasPrefix(name[i+1:], "x")
		if plain {
			b.WriteRune(c)
		} else {
			fmt.Fprintf(b, "_x%04X_", c)
		}
	}
}
