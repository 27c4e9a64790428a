package binlog

import (
	"encoding/binary"
	"fmt"
)

// EventType is the type byte of an event's header.
type EventType uint8

// The event types.
const (
	QueryEvent             EventType = 2
	StopEvent              EventType = 3
	RotateEvent            EventType = 4
	IntvarEvent            EventType = 5
	LoadEvent              EventType = 6
	SlaveEvent             EventType = 7
	CreateFileEvent        EventType = 8
	AppendBlockEvent       EventType = 9
	ExecLoadEvent          EventType = 10
	DeleteFileEvent        EventType = 11
	NewLoadEvent           EventType = 12
	RandEvent              EventType = 13
	UserVarEvent           EventType = 14
	FormatDescriptionEvent EventType = 15
	XIDEvent               EventType = 16
	BeginLoadQueryEvent    EventType = 17
	ExecuteLoadQueryEvent  EventType = 18
	TableMapEvent          EventType = 19
	WriteRowsEventV1       EventType = 23
	UpdateRowsEventV1      EventType = 24
	DeleteRowsEventV1      EventType = 25
	IncidentEvent          EventType = 26
	HeartbeatEvent         EventType = 27
	IgnorableEvent         EventType = 28
	RowsQueryEvent         EventType = 29
	WriteRowsEvent         EventType = 30
	UpdateRowsEvent        EventType = 31
	DeleteRowsEvent        EventType = 32
	GTIDEvent              EventType = 33
	AnonymousGTIDEvent     EventType = 34
	PreviousGTIDsEvent     EventType = 35
	TransactionContext     EventType = 36
	ViewChangeEvent        EventType = 37
	XAPrepareEvent         EventType = 38
	PartialUpdateRowsEvent EventType = 39
	TransactionPayload     EventType = 40
	HeartbeatEventV2       EventType = 41
	GTIDTaggedEvent        EventType = 42
)

// The event types of MariaDB.
const (
	AnnotateRowsEvent         EventType = 160
	BinlogCheckpointEvent     EventType = 161
	MariaGTIDEvent            EventType = 162
	MariaGTIDListEvent        EventType = 163
	StartEncryptionEvent      EventType = 164
	QueryCompressedEvent      EventType = 165
	WriteRowsCompressedV1     EventType = 166
	UpdateRowsCompressedV1    EventType = 167
	DeleteRowsCompressedV1    EventType = 168
	WriteRowsCompressedEvent  EventType = 169
	UpdateRowsCompressedEvent EventType = 170
	DeleteRowsCompressedEvent EventType = 171
)

var eventNames = [...]string{
	QueryEvent: "QUERY", StopEvent: "STOP", RotateEvent: "ROTATE", IntvarEvent: "INTVAR", LoadEvent: "LOAD", SlaveEvent: "SLAVE",
	CreateFileEvent: "CREATE_FILE", AppendBlockEvent: "APPEND_BLOCK", ExecLoadEvent: "EXEC_LOAD", DeleteFileEvent: "DELETE_FILE",
	NewLoadEvent: "NEW_LOAD", RandEvent: "RAND", UserVarEvent: "USER_VAR", FormatDescriptionEvent: "FORMAT_DESCRIPTION",
	XIDEvent: "XID", BeginLoadQueryEvent: "BEGIN_LOAD_QUERY", ExecuteLoadQueryEvent: "EXECUTE_LOAD_QUERY",
	TableMapEvent: "TABLE_MAP", WriteRowsEventV1: "WRITE_ROWS_V1", UpdateRowsEventV1: "UPDATE_ROWS_V1",
	DeleteRowsEventV1: "DELETE_ROWS_V1", IncidentEvent: "INCIDENT", HeartbeatEvent: "HEARTBEAT", IgnorableEvent: "IGNORABLE",
	RowsQueryEvent: "ROWS_QUERY", WriteRowsEvent: "WRITE_ROWS", UpdateRowsEvent: "UPDATE_ROWS", DeleteRowsEvent: "DELETE_ROWS",
	GTIDEvent: "GTID", AnonymousGTIDEvent: "ANONYMOUS_GTID", PreviousGTIDsEvent: "PREVIOUS_GTIDS",
	TransactionContext: "TRANSACTION_CONTEXT", ViewChangeEvent: "VIEW_CHANGE", XAPrepareEvent: "XA_PREPARE",
	PartialUpdateRowsEvent: "PARTIAL_UPDATE_ROWS", TransactionPayload: "TRANSACTION_PAYLOAD",
	HeartbeatEventV2: "HEARTBEAT_V2", GTIDTaggedEvent: "GTID_TAGGED",
	AnnotateRowsEvent: "ANNOTATE_ROWS", BinlogCheckpointEvent: "BINLOG_CHECKPOINT", MariaGTIDEvent: "GTID",
	MariaGTIDListEvent: "GTID_LIST", StartEncryptionEvent: "START_ENCRYPTION", QueryCompressedEvent: "QUERY_COMPRESSED",
	WriteRowsCompressedV1: "WRITE_ROWS_COMPRESSED_V1", UpdateRowsCompressedV1: "UPDATE_ROWS_COMPRESSED_V1",
	DeleteRowsCompressedV1: "DELETE_ROWS_COMPRESSED_V1", WriteRowsCompressedEvent: "WRITE_ROWS_COMPRESSED",
	UpdateRowsCompressedEvent: "UPDATE_ROWS_COMPRESSED", DeleteRowsCompressedEvent: "DELETE_ROWS_COMPRESSED",
}

// String returns the type's name, or its number where it has none.
func (t EventType) String() string {
	if t.Known() {
		return eventNames[t]
	}
	return fmt.Sprintf("event type %d", uint8(t))
}

// Known reports whether this build knows the type at all. An event of another
// type may be passed over only if its header says so (see Header.Ignorable).
func (t EventType) Known() bool { return int(t) < len(eventNames) && eventNames[t] != "" }

// IsRows reports whether the event carries row images, so that ParseRows is
// for it.
func (t EventType) IsRows() bool {
	return t >= WriteRowsEventV1 && t <= DeleteRowsEventV1 || t >= WriteRowsEvent && t <= DeleteRowsEvent || t == PartialUpdateRowsEvent ||
		t.compressedRows()
}

// compressedRows reports whether the images of a row event are compressed.
func (t EventType) compressedRows() bool {
	return t >= WriteRowsCompressedV1 && t <= DeleteRowsCompressedEvent
}

// IsStatement reports whether the event belongs to statement-based logging: a
// change of data follows that no row event tells of.
func (t EventType) IsStatement() bool {
	switch t {
	case IntvarEvent, RandEvent, UserVarEvent, BeginLoadQueryEvent, ExecuteLoadQueryEvent:
		return true
	}
	return t >= LoadEvent && t <= NewLoadEvent
}

// HeaderSize is the size of an event's header.
const HeaderSize = 19

// Header flags.
const (
	FlagInUse      = 0x0001 // FORMAT_DESCRIPTION: the file was not closed
	FlagArtificial = 0x0020 // made for this connection, not in the file
	FlagIgnorable  = 0x0080
)

// Header is what every event begins with.
type Header struct {
	Timestamp uint32 // seconds since 1970
	Type      EventType
	ServerID  uint32
	Size      uint32 // of the whole event
	LogPos    uint32 // end of the event in its file modulo 2^32; 0 for artificial events and inside a payload
	Flags     uint16
}

// Ignorable reports whether the server allows readers to pass over the event
// if they do not know it.
func (h Header) Ignorable() bool { return h.Flags&FlagIgnorable != 0 }

// ParseHeader reads the header of event and checks its size field.
func ParseHeader(event []byte) (Header, error) {
	if len(event) < HeaderSize {
		return Header{}, fmt.Errorf("binlog: an event of %d bytes has no header", len(event))
	}
	h := Header{
		Timestamp: binary.LittleEndian.Uint32(event),
		Type:      EventType(event[4]),
		ServerID:  binary.LittleEndian.Uint32(event[5:]),
		Size:      binary.LittleEndian.Uint32(event[9:]),
		LogPos:    binary.LittleEndian.Uint32(event[13:]),
		Flags:     binary.LittleEndian.Uint16(event[17:]),
	}
	if uint64(h.Size) != uint64(len(event)) {
		return Header{}, fmt.Errorf("binlog: a %s event of %d bytes says that it has %d", h.Type, len(event), h.Size)
	}
	return h, nil
}

// bodyError is the error for a body that does not parse.
func bodyError(t EventType, body []byte) error {
	return fmt.Errorf("binlog: malformed %s event (%d bytes of body)", t, len(body))
}
