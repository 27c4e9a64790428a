package rocketlog

import (
	"encoding/base64"
	"encoding/binary"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/connect/rocketlog/remoting"
)

// parcel is a message as it goes to a broker, but for its stamp.
type parcel struct {
	props []byte
	front []byte // of the body
	body  []byte
	part  int
	parts int
	// seal is the number of the queue's seal that it gets; 0: none.
	seal int
}

// size is about what a parcel takes in a batch.
func (p *parcel) size() int { return len(p.props) + len(p.front) + len(p.body) + 96 }

// sizeOf is about what parcels take in a batch.
func sizeOf(list []parcel) (size int) {
	for i := range list {
		size += list[i].size()
	}
	return size
}

// maxProps is what a packer has room for between batches.
const maxProps = 256 << 10

// packer makes parcels of the messages of one queue. They are valid until it
// begins anew.
type packer struct {
	list  []parcel
	owner []int  // of each parcel: the index of its message
	props []byte // memory of properties; what no longer fits is elsewhere
	meta  []byte
	label labeler
}

// begin forgets all parcels.
func (k *packer) begin() {
	clear(k.list) // they point at values of messages
	k.list, k.owner = k.list[:0], k.owner[:0]
	k.label.forget()
	if k.props = k.props[:0]; cap(k.props) > maxProps {
		k.props = nil
	}
}

// pack adds what message i becomes: one parcel, or several if its value is
// large.
func (k *packer) pack(i int, m *connect.Message) {
	k.meta = appendMeta(k.meta[:0], m)
	meta, front, keys := k.meta, []byte(nil), k.meta[0]&metaKeyIsKeys != 0
	if len(meta) > maxMeta {
		meta[0] |= metaInBody
		front, k.meta = meta, nil
		meta = binary.AppendUvarint([]byte{metaInBody}, uint64(len(front)))
	}
	begin := len(k.props)
	props := append(append(k.props, propMeta...), 1)
	props = append(base64.RawStdEncoding.AppendEncode(props, meta), 2)
	if keys {
		props = remoting.AppendProperty(props, propKeys, m.Key)
	}
	k.props = k.label.append(props, m)
	props = k.props[begin:len(k.props):len(k.props)]
	if len(front)+len(m.Value) <= maxBody {
		k.add(i, parcel{props: props, front: front, body: m.Value, parts: 1})
		return
	}
	whole := m.Value
	if len(front) > 0 {
		whole = append(front, m.Value...)
	}
	parts := (len(whole) + maxBody - 1) / maxBody
	for n := range parts {
		p := parcel{props: props, body: whole[n*maxBody : min(len(whole), (n+1)*maxBody)], part: n, parts: parts}
		if n > 0 {
			p.props = nil
		}
		k.add(i, p)
	}
}

func (k *packer) add(owner int, p parcel) {
	k.list, k.owner = append(k.list, p), append(k.owner, owner)
}
