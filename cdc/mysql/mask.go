package mysql

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha3"
	"crypto/sha512"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/schema"
)

// Families of options.
const (
	optMask     = "column.mask.with.<length>.chars"
	optTruncate = "column.truncate.to.<length>.chars"
	optHash     = "column.mask.hash.<algorithm>.with.salt.<salt>"
	optHashV2   = "column.mask.hash.v2.<algorithm>.with.salt.<salt>"
)

// maxMask is the longest mask, and the most that a truncation leaves.
const maxMask = 65535

var algorithms = map[string]func() hash.Hash{
	"MD5": md5.New, "SHA-1": sha1.New, "SHA-224": sha256.New224, "SHA-256": sha256.New, "SHA-384": sha512.New384, "SHA-512": sha512.New,
	"SHA-512/224": sha512.New512_224, "SHA-512/256": sha512.New512_256,
	"SHA3-224": func() hash.Hash { return sha3.New224() }, "SHA3-256": func() hash.Hash { return sha3.New256() },
	"SHA3-384": func() hash.Hash { return sha3.New384() }, "SHA3-512": func() hash.Hash { return sha3.New512() },
}

func maskOptions() []connect.Option {
	family := func(name, pattern, doc string) connect.Option {
		return connect.Option{Name: name, Pattern: regexp.MustCompile(pattern), Type: connect.TypeList, Importance: connect.Medium, Group: groupTables, Check: connect.Regexps, Doc: doc}
	}
	hashes := strings.Join(slices.Sorted(maps.Keys(algorithms)), "`, `")
	return []connect.Option{
		family(optMask, `column\.mask\.with\.([0-9]+)\.chars`, "Regular expressions of text columns (`database.table.column`) whose values, NULL too, are replaced by that many asterisks, or as many as the column holds; 0 is the empty string. "+
			"Columns of the key cannot be masked so: all rows would be one."),
		family(optHash, `column\.mask\.hash\.([^.]+)\.with\.salt\.(.+)`, "Regular expressions of text columns whose values are replaced by pseudonyms: the hash of the salt and the value, in hexadecimal, as Debezium's first version computes it. "+
			"Equal values have equal pseudonyms. One that is too long for its column is cut. The algorithms are `"+hashes+"`. "+
			"Columns of the key can be masked where they hold a whole hash of 256 bits or more. The salt is a secret: `${env:NAME}` in the key's place for it is resolved, and it is shown nowhere."),
		family(optHashV2, `column\.mask\.hash\.v2\.([^.]+)\.with\.salt\.(.+)`, "As `column.mask.hash.<algorithm>.with.salt.<salt>`, but of the salt and the value's text in UTF-8 alone, which other systems can compute too."),
		family(optTruncate, `column\.truncate\.to\.([0-9]+)\.chars`, "Regular expressions of text and binary columns whose values are cut to that many characters, or bytes. Not for columns of the key."),
	}
}

// maskRule is what is done to the values of matching columns.
type maskRule struct {
	option  string // as it may be shown
	text    string // of the expressions
	columns []*regexp.Regexp
	mask    string // of asterisks
	length  int    // that a truncation leaves; 0: none
	hash    func() hash.Hash
	salt    []byte
	v2      bool
}

// newMaskRules reads the families of options. Errors do not show salts.
func newMaskRules(cfg connect.Config) (rules []maskRule, err error) {
	for _, name := range []string{optMask, optTruncate, optHash, optHashV2} {
		for _, m := range cfg.Family(name) {
			r := maskRule{option: connect.ShownKey(m.Key), text: m.Value, v2: name == optHashV2}
			if r.columns, err = anchored(connect.SplitList(m.Value)); err == nil {
				err = r.set(name, m.Groups)
			}
			if err != nil {
				return nil, fmt.Errorf("%s: %w", r.option, err)
			}
			rules = append(rules, r)
		}
	}
	return rules, nil
}

func (r *maskRule) set(name string, groups []string) error {
	if name == optHash || name == optHashV2 {
		r.salt = []byte(groups[1])
		if r.hash = algorithms[strings.ToUpper(groups[0])]; r.hash == nil {
			return fmt.Errorf("there is no hash algorithm %s; there are %s", groups[0], strings.Join(slices.Sorted(maps.Keys(algorithms)), ", "))
		}
		return nil
	}
	n, err := strconv.Atoi(groups[0])
	if err != nil || n > maxMask {
		return fmt.Errorf("the length is more than %d", maxMask)
	}
	if name == optMask {
		r.mask = strings.Repeat("*", n)
		return nil
	}
	if r.length = n; n == 0 {
		return fmt.Errorf("nothing would be left; use %s or %s", "column.mask.with.0.chars", optColumnExclude)
	}
	return nil
}

// mask is a rule, for one column of one table.
type mask struct {
	column   int
	constant []byte // nil: none
	length   int    // 0: not truncated
	binary   bool
	hash     hash.Hash
	salt     []byte
	v2       bool
	keeps    bool // different values stay different
	buf      []byte
}

// masks returns what is done to the columns of t.
func (f *filter) masksOf(t *schema.Table) (list []*mask, err error) {
	for i := range t.Columns {
		c := &t.Columns[i]
		name := t.String() + "." + c.Name
		var found *maskRule
		for j := range f.masks {
			r := &f.masks[j]
			if !matches(r.columns, name) {
				continue
			}
			if found != nil {
				return nil, fmt.Errorf("%s and %s both match column %s; only one of them can be done to it", found.option, r.option, name)
			}
			found = r
		}
		if found == nil {
			continue
		}
		m, err := found.of(c)
		if err != nil {
			return nil, fmt.Errorf("%s matches column %s: %w", found.option, name, err)
		}
		if m.column = i; t.IsKey(i) && !m.keeps {
			return nil, fmt.Errorf("%s matches column %s, which belongs to the key: different rows would become one; correct the expression, or use %s with SHA-256 or longer on a column that holds %d characters", found.option, name, optHashV2, 2*sha256.Size)
		}
		list = append(list, m)
	}
	return list, nil
}

// of returns the rule for one column.
func (r *maskRule) of(c *schema.Column) (*mask, error) {
	if !c.Type.IsText() && (r.length == 0 || !c.Type.IsBinary()) {
		return nil, fmt.Errorf("a %s has no text to mask; correct the expression, or leave the column out with %s", c.Type, optColumnExclude)
	}
	m := &mask{length: r.length, binary: c.Type.IsBinary(), salt: r.salt, v2: r.v2}
	room := capacity(c)
	switch {
	case r.length > 0:
	case r.hash == nil:
		m.constant = []byte(r.mask[:min(len(r.mask), room)])
	default:
		m.hash = r.hash()
		digits := 2 * m.hash.Size()
		m.length = min(digits, room)
		m.keeps = m.length == digits && digits >= 2*sha256.Size
	}
	return m, nil
}

// capacity returns how many ASCII characters a text column holds.
func capacity(c *schema.Column) int {
	switch c.Type {
	case schema.TypeChar, schema.TypeVarchar:
		return c.Length
	case schema.TypeTinyText:
		return 255
	}
	return maxMask
}

// apply replaces the value in a row of b.
func (m *mask) apply(b *connect.Batch, row schema.Row) {
	if row == nil {
		return
	}
	v := &row[m.column]
	switch {
	case v.Kind() == schema.Absent:
	case m.constant != nil: // whether there was a value is a secret too
		*v = schema.MakeBytes(schema.String, m.constant)
	case v.IsNull():
	case m.hash != nil:
		*v = m.pseudonym(b, v.Bytes())
	case m.binary || v.Kind() == schema.RawString:
		if p := v.Bytes(); len(p) > m.length {
			*v = schema.MakeBytes(v.Kind(), p[:m.length:m.length])
		}
	default:
		p := v.Bytes()
		*v = schema.MakeBytes(schema.String, p[:prefix(p, m.length)])
	}
}

// prefix returns the bytes of the first n characters of p.
func prefix(p []byte, n int) int {
	if len(p) <= n {
		return len(p)
	}
	at := 0
	for ; n > 0 && at < len(p); n-- {
		_, size := utf8.DecodeRune(p[at:])
		at += size
	}
	return at
}

func (m *mask) pseudonym(b *connect.Batch, text []byte) schema.Value {
	m.hash.Reset()
	m.hash.Write(m.salt)
	if !m.v2 {
		m.buf = appendJavaString(m.buf[:0], text)
		text = m.buf
	}
	m.hash.Write(text)
	m.buf = m.hash.Sum(m.buf[:0])
	out := b.Alloc(2 * len(m.buf))
	hex.Encode(out, m.buf)
	return schema.MakeBytes(schema.String, out[:m.length:m.length])
}

// appendJavaString appends text as Java's ObjectOutputStream writes a String,
// which is what the first version of hashes is computed of: a header, the
// length in bytes, and the UTF-16 units, each in UTF-8 of its own, with no
// zero byte.
func appendJavaString(dst, text []byte) []byte {
	const (
		header     = "\xac\xed\x00\x05"
		short      = 0x74
		long       = 0x7c
		lengthSize = 9
	)
	start := len(dst)
	dst = append(dst, header...)
	dst = append(dst, make([]byte, lengthSize)...)
	body := len(dst)
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		switch {
		case r == 0:
			dst = append(dst, 0xc0, 0x80)
		case r >= 0x10000:
			r -= 0x10000
			dst = appendUnit(appendUnit(dst, 0xd800+r>>10), 0xdc00+r&0x3ff)
		default:
			dst = append(dst, text[:size]...)
		}
		text = text[size:]
	}
	n := len(dst) - body
	if n >= 1<<16 {
		dst[start+len(header)] = long
		binary.BigEndian.PutUint64(dst[start+len(header)+1:], uint64(n))
		return dst
	}
	dst[start+len(header)] = short
	binary.BigEndian.PutUint16(dst[start+len(header)+1:], uint16(n))
	return append(dst[:start+len(header)+3], dst[body:]...)
}

// appendUnit appends a surrogate in three bytes.
func appendUnit(dst []byte, u rune) []byte {
	return append(dst, 0xe0|byte(u>>12), 0x80|byte(u>>6)&0xbf, 0x80|byte(u)&0xbf)
}
