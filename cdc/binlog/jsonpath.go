package binlog

import (
	"bytes"
	"encoding/json"
	"strconv"
)

// jsonLeg is one step of the path of a change: a member of an object, or an
// element of an array.
type jsonLeg struct {
	member bool
	key    []byte // of a member
	index  int    // of an element
	last   bool   // index counts from the end
}

// at returns where the element is in an array of n elements; it may lie
// outside.
func (l *jsonLeg) at(n int) int {
	if l.last {
		return n - 1 - l.index
	}
	return l.index
}

// parse reads the leg that path begins with and returns the rest. The server
// writes paths with names in quotes where they need them, and no wildcards.
func (l *jsonLeg) parse(path []byte) (rest []byte, ok bool) {
	*l = jsonLeg{}
	if len(path) < 2 {
		return nil, false
	}
	switch path[0] {
	case '.':
		l.member = true
		return l.parseMember(path[1:])
	case '[':
		end := bytes.IndexByte(path, ']')
		if end < 0 {
			return nil, false
		}
		return path[end+1:], l.parseIndex(path[1:end])
	}
	return nil, false
}

func (l *jsonLeg) parseMember(path []byte) (rest []byte, ok bool) {
	if path[0] != '"' {
		end := bytes.IndexAny(path, ".[")
		if end < 0 {
			end = len(path)
		}
		l.key = path[:end:end]
		return path[end:], end > 0 && path[0] != '*'
	}
	end := 1
	for end < len(path) && path[end] != '"' {
		if path[end] == '\\' {
			end++
		}
		end++
	}
	if end >= len(path) {
		return nil, false
	}
	l.key, rest = path[1:end:end], path[end+1:]
	if bytes.IndexByte(l.key, '\\') >= 0 {
		var s string
		if json.Unmarshal(path[:end+1], &s) != nil {
			return nil, false
		}
		l.key = []byte(s)
	}
	return rest, true
}

var textLast = []byte("last")

// parseIndex reads what stands in brackets: 3, last or last-3.
func (l *jsonLeg) parseIndex(b []byte) bool {
	b, l.last = bytes.CutPrefix(b, textLast)
	if l.last {
		if len(b) == 0 {
			return true
		}
		if b[0] != '-' {
			return false
		}
		b = b[1:]
	}
	n, err := strconv.ParseUint(string(b), 10, 31)
	l.index = int(n)
	return err == nil
}
