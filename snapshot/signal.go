package snapshot

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/towline/towline/connect"
)

// The types of signals, with Debezium's names.
const (
	signalExecute = "execute-snapshot"
	signalStop    = "stop-snapshot"
	signalPause   = "pause-snapshot"
	signalResume  = "resume-snapshot"
)

// order is a signal that was understood.
type order struct {
	id, kind   string
	tables     []*regexp.Regexp // none: all
	conditions []condition
}

// condition limits the copy of the tables that it matches.
type condition struct {
	table  *regexp.Regexp
	filter string
}

// signalData is the data of a signal, as Debezium has it.
type signalData struct {
	Type        string    `json:"type"`
	Collections *[]string `json:"data-collections"`
	Conditions  []struct {
		Collection string `json:"data-collection"`
		Filter     string `json:"filter"`
	} `json:"additional-conditions"`
	SurrogateKey string `json:"surrogate-key"`
}

// parseSignal understands a signal, or says what is wrong with it.
func parseSignal(s connect.Signal) (*order, error) {
	o := &order{id: s.ID, kind: s.Type}
	switch s.Type {
	case signalExecute, signalStop, signalPause, signalResume:
	default:
		return nil, fmt.Errorf("there is no signal %q; there are %s, %s, %s and %s", s.Type, signalExecute, signalStop, signalPause, signalResume)
	}
	var d signalData
	if len(s.Data) > 0 {
		dec := json.NewDecoder(strings.NewReader(string(s.Data)))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&d); err != nil {
			return nil, fmt.Errorf("the data of a signal is a JSON object with data-collections, type, additional-conditions and surrogate-key: %w", err)
		}
	}
	if t := strings.ToLower(d.Type); t != "" && t != "incremental" && t != "blocking" {
		return nil, fmt.Errorf("a snapshot of type %q is not known; there are incremental and blocking, which mean the same here", d.Type)
	}
	if d.Collections != nil {
		for _, c := range *d.Collections {
			re, err := collection(c)
			if err != nil {
				return nil, err
			}
			o.tables = append(o.tables, re)
		}
	}
	for _, c := range d.Conditions {
		re, err := collection(c.Collection)
		if err != nil {
			return nil, err
		}
		if err := checkFilter(c.Filter); err != nil {
			return nil, fmt.Errorf("the filter of %s, %q: %w", c.Collection, c.Filter, err)
		}
		o.conditions = append(o.conditions, condition{re, c.Filter})
	}
	switch {
	case o.kind == signalExecute && len(o.tables) == 0:
		return nil, errors.New("data-collections names no table; give a list of expressions that match database.table")
	case o.kind != signalExecute && len(o.conditions) > 0:
		return nil, fmt.Errorf("a %s has no additional-conditions", o.kind)
	case (o.kind == signalPause || o.kind == signalResume) && len(o.tables) > 0:
		return nil, fmt.Errorf("a %s concerns all tables of the connector; leave data-collections out", o.kind)
	}
	return o, nil
}

// collection compiles an expression that is to match a whole database.table.
func collection(expr string) (*regexp.Regexp, error) {
	re, err := regexp.Compile("^(?i:" + strings.TrimSpace(expr) + ")$")
	if err != nil || strings.TrimSpace(expr) == "" {
		return nil, fmt.Errorf("data-collection %q is not an expression for database.table: %w", expr, errors.Join(err))
	}
	return re, nil
}

// matches reports whether the order names a table.
func (o *order) matches(n tableName) bool {
	for _, re := range o.tables {
		if re.MatchString(n.String()) {
			return true
		}
	}
	return len(o.tables) == 0
}

// filter returns the condition for a table, "" if there is none.
func (o *order) filter(n tableName) string {
	for _, c := range o.conditions {
		if c.table.MatchString(n.String()) {
			return c.filter
		}
	}
	return ""
}

// checkFilter refuses what would not stay within the parentheses that a
// condition is put into: it must narrow a range and never widen it.
func checkFilter(f string) error {
	if strings.TrimSpace(f) == "" {
		return errors.New("it is empty")
	}
	depth := 0
	for i := 0; i < len(f); i++ {
		switch c := f[i]; {
		case c == '\'' || c == '"' || c == '`':
			end := quoted(f[i:])
			if end < 0 {
				return fmt.Errorf("a %c is not closed", c)
			}
			i += end
		case c == '(':
			depth++
		case c == ')':
			if depth--; depth < 0 {
				return errors.New("a ) closes nothing")
			}
		case c == ';' || c == '#' || c == 0 || strings.HasPrefix(f[i:], "--") || strings.HasPrefix(f[i:], "/*"):
			return errors.New("it must be a condition, without comments and semicolons")
		}
	}
	if depth != 0 {
		return errors.New("a ( is not closed")
	}
	return nil
}

// quoted returns where the quoted text that s begins with ends, -1 if it does
// not.
func quoted(s string) int {
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '\\' && s[0] != '`':
			i++
		case s[i] == s[0]:
			if i+1 < len(s) && s[i+1] == s[0] {
				i++
				continue
			}
			return i
		}
	}
	return -1
}
