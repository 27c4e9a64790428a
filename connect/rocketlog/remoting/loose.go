package remoting

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
)

// Servers write maps with numbers or whole objects for keys, which is not
// JSON. A loose value is what such text holds: nil, bool, json.Number, string,
// []any or object.

// object is the members of an object in order.
type object []member

type member struct {
	key   any // a string, json.Number or object
	value any
}

// get returns a member by its name, nil if it is not there.
func (o object) get(name string) any {
	for i := range o {
		if k, ok := o[i].key.(string); ok && k == name {
			return o[i].value
		}
	}
	return nil
}

func (o object) text(name string) string {
	s, _ := o.get(name).(string)
	return s
}

// number returns a member that is a number or the text of one; 0 if it is not.
func (o object) number(name string) int64 { return numberOf(o.get(name)) }

func (o object) list(name string) []any {
	l, _ := o.get(name).([]any)
	return l
}

func (o object) object(name string) object {
	m, _ := o.get(name).(object)
	return m
}

func numberOf(v any) int64 {
	var s string
	switch v := v.(type) {
	case json.Number:
		s = string(v)
	case string:
		s = v
	}
	n, _ := strconv.ParseInt(s, 10, 64)
	return n
}

// maxDepth bounds how deep values may lie in each other.
const maxDepth = 64

var errLoose = errors.New("is neither JSON nor what servers take for it")

// parseObject parses text that must be one object.
func parseObject(text []byte) (object, error) {
	p := looseParser{text: text}
	v, err := p.value(0)
	if err == nil {
		p.space()
		o, ok := v.(object)
		if ok && p.at == len(text) {
			return o, nil
		}
		err = errLoose
	}
	return nil, fmt.Errorf("remoting: answer %.80q, at byte %d: %w", text, p.at, err)
}

type looseParser struct {
	text []byte
	at   int
}

func (p *looseParser) space() {
	for p.at < len(p.text) && (p.text[p.at] == ' ' || p.text[p.at] == '\n' || p.text[p.at] == '\t' || p.text[p.at] == '\r') {
		p.at++
	}
}

// peek returns the next byte that is no space; 0 at the end.
func (p *looseParser) peek() byte {
	p.space()
	if p.at == len(p.text) {
		return 0
	}
	return p.text[p.at]
}

// take passes over one byte, which must be next.
func (p *looseParser) take(c byte) error {
	if p.peek() != c {
		return errLoose
	}
	p.at++
	return nil
}

func (p *looseParser) value(depth int) (any, error) {
	if depth > maxDepth {
		return nil, errLoose
	}
	switch c := p.peek(); {
	case c == '{':
		return p.object(depth)
	case c == '[':
		return p.list(depth)
	case c == '"':
		return p.quoted()
	case c == 0:
		return nil, errLoose
	}
	return p.word()
}

func (p *looseParser) object(depth int) (any, error) {
	p.at++
	o := object{}
	for first := true; ; first = false {
		if p.peek() == '}' {
			p.at++
			return o, nil
		}
		if !first {
			if err := p.take(','); err != nil {
				return nil, err
			}
		}
		key, err := p.value(depth + 1)
		if err != nil {
			return nil, err
		}
		if err := p.take(':'); err != nil {
			return nil, err
		}
		value, err := p.value(depth + 1)
		if err != nil {
			return nil, err
		}
		o = append(o, member{key, value})
	}
}

func (p *looseParser) list(depth int) (any, error) {
	p.at++
	l := []any{}
	for {
		if p.peek() == ']' {
			p.at++
			return l, nil
		}
		if len(l) > 0 {
			if err := p.take(','); err != nil {
				return nil, err
			}
		}
		v, err := p.value(depth + 1)
		if err != nil {
			return nil, err
		}
		l = append(l, v)
	}
}

// quoted parses a string in double quotes.
func (p *looseParser) quoted() (any, error) {
	end := p.at + 1
	for end < len(p.text) && p.text[end] != '"' {
		if p.text[end] == '\\' {
			end++
		}
		end++
	}
	if end >= len(p.text) {
		return nil, errLoose
	}
	if text := p.text[p.at+1 : end]; plain(text) {
		p.at = end + 1
		return string(text), nil
	}
	var s string
	if err := json.Unmarshal(p.text[p.at:end+1], &s); err != nil {
		return nil, errLoose
	}
	p.at = end + 1
	return s, nil
}

// word parses a number, true, false or null.
func (p *looseParser) word() (any, error) {
	start := p.at
	for p.at < len(p.text) {
		c := p.text[p.at]
		if !(c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c == '-' || c == '+' || c == '.' || c == 'E') {
			break
		}
		p.at++
	}
	switch w := string(p.text[start:p.at]); w {
	case "true":
		return true, nil
	case "false":
		return false, nil
	case "null":
		return nil, nil
	default:
		if _, err := strconv.ParseFloat(w, 64); err != nil {
			return nil, errLoose
		}
		return json.Number(w), nil
	}
}
