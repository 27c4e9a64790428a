package pebblelog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// checkManifest looks for damage in the middle of the manifest. Pebble takes a
// chunk that does not verify for the end of the file, as after a crash, and
// would go on without the files that later edits name, and delete them. But an
// edit is synced before the next is written, so a chunk that is bad while a
// later one begins a good record is no torn end.
func checkManifest(under vfs.FS, dir string) error {
	desc, err := pebble.Peek(dir, under)
	if err != nil {
		return openError(err)
	}
	if !desc.Exists {
		return nil // Open says so
	}
	b, err := readFile(under, desc.ManifestFilename)
	if err != nil {
		return openError(err)
	}
	if at, bad := brokenInside(b); bad {
		return fmt.Errorf("%w: file %s is garbled at byte %d; %s", ErrDamaged, under.PathBase(desc.ManifestFilename), at, damageHint)
	}
	return nil
}

// A manifest is a run of blocks of 32 KiB, each a run of chunks:
// checksum u32, length u16, type u8, data. A record is one full chunk, or a
// first one, middle ones, and a last one. The checksum is of type and data.
const (
	chunkBlock  = 32 << 10
	chunkHeader = 7
	chunkFull   = 1
	chunkFirst  = 2
	chunkLast   = 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var errChunk = errors.New("bad chunk")

// chunkAt verifies the chunk at b[at:] and returns its type and end.
func chunkAt(b []byte, at int) (kind byte, end int, err error) {
	if at+chunkHeader > len(b) {
		return 0, 0, errChunk
	}
	kind, end = b[at+6], at+chunkHeader+int(binary.LittleEndian.Uint16(b[at+4:]))
	if kind < chunkFull || kind > chunkLast || end > len(b) || end > (at/chunkBlock+1)*chunkBlock {
		return 0, 0, errChunk
	}
	sum := crc32.Checksum(b[at+6:end], castagnoli)
	if binary.LittleEndian.Uint32(b[at:]) != (sum>>15|sum<<17)+0xa282ead8 {
		return 0, 0, errChunk
	}
	return kind, end, nil
}

// brokenInside returns where a chunk is bad that good records follow.
func brokenInside(b []byte) (at int, bad bool) {
	for at < len(b) {
		if left := chunkBlock - at%chunkBlock; left < chunkHeader {
			at += left // a header does not fit: filled with zeros
			continue
		}
		_, end, err := chunkAt(b, at)
		if err != nil {
			break
		}
		at = end
	}
	// The bad chunk's length may be wrong, so look at every byte behind it.
	for i := at + 1; i < len(b); i++ {
		if k, _, err := chunkAt(b, i); err == nil && (k == chunkFull || k == chunkFirst) {
			return at, true
		}
	}
	return at, false
}
