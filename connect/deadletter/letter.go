package deadletter

import (
	"encoding/json"
	"time"
	"unicode/utf8"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/connect/convert"
	"github.com/towline/towline/connect/frame"
)

// Letter is a dead letter as it is shown.
type Letter struct {
	ID    int64  `json:"id"`
	State State  `json:"state"`
	Since string `json:"state_since,omitempty"` // when it was sent or dropped

	Connector string `json:"connector,omitempty"`
	Task      int    `json:"task"`
	Stage     string `json:"stage,omitempty"`
	Class     string `json:"error_class,omitempty"`
	Error     string `json:"error,omitempty"`
	Died      string `json:"time,omitempty"`
	// Where it came from.
	Topic     string `json:"topic,omitempty"`
	Partition int32  `json:"partition"`
	Offset    int64  `json:"offset"`
	Routed    string `json:"routed_topic,omitempty"`
	// What it tells of.
	Table  string          `json:"table,omitempty"`
	Op     string          `json:"op,omitempty"`
	Commit string          `json:"commit_time,omitempty"` // of the change at its source
	Key    json.RawMessage `json:"key,omitempty"`
	// Of one that is shown whole: the change in Debezium's envelope or, if it
	// cannot be read, the message as it is, as text or else in base64.
	Change  json.RawMessage   `json:"change,omitempty"`
	Text    *string           `json:"text,omitempty"`
	Bytes   []byte            `json:"bytes,omitempty"`
	Fault   string            `json:"unreadable,omitempty"` // why it cannot be read
	Headers map[string]string `json:"headers,omitempty"`

	cause Cause
	known bool // its headers tell the cause
}

// Cause returns why it is dead; ok is false if its headers do not tell.
func (l *Letter) Cause() (c Cause, ok bool) { return l.cause, l.known }

// briefError is how much of an error a list shows.
const briefError = 1000

// letterOf returns what headers and notes tell of a letter. A message that
// follows a delete and says nothing of its own is none.
func letterOf(m *connect.Message, known notes) (Letter, bool) {
	if m.Value == nil && m.Count == 0 {
		return Letter{}, false
	}
	c, rest, ok := ParseCause(m.Headers)
	n := known.of(m.Offset)
	l := Letter{ID: m.Offset, State: n.State, Since: stamp(n.Time), cause: c, known: ok}
	if ok {
		l.Connector, l.Task, l.Stage, l.Class, l.Error, l.Died = c.Connector, c.Task, c.Stage, c.Class, c.Text, stamp(c.Time)
		l.Topic, l.Partition, l.Offset, l.Routed = c.Topic, c.Partition, c.Offset, c.Routed
	}
	if m.Time > 0 {
		l.Commit = stamp(time.UnixMicro(m.Time))
	}
	if len(rest) > 0 {
		l.Headers = map[string]string{}
		for _, h := range rest {
			l.Headers[h.Key] = string(h.Value)
		}
	}
	return l, true
}

// stamp returns a time as it is shown, "" for none.
func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z")
}

// viewer makes messages readable.
type viewer struct {
	frames frame.Converter
	enc    *convert.Encoder
	batch  connect.Batch
}

func newViewer() *viewer { return &viewer{enc: convert.NewEncoder(convert.Readable(""))} }

// brief fills in what a list shows.
func (v *viewer) brief(l *Letter, m *connect.Message) {
	v.view(l, m)
	l.Change, l.Headers = nil, nil
	if len(l.Error) > briefError {
		cut := briefError
		for cut > 0 && !utf8.RuneStart(l.Error[cut]) {
			cut--
		}
		l.Error = l.Error[:cut] + "..."
	}
}

// whole fills in all.
func (v *viewer) whole(l *Letter, m *connect.Message) {
	v.view(l, m)
	switch {
	case l.Change != nil:
	case utf8.Valid(m.Value):
		text := string(m.Value)
		l.Text = &text
	default:
		l.Bytes = append([]byte(nil), m.Value...)
	}
}

func (v *viewer) view(l *Letter, m *connect.Message) {
	if !frame.Is(m.Value) {
		viewJSON(l, m)
		return
	}
	v.batch.Reset()
	defer v.batch.Reset()
	if err := v.frames.Decode(&v.batch, []connect.Message{*m}); err != nil || len(v.batch.Records) == 0 {
		l.Fault = "it holds no record"
		if err != nil {
			l.Fault = err.Error()
		}
		return
	}
	r := &v.batch.Records[0]
	l.Op = string(r.Op)
	if r.Table != nil {
		l.Table = r.Table.String()
	}
	if key, err := v.enc.AppendKey(nil, r); err == nil && len(key) > 0 {
		l.Key = key
	}
	whole := *r
	whole.Flags &^= connect.Unwrapped // both rows, whatever it was to become
	change, err := v.enc.AppendValue(nil, &whole)
	switch {
	case err != nil:
		l.Fault = err.Error()
	case len(v.batch.Records) > 1:
		l.Fault = "it holds several records"
	default:
		l.Change = change
	}
}

// viewJSON takes a message apart that is JSON, with or without its schema.
func viewJSON(l *Letter, m *connect.Message) {
	l.Key = payload(m.Key)
	change := payload(m.Value)
	if change == nil {
		return
	}
	l.Change = change
	var head struct {
		Op     string
		Source struct{ DB, Table string }
	}
	if json.Unmarshal(change, &head) != nil || head.Source.Table == "" {
		return
	}
	l.Op, l.Table = head.Op, head.Source.DB+"."+head.Source.Table
}

// payload returns what of a JSON text is no schema; nil if it is no JSON.
func payload(text []byte) json.RawMessage {
	if len(text) == 0 || !json.Valid(text) {
		return nil
	}
	var with struct{ Schema, Payload json.RawMessage }
	if json.Unmarshal(text, &with) == nil && with.Schema != nil && with.Payload != nil {
		return with.Payload
	}
	return append(json.RawMessage(nil), text...)
}
