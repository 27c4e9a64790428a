package binlog

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
)

// What a change of a document does.
const (
	patchReplace = iota
	patchInsert
	patchRemove
)

var errPatch = errors.New("a change of a JSON document does not fit the document")

// jsonPatch applies changes to binary documents and renders what comes of
// them. Only the containers on the way to a change are taken apart, into four
// bytes for each of their elements; all else stays where it is. So it takes
// memory and time in proportion to the document and its changes, but that an
// insert or removal moves the elements behind it, as it did in the server.
type jsonPatch struct {
	w     jsonWriter
	nodes []jsonNode // nodes[0] is the document
	room  []uint32   // for children
}

// jsonNode is a value on the way to a change, or one that a change brought.
type jsonNode struct {
	t   byte
	b   []byte // begins at the value
	key []byte // that it has in its object

	open      bool // a container that is taken apart
	container jsonContainer
	// children are elements of container by number, or numbers of nodes with
	// madeNode set.
	children []uint32
}

const madeNode = 1 << 31

// maxPatchRoom is for how many children room is kept.
const maxPatchRoom = 1 << 16

// release lets go of the last document.
func (p *jsonPatch) release() {
	clear(p.nodes)
	p.w = jsonWriter{}
	p.nodes, p.room = p.nodes[:0], p.room[:0]
	if cap(p.room) > maxPatchRoom {
		p.room = nil
	}
	if cap(p.nodes) > maxPatchRoom/16 {
		p.nodes = nil
	}
}

// append appends the text of doc after changes, which follow one another:
//
//	operation(1) #path path [#value value]
func (p *jsonPatch) append(dst, doc, changes []byte) ([]byte, error) {
	p.release()
	p.w = jsonWriter{out: dst, budget: len(doc) + len(changes)}
	if len(doc) == 0 { // see AppendJSON
		doc = []byte{jsonLiteral, 0}
	}
	p.nodes = append(p.nodes, jsonNode{t: doc[0], b: doc[1:]})
	for c := (cursor{b: changes}); len(c.b) > 0; {
		op, path := c.u8(), c.packedBytes()
		var value []byte
		if op != patchRemove {
			value = c.packedBytes()
			c.bad = c.bad || len(value) == 0
		}
		if c.bad || op > patchRemove {
			return dst, errors.New("a malformed change of a JSON document")
		}
		if err := p.change(op, path, value); err != nil {
			return dst, fmt.Errorf("%w (path %.200q)", err, path)
		}
	}
	if err := p.render(0, 0); err != nil {
		return dst, err
	}
	return p.w.out, nil
}

// place is a node, and where it hangs.
type place struct{ node, parent, at int }

// change applies one change.
func (p *jsonPatch) change(op byte, path, value []byte) error {
	if len(path) < 2 || path[0] != '$' {
		return errPatch // the whole document is never changed in part
	}
	path = path[1:]
	var leg jsonLeg
	var ok bool
	here := place{node: 0, parent: -1}
	for {
		if path, ok = leg.parse(path); !ok {
			return errPatch
		}
		if len(path) == 0 && op == patchInsert {
			return p.insert(here.node, &leg, value)
		}
		next, err := p.step(here, &leg)
		if err != nil {
			return err
		}
		here = next
		if len(path) == 0 {
			break
		}
	}
	if here.parent < 0 {
		return errPatch
	}
	if op == patchReplace {
		n := &p.nodes[here.node]
		*n = jsonNode{t: value[0], b: value[1:], key: n.key}
		return nil
	}
	parent := &p.nodes[here.parent]
	parent.children = slices.Delete(parent.children, here.at, here.at+1)
	return nil
}

// step goes from a value to the one in it that leg names.
func (p *jsonPatch) step(from place, leg *jsonLeg) (place, error) {
	n := &p.nodes[from.node]
	if !leg.member && !isJSONArray(n.t) {
		if leg.at(1) == 0 { // the server takes a value for the array of it
			return from, nil
		}
		return from, errPatch
	}
	if leg.member && !isJSONObject(n.t) {
		return from, errPatch
	}
	if err := p.open(from.node); err != nil {
		return from, err
	}
	n = &p.nodes[from.node]
	at := 0
	if leg.member {
		i, found := p.find(n, leg.key)
		if !found {
			return from, errPatch
		}
		at = i
	} else if at = leg.at(len(n.children)); at < 0 || at >= len(n.children) {
		return from, errPatch
	}
	child, err := p.node(from.node, at)
	return place{child, from.node, at}, err
}

// insert puts a value into the container that is node.
func (p *jsonPatch) insert(node int, leg *jsonLeg, value []byte) error {
	n := &p.nodes[node]
	if leg.member && !isJSONObject(n.t) || !leg.member && !isJSONArray(n.t) {
		return errPatch
	}
	if err := p.open(node); err != nil {
		return err
	}
	n = &p.nodes[node]
	made := jsonNode{t: value[0], b: value[1:]}
	var at int
	if leg.member {
		i, found := p.find(n, leg.key)
		if found {
			return errPatch
		}
		at, made.key = i, leg.key
	} else {
		at = min(max(leg.at(len(n.children)), 0), len(n.children))
	}
	n.children = slices.Insert(n.children, at, uint32(len(p.nodes))|madeNode)
	p.nodes = append(p.nodes, made)
	return nil
}

func isJSONObject(t byte) bool { return t == jsonSmallObject || t == jsonLargeObject }

func isJSONArray(t byte) bool { return t == jsonSmallArray || t == jsonLargeArray }

// open takes the container apart that is node.
func (p *jsonPatch) open(node int) error {
	n := &p.nodes[node]
	if n.open {
		return nil
	}
	c, err := p.w.open(n.t, n.b)
	if err != nil {
		return err
	}
	if cap(p.room)-len(p.room) < c.count {
		p.room = make([]uint32, 0, max(2*cap(p.room), c.count+c.count/8, 256))
	}
	at := len(p.room)
	p.room = p.room[:at+c.count]
	n.children = p.room[at : at+c.count : at+c.count]
	for i := range n.children {
		n.children[i] = uint32(i)
	}
	n.open, n.container = true, c
	return nil
}

// node returns the node of child at of the node parent, which it makes if need be.
func (p *jsonPatch) node(parent, at int) (int, error) {
	n := &p.nodes[parent]
	ref := n.children[at]
	if ref&madeNode != 0 {
		return int(ref &^ madeNode), nil
	}
	var made jsonNode
	if made.t, made.b = n.container.value(int(ref)); made.b == nil {
		return 0, errJSON
	}
	if isJSONObject(n.t) {
		made.key = n.container.key(int(ref))
	}
	n.children[at] = uint32(len(p.nodes)) | madeNode
	p.nodes = append(p.nodes, made)
	return len(p.nodes) - 1, nil
}

func (p *jsonPatch) key(n *jsonNode, ref uint32) []byte {
	if ref&madeNode != 0 {
		return p.nodes[ref&^madeNode].key
	}
	return n.container.key(int(ref))
}

// find returns where an object has a key, or would have it. Shorter keys come
// first.
func (p *jsonPatch) find(n *jsonNode, key []byte) (int, bool) {
	return slices.BinarySearchFunc(n.children, key, func(ref uint32, key []byte) int {
		have := p.key(n, ref)
		if d := len(have) - len(key); d != 0 {
			return d
		}
		return bytes.Compare(have, key)
	})
}

// render renders a node that lies at depth.
func (p *jsonPatch) render(node, depth int) error {
	n, w := &p.nodes[node], &p.w
	if !n.open {
		return w.value(n.t, n.b, depth)
	}
	if depth++; depth >= maxJSONDepth {
		return errJSONDepth
	}
	object := isJSONObject(n.t)
	brackets := "[]"
	if object {
		brackets = "{}"
	}
	w.out = append(w.out, brackets[0])
	for i, ref := range n.children {
		if i > 0 {
			w.out = append(w.out, ", "...)
		}
		if object {
			key := p.key(n, ref)
			if w.budget -= len(key); key == nil || w.budget < 0 {
				return errJSON
			}
			w.out = append(appendJSONString(w.out, key), ": "...)
		}
		var err error
		if ref&madeNode != 0 {
			err = p.render(int(ref&^madeNode), depth)
		} else {
			err = w.element(&n.container, int(ref), depth)
		}
		if err != nil {
			return err
		}
	}
	w.out = append(w.out, brackets[1])
	return nil
}
