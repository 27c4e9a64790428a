package charset

import "strings"

// Collation is one collation of the server: what a column's collation id, as the binlog carries it, stands for.
type Collation struct {
	ID      uint16
	Name    string
	Charset *Charset
	// Binary says that strings are equal only when their bytes are: binary and the collations whose name ends in
	// _bin. With PadSpace they are equal also when they differ only in trailing spaces.
	Binary bool
	// PadSpace says that trailing spaces do not count in a comparison, so that 'a' equals 'a ' in a unique key.
	PadSpace bool
}

// CollationByID returns the collation with the server's number id. ok is false for numbers that the server does not
// use.
func CollationByID(id uint16) (c *Collation, ok bool) {
	if int(id) >= len(collations) || collations[id].Charset == nil {
		return nil, false
	}
	return &collations[id], true
}

// CollationByName returns the collation of that name, in any letter case. Names that begin with "utf8_", as servers
// before 8.0.30 write them, are those of utf8mb3. It searches the whole list, so callers keep the answer.
func CollationByName(name string) (c *Collation, ok bool) {
	want := strings.ToLower(name)
	if rest, old := strings.CutPrefix(want, "utf8_"); old {
		want = "utf8mb3_" + rest
	}
	for i := range collations {
		if collations[i].Charset != nil && collations[i].Name == want {
			return &collations[i], true
		}
	}
	return nil, false
}
