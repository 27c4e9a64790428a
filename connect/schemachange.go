package connect

import (
	"encoding/binary"
	"errors"
	"slices"
	"strings"

	"github.com/towline/towline/schema"
	"github.com/towline/towline/schema/wire"
)

// HeaderSchemaChange is the header of an OpSchema that says what a statement
// did to the columns; see SchemaChange. An OpTruncate, which has the table as it
// was, has it where the rows may be in several partitions: the table is emptied for
// it, and its rows are read anew.
const HeaderSchemaChange = "towline.schema.change"

// HeaderScattered is the header of an OpSchema in a topic of several partitions:
// rows of the new shape may have come before it, in others than its own, and rows
// of the old one may come after it.
const HeaderScattered = "towline.schema.scattered"

// SetScattered gives r that header, in b's memory.
func (r *Record) SetScattered(b *Batch) {
	all := b.NewHeaders(len(r.Headers) + 1)
	all[copy(all, r.Headers)] = Header{Key: HeaderScattered, Value: []byte{1}}
	r.Headers = all
}

// Scattered reports whether r has that header.
func (r *Record) Scattered() bool {
	return slices.ContainsFunc(r.Headers, func(h Header) bool { return h.Key == HeaderScattered })
}

// SchemaChange is how a table came from one shape to the next. Without it a
// column under a new name would be one that went and one that came.
type SchemaChange struct {
	Was, Now *schema.Table
	// From holds, for each column of Now, the column of Was that it was: its
	// values are those, converted perhaps. -1: the column is new. A column of
	// Was that is in no From is gone.
	From []int
}

// Renamed returns the names of a column before and after, if one has another one
// now.
func (c *SchemaChange) Renamed() (was, now string, ok bool) {
	if c == nil {
		return "", "", false
	}
	for i, f := range c.From {
		if f >= 0 && !strings.EqualFold(c.Was.Columns[f].Name, c.Now.Columns[i].Name) {
			return c.Was.Columns[f].Name, c.Now.Columns[i].Name, true
		}
	}
	return "", "", false
}

const schemaChangeFormat = 1

var errSchemaChange = errors.New("connect: the header " + HeaderSchemaChange + " is not of a format that this build knows")

// SetSchemaChange puts c into a header of r, in b's memory. Transforms leave
// it alone: it tells of the source's columns, also where Table is another one.
func (r *Record) SetSchemaChange(b *Batch, c *SchemaChange) {
	p := append([]byte(nil), schemaChangeFormat)
	p = schema.AppendTable(schema.AppendTable(p, c.Was), c.Now)
	for _, i := range c.From {
		p = binary.AppendUvarint(p, uint64(i+1))
	}
	all := b.NewHeaders(len(r.Headers) + 1)
	all[copy(all, r.Headers)] = Header{Key: HeaderSchemaChange, Value: p}
	r.Headers = all
}

// HasSchemaChange reports whether SetSchemaChange put something into r.
func (r *Record) HasSchemaChange() bool {
	return slices.ContainsFunc(r.Headers, func(h Header) bool { return h.Key == HeaderSchemaChange })
}

// SchemaChange returns what SetSchemaChange put into r, nil if there is none.
func (r *Record) SchemaChange() (*SchemaChange, error) {
	for i := range r.Headers {
		if r.Headers[i].Key == HeaderSchemaChange {
			return parseSchemaChange(r.Headers[i].Value)
		}
	}
	return nil, nil
}

func parseSchemaChange(p []byte) (c *SchemaChange, err error) {
	if len(p) == 0 || p[0] != schemaChangeFormat {
		return nil, errSchemaChange
	}
	c = &SchemaChange{}
	if c.Was, p, err = schema.ParseTable(p[1:]); err != nil {
		return nil, err
	}
	if c.Now, p, err = schema.ParseTable(p); err != nil {
		return nil, err
	}
	r := wire.NewReader(p)
	c.From = make([]int, len(c.Now.Columns))
	for i := range c.From {
		n := r.Uvarint()
		if n > uint64(len(c.Was.Columns)) {
			return nil, errSchemaChange
		}
		c.From[i] = int(n) - 1
	}
	if !r.Done() {
		return nil, errSchemaChange
	}
	return c, nil
}
