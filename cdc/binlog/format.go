package binlog

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// Checksum is how the events of a log end.
type Checksum uint8

// The checksum algorithms.
const (
	ChecksumNone  Checksum = 0
	ChecksumCRC32 Checksum = 1
)

const checksumSize = 4

// Format is what a FORMAT_DESCRIPTION event says of the events after it.
type Format struct {
	ServerVersion string
	Created       uint32 // when the server started, in the first log since; else 0
	Checksum      Checksum
}

// ParseFormat reads a whole FORMAT_DESCRIPTION event, which always carries
// room for a checksum, and verifies it if it has one.
func ParseFormat(event []byte) (*Format, error) {
	h, err := ParseHeader(event)
	if err != nil {
		return nil, err
	}
	if h.Type != FormatDescriptionEvent {
		return nil, fmt.Errorf("binlog: a %s event where FORMAT_DESCRIPTION should be", h.Type)
	}
	const fixed = 2 + 50 + 4 + 1
	body := event[HeaderSize:]
	if len(body) < fixed+1+checksumSize {
		return nil, bodyError(h.Type, body)
	}
	if v := binary.LittleEndian.Uint16(body); v != 4 {
		return nil, fmt.Errorf("binlog: format version %d, only 4 is supported (MySQL 5.6 and later write it)", v)
	}
	if n := body[56]; n != HeaderSize {
		return nil, fmt.Errorf("binlog: event headers of %d bytes, only %d are supported", n, HeaderSize)
	}
	version, _, _ := bytes.Cut(body[2:52], []byte{0})
	f := &Format{
		ServerVersion: string(version),
		Created:       binary.LittleEndian.Uint32(body[52:]),
		Checksum:      Checksum(body[len(body)-checksumSize-1]),
	}
	if f.Checksum > ChecksumCRC32 {
		return nil, fmt.Errorf("binlog: server %s uses checksum algorithm %d, only NONE and CRC32 are supported", version, f.Checksum)
	}
	// The in-use flag is set and cleared without a new checksum; it counts as
	// cleared.
	if f.Checksum == ChecksumCRC32 && event[17]&FlagInUse != 0 {
		event = bytes.Clone(event)
		event[17] &^= FlagInUse
	}
	return f, f.Verify(event)
}

// Inner returns the format of the events inside a transaction payload, which
// have no checksums of their own.
func (f *Format) Inner() *Format {
	inner := *f
	inner.Checksum = ChecksumNone
	return &inner
}

// Body returns the part of event between header and checksum.
func (f *Format) Body(event []byte) ([]byte, error) {
	end := len(event)
	if f.Checksum == ChecksumCRC32 {
		end -= checksumSize
	}
	if end < HeaderSize {
		return nil, fmt.Errorf("binlog: an event of %d bytes is too short for header and checksum", len(event))
	}
	return event[HeaderSize:end:end], nil
}

// Verify checks the event's checksum, if the log has them.
func (f *Format) Verify(event []byte) error {
	if f.Checksum != ChecksumCRC32 {
		return nil
	}
	n := len(event) - checksumSize
	if n < HeaderSize {
		return fmt.Errorf("binlog: an event of %d bytes is too short for header and checksum", len(event))
	}
	want, got := binary.LittleEndian.Uint32(event[n:]), crc32.ChecksumIEEE(event[:n])
	if want != got {
		return fmt.Errorf("binlog: %s event ending at %d is damaged: its CRC32 is %08x, its bytes give %08x",
			EventType(event[4]), binary.LittleEndian.Uint32(event[13:]), want, got)
	}
	return nil
}
