package binlog

import (
	"errors"
	"fmt"
	"sync"

	"github.com/towline/towline/schema"
)

// partialOption is the one option of an image that there is: some JSON values
// are given as what changed in those before.
const partialOption = 1

var errNoDocument = errors.New("a JSON value is given as a change of one that is NULL")

// partialUpdate is what decoding the images of a PARTIAL_UPDATE_ROWS event has
// to remember. In front of the image after a change come options and, if there
// are any, a bit for each JSON column: whether the value is whole, or a list
// of changes to the value before.
type partialUpdate struct {
	after  bool
	bits   []byte         // of the image after the change; nil: all values are whole
	docs   [][]byte       // of the image before, by JSON column; nil: NULL
	values []schema.Value // the same as text
	patch  jsonPatch
}

// partials holds what is not in use, so that an event costs no memory.
var partials = sync.Pool{New: func() any { return new(partialUpdate) }}

func takePartial(documents int) *partialUpdate {
	p := partials.Get().(*partialUpdate)
	if cap(p.docs) < documents {
		p.docs, p.values = make([][]byte, documents), make([]schema.Value, documents)
	}
	p.docs, p.values = p.docs[:documents], p.values[:documents]
	return p
}

// release gives p back, without what belongs to the event.
func (p *partialUpdate) release() {
	p.after, p.bits = false, nil
	clear(p.docs)
	clear(p.values)
	p.patch.release()
	partials.Put(p)
}

// partialHead reads what comes before the image after a change.
func (d *decoder) partialHead() error {
	p := d.partial
	c := cursor{b: d.data[d.pos:]}
	options := c.packed()
	if options&^partialOption != 0 {
		return fmt.Errorf("the image after the change has options %#x, which this build does not know", options)
	}
	p.after, p.bits = true, nil
	if options != 0 {
		p.bits = c.take(uint64(len(p.docs)+7) / 8)
	}
	if c.bad {
		return errShort
	}
	d.pos = len(d.data) - len(c.b)
	return nil
}

// nextRow forgets the row that is done.
func (p *partialUpdate) nextRow() {
	p.after = false
	clear(p.docs)
	clear(p.values)
}

// partialJSON returns the value of JSON column i, whose bytes are body.
func (d *decoder) partialJSON(i int, body []byte) (schema.Value, error) {
	p := d.partial
	if !p.after {
		v, err := d.document(body)
		p.docs[i], p.values[i] = body[:len(body):len(body)], v
		return v, err
	}
	if p.bits == nil || p.bits[i/8]>>(i%8)&1 == 0 {
		return d.document(body)
	}
	doc := p.docs[i]
	if doc == nil {
		return schema.Value{}, errNoDocument
	}
	if len(body) == 0 {
		return p.values[i], nil // nothing changed
	}
	n := len(doc) + len(body)
	large := n > maxScratch
	var room []byte
	if large {
		room = make([]byte, 0, n+n/4)
	} else {
		room = d.batch.Scratch(3*n + 64)
	}
	out, err := p.patch.append(room, doc, body)
	if err != nil {
		return schema.Value{}, err
	}
	d.rendered += len(out)
	if !large {
		out = d.batch.Use(out)
	}
	return schema.MakeBytes(schema.JSON, out), nil
}
