package jdbc

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/towline/towline/schema"
)

// name is the name of a table in the target.
type name struct{ db, table string }

// String returns the name as messages show it.
func (n name) String() string { return n.db + "." + n.table }

// quoted returns the name as statements spell it.
func (n name) quoted() string {
	return string(appendIdent(append(appendIdent(nil, n.db), '.'), n.table))
}

// template makes names of target tables. A dot outside of variables divides
// database and table; a dot in a variable's value does not.
type template struct {
	db    []piece // nil: the connection's database
	table []piece
}

// piece is text or, if variable is set, a variable.
type piece struct {
	text     string
	variable string
}

// variables are the names that a template knows, and what they stand for.
var variables = map[string]string{
	"topic": "topic", "table": "table", "source.table": "table", "source.collection": "table",
	"database": "database", "db": "database", "source.db": "database", "source.database": "database",
}

// parseTemplate reads a format such as ${database}.${table}.
func parseTemplate(s string) (t template, err error) {
	var pieces []piece
	parts := 1
	for rest := s; rest != ""; {
		i := strings.IndexAny(rest, ".$")
		if i < 0 {
			i = len(rest)
		}
		if i > 0 {
			pieces, rest = append(pieces, piece{text: rest[:i]}), rest[i:]
			continue
		}
		if rest[0] == '.' {
			t.db, pieces, rest = pieces, nil, rest[1:]
			if parts++; parts > 2 {
				return t, fmt.Errorf("%q has more than one dot: a table's name is database.table", s)
			}
			continue
		}
		end := strings.IndexByte(rest, '}')
		if !strings.HasPrefix(rest, "${") || end < 0 {
			return t, fmt.Errorf("%q has a $ that begins no ${variable}", s)
		}
		v, ok := variables[rest[2:end]]
		if !ok {
			return t, fmt.Errorf("%q has the variable %q; there are ${topic}, ${database} and ${table}", s, rest[:end+1])
		}
		pieces, rest = append(pieces, piece{variable: v}), rest[end+1:]
	}
	if t.table = pieces; len(pieces) == 0 || parts == 2 && len(t.db) == 0 {
		return t, fmt.Errorf("%q gives an empty name", s)
	}
	return t, nil
}

// name returns the target's name for a source table.
func (t *template) name(topic string, table *schema.Table, defaultDB string) (name, error) {
	n := name{db: defaultDB, table: fill(t.table, topic, table)}
	if t.db != nil {
		n.db = fill(t.db, topic, table)
	}
	for _, s := range []string{n.db, n.table} {
		switch {
		case s == "":
			return n, fmt.Errorf("table %s of topic %q has no name in the target: see table.name.format", table, topic)
		case utf8.RuneCountInString(s) > 64:
			return n, fmt.Errorf("the name %q is longer than the 64 characters that MySQL allows: see table.name.format", s)
		case strings.HasSuffix(s, " "):
			return n, fmt.Errorf("the name %q ends with a space, which MySQL does not allow: see table.name.format", s)
		}
	}
	return n, nil
}

func fill(pieces []piece, topic string, table *schema.Table) string {
	var b strings.Builder
	for _, p := range pieces {
		switch p.variable {
		case "topic":
			b.WriteString(topic)
		case "table":
			b.WriteString(table.Name)
		case "database":
			b.WriteString(table.Database)
		default:
			b.WriteString(p.text)
		}
	}
	return b.String()
}
