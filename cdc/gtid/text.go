package gtid

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/towline/towline/connect"
)

// maxTag is the length of the longest tag.
const maxTag = 32

// String returns s in the server's syntax, UUIDs and tags in order.
func (s *Set) String() string { return string(s.Append(nil)) }

// Append appends the text form of s.
func (s *Set) Append(dst []byte) []byte {
	for i := range s.lines {
		l := &s.lines[i]
		if i == 0 || s.lines[i-1].sid != l.sid {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = connect.AppendUUID(dst, l.sid)
		}
		if l.tag != "" {
			dst = append(append(dst, ':'), l.tag...)
		}
		for _, r := range l.runs {
			dst = strconv.AppendInt(append(dst, ':'), r.First, 10)
			if r.Last != r.First {
				dst = strconv.AppendInt(append(dst, '-'), r.Last, 10)
			}
		}
	}
	return dst
}

// FormatUUID returns the text form of u.
func FormatUUID(u UUID) string { return string(connect.AppendUUID(make([]byte, 0, 36), u)) }

// ParseUUID reads the text form of a UUID, with or without dashes.
func ParseUUID(text string) (u UUID, err error) {
	h := strings.ReplaceAll(text, "-", "")
	if len(h) != 32 || (len(text) != 32 && len(text) != 36) {
		return u, fmt.Errorf("gtid: %q is not a UUID", text)
	}
	if _, err := hex.Decode(u[:], []byte(h)); err != nil {
		return u, fmt.Errorf("gtid: %q is not a UUID", text)
	}
	return u, nil
}

// Parse reads a set in the server's syntax: UUIDs separated by commas, each
// followed by intervals, tags, and the tags' intervals.
func Parse(text string) (*Set, error) {
	s := new(Set)
	for _, part := range strings.Split(text, ",") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		if err := s.parsePart(part); err != nil {
			return nil, fmt.Errorf("gtid: %q is not a part of a GTID set: %w", part, err)
		}
	}
	s.last = 0
	return s, nil
}

func (s *Set) parsePart(part string) error {
	fields := strings.Split(part, ":")
	sid, err := ParseUUID(strings.TrimSpace(fields[0]))
	if err != nil {
		return err
	}
	tag, tagged, found := "", false, false
	for _, f := range fields[1:] {
		f = strings.TrimSpace(f)
		if f != "" && (f[0] < '0' || f[0] > '9') {
			if tagged && !found {
				return fmt.Errorf("tag %s has no numbers", tag)
			}
			if tag, err = parseTag(f); err != nil {
				return err
			}
			tagged, found = true, false
			continue
		}
		iv, err := parseInterval(f)
		if err != nil {
			return err
		}
		s.AddInterval(sid, tag, iv)
		found = true
	}
	if !found {
		return fmt.Errorf("there are no numbers at its end")
	}
	return nil
}

func parseTag(f string) (string, error) {
	f = strings.ToLower(f)
	if len(f) > maxTag {
		return "", fmt.Errorf("tag %s is longer than %d", f, maxTag)
	}
	for i, c := range []byte(f) {
		if c != '_' && (c < 'a' || c > 'z') && (i == 0 || c < '0' || c > '9') {
			return "", fmt.Errorf("%q is not a tag", f)
		}
	}
	return f, nil
}

func parseInterval(f string) (iv Interval, err error) {
	a, b, two := strings.Cut(f, "-")
	if iv.First, err = strconv.ParseInt(strings.TrimSpace(a), 10, 64); err != nil || iv.First < 1 || iv.First > MaxGNO {
		return iv, fmt.Errorf("%q is not a number or a range of numbers", f)
	}
	if iv.Last = iv.First; two {
		if iv.Last, err = strconv.ParseInt(strings.TrimSpace(b), 10, 64); err != nil || iv.Last < 1 || iv.Last > MaxGNO {
			return iv, fmt.Errorf("%q is not a range of numbers", f)
		}
	}
	return iv, nil
}
