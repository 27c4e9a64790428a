package history

import (
	"cmp"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/towline/towline/offsets"
	"github.com/towline/towline/schema/ddl"
)

// The prefixes of the keys of tables and databases.
const (
	tablePrefix    = "table/"
	databasePrefix = "database/"
)

// TableKey returns the key of a table's entry: "table/database/name", where
// every byte of the names but letters, digits and "_-.$" of ASCII is a percent
// sign and two digits.
func TableKey(db, name string) string { return tablePrefix + escape(db) + "/" + escape(name) }

// DatabaseKey returns the key of a database's entry: "database/name", escaped
// likewise.
func DatabaseKey(name string) string { return databasePrefix + escape(name) }

func escape(s string) string {
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("_-.$", c) >= 0 {
			b.WriteByte(c)
			continue
		}
		fmt.Fprintf(&b, "%%%02X", c)
	}
	return b.String()
}

var errKey = errors.New("the name in the key is broken")

func unescape(s string) (string, error) {
	if !strings.Contains(s, "%") {
		return s, nil
	}
	var b []byte
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			b = append(b, s[i])
			continue
		}
		if i+3 > len(s) {
			return "", errKey
		}
		var err error
		if b, err = hex.AppendDecode(b, []byte(s[i+1:i+3])); err != nil {
			return "", errKey
		}
		i += 2
	}
	return string(b), nil
}

const entryFormat = 1

// The states of a version.
const (
	stateGone = iota
	stateDef
	stateStopped
)

// Changed returns the entries that differ from those which the last call
// returned or Load read, ordered by key. A table of which nothing is known
// any more gives an entry without a value, which deletes.
func (h *History) Changed() []offsets.Entry {
	var entries []offsets.Entry
	for n, l := range h.tables {
		if !l.changed {
			continue
		}
		l.changed = false
		e := offsets.Entry{Key: TableKey(n.Database, n.Table)}
		if len(l.versions) > 0 {
			e.Pos = encodeTable(l.versions)
		} else {
			delete(h.tables, n)
		}
		entries = append(entries, e)
	}
	for name, l := range h.databases {
		if !l.changed {
			continue
		}
		l.changed = false
		e := offsets.Entry{Key: DatabaseKey(name)}
		if len(l.versions) > 0 {
			e.Pos = encodeDatabase(l.versions)
		} else {
			delete(h.databases, name)
		}
		entries = append(entries, e)
	}
	slices.SortFunc(entries, func(a, b offsets.Entry) int { return cmp.Compare(a.Key, b.Key) })
	return entries
}

// Owns reports whether an entry's key is one that a History writes, so that
// others may keep entries beside them.
func Owns(key string) bool {
	return strings.HasPrefix(key, tablePrefix) || strings.HasPrefix(key, databasePrefix)
}

// Load returns the History that the entries hold. Keys begin with "table/" or
// "database/"; the caller has cut off what its Store puts before them.
func Load(entries []offsets.Entry) (*History, error) {
	h := New()
	for _, e := range entries {
		if err := h.load(e); err != nil {
			return nil, fmt.Errorf("history: load entry %q: %w", e.Key, err)
		}
	}
	return h, nil
}

func (h *History) load(e offsets.Entry) error {
	if rest, ok := strings.CutPrefix(e.Key, databasePrefix); ok {
		name, err := unescape(rest)
		if err != nil {
			return err
		}
		versions, err := decodeDatabase(name, e.Pos)
		h.databases[name] = &databaseLog{versions: versions}
		return err
	}
	rest, ok := strings.CutPrefix(e.Key, tablePrefix)
	db, name, two := strings.Cut(rest, "/")
	if !ok || !two {
		return errors.New("its key is not that of a table or database")
	}
	db, err := unescape(db)
	if err != nil {
		return err
	}
	if name, err = unescape(name); err != nil {
		return err
	}
	versions, err := decodeTable(e.Pos)
	h.tables[ddl.Name{Database: db, Table: name}] = &tableLog{versions: versions}
	return err
}

// encodeTable returns
//
//	format(1) #versions (at state(1) [definition | reason])...
//
// where the definition is its binary form, a string is a length and its
// bytes, and numbers are unsigned varints.
func encodeTable(versions []Version) offsets.Position {
	b := binary.AppendUvarint([]byte{entryFormat}, uint64(len(versions)))
	for i := range versions {
		v := &versions[i]
		b = binary.AppendUvarint(b, uint64(v.At))
		switch {
		case v.Def != nil:
			b = ddl.AppendDef(append(b, stateDef), v.Def)
		case v.Stopped != "":
			b = appendString(append(b, stateStopped), v.Stopped)
		default:
			b = append(b, stateGone)
		}
	}
	return b
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

var errEntry = errors.New("its value is broken")

// reader takes a value apart; after the first fault bad is set.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.bad = true
		return 0xff
	}
	c := r.b[0]
	r.b = r.b[1:]
	return c
}

func (r *reader) string() string {
	n := r.uvarint()
	if n > uint64(len(r.b)) {
		r.bad, r.b = true, nil
		return ""
	}
	s := string(r.b[:n])
	r.b = r.b[n:]
	return s
}

// head reads the format and the number of versions.
func (r *reader) head() int {
	if r.byte() != entryFormat {
		r.bad = true
	}
	n := r.uvarint()
	if n > uint64(len(r.b)) {
		r.bad = true
	}
	if r.bad {
		return 0
	}
	return int(n)
}

func decodeTable(b []byte) ([]Version, error) {
	r := reader{b: b}
	versions := make([]Version, r.head())
	for i := range versions {
		v := &versions[i]
		v.At = Ordinal(r.uvarint())
		switch r.byte() {
		case stateGone:
		case stateDef:
			var err error
			if v.Def, r.b, err = ddl.ParseDef(r.b); err != nil {
				return nil, err
			}
		case stateStopped:
			v.Stopped = r.string()
		default:
			r.bad = true
		}
		if r.bad || i > 0 && v.At <= versions[i-1].At {
			return nil, errEntry
		}
	}
	if r.bad || len(r.b) > 0 {
		return nil, errEntry
	}
	return versions, nil
}

// encodeDatabase returns
//
//	format(1) #versions (at charset collation)...
//
// with empty names where the database is gone.
func encodeDatabase(versions []databaseVersion) offsets.Position {
	b := binary.AppendUvarint([]byte{entryFormat}, uint64(len(versions)))
	for i := range versions {
		v := &versions[i]
		b = binary.AppendUvarint(b, uint64(v.at))
		b = appendString(appendString(b, v.def.Charset), v.def.Collation)
	}
	return b
}

func decodeDatabase(name string, b []byte) ([]databaseVersion, error) {
	r := reader{b: b}
	versions := make([]databaseVersion, r.head())
	for i := range versions {
		v := &versions[i]
		v.at = Ordinal(r.uvarint())
		v.def = ddl.Database{Name: name, Charset: r.string(), Collation: r.string()}
		if v.def.Charset == "" {
			v.def, v.gone = ddl.Database{}, true
		}
		if r.bad || i > 0 && v.at <= versions[i-1].at {
			return nil, errEntry
		}
	}
	if r.bad || len(r.b) > 0 {
		return nil, errEntry
	}
	return versions, nil
}
