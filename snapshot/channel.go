package snapshot

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/offsets"
	"github.com/towline/towline/schema"
)

// isSignals reports whether t is the table whose rows are signals.
func (w *weaver) isSignals(t *schema.Table) bool {
	return w.cfg.SignalTable != "" && strings.EqualFold(t.Database+"."+t.Name, w.cfg.SignalTable)
}

// signalRow carries out what a row of the signal table says. The row is
// dropped from the stream. What it did is saved in the step that saves that the
// row was read, so it is done once.
func (w *weaver) signalRow(r *connect.Record) {
	if w.env.Drop != nil {
		w.env.Drop("signal", 1)
	}
	if r.Op != connect.OpInsert {
		return
	}
	s, err := signalOf(r)
	if err == nil {
		var o *order
		if o, err = parseSignal(s); err == nil {
			_, _, _ = w.carryOut(o) // it says itself what it cannot do
			return
		}
	}
	w.env.Logger.Warn("snapshot: a row of the signal table is no signal", "table", w.cfg.SignalTable, "signal", s.ID, "type", s.Type, "error", err)
}

// signalOf reads the columns id, type and data, or the first three.
func signalOf(r *connect.Record) (connect.Signal, error) {
	at := [3]int{0, 1, 2}
	for i := range r.Table.Columns {
		for n, name := range [...]string{"id", "type", "data"} {
			if strings.EqualFold(r.Table.Columns[i].Name, name) {
				at[n] = i
			}
		}
	}
	var texts [3]string
	for n, i := range at {
		if i >= len(r.After) {
			return connect.Signal{}, errors.New("the table has not the columns id, type and data")
		}
		if v := r.After[i]; v.Kind() != schema.Null && v.Kind() != schema.Absent {
			texts[n] = string(v.AppendText(nil, &r.Table.Columns[i]))
		}
	}
	return connect.Signal{ID: texts[0], Type: texts[1], Data: json.RawMessage(texts[2])}, nil
}

// signalFile carries out the lines of a file, each once: how far it has come
// is part of the state, together with what the lines did.
type signalFile struct {
	path string
	size int64 // that was carried out
	sum  [sha256.Size]byte
	seen time.Time // when it was last changed, as of the last look
}

// parseFile reads what encode wrote.
func (f *signalFile) parse(p offsets.Position) {
	if len(p) == 8+len(f.sum) {
		f.size = int64(binary.BigEndian.Uint64(p))
		copy(f.sum[:], p[8:])
	}
}

func (f *signalFile) encode() offsets.Position {
	return append(binary.BigEndian.AppendUint64(nil, uint64(f.size)), f.sum[:]...)
}

// poll looks for new lines and returns them. A file that does not begin with
// what was carried out is another one.
func (f *signalFile) poll() ([]connect.Signal, error) {
	info, err := os.Stat(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil || info.ModTime().Equal(f.seen) && info.Size() == f.size {
		return nil, err
	}
	text, err := os.ReadFile(f.path)
	if err != nil {
		return nil, err
	}
	f.seen = info.ModTime()
	if int64(len(text)) < f.size || sha256.Sum256(text[:f.size]) != f.sum {
		f.size = 0
	}
	end := int64(bytes.LastIndexByte(text, '\n') + 1) // a line without an end may be half a line
	if end <= f.size {
		return nil, nil
	}
	var list []connect.Signal
	for line := range bytes.Lines(text[f.size:end]) {
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		var s connect.Signal
		if err := json.Unmarshal(line, &s); err != nil {
			s = connect.Signal{ID: string(bytes.TrimSpace(line))} // which says what is wrong
		}
		list = append(list, s)
	}
	f.size, f.sum = end, sha256.Sum256(text[:end])
	return list, nil
}

// takeFile looks at the file of signals. Reading it may take long, so that is
// done beside. It locks.
func (w *weaver) takeFile() {
	w.mu.Lock()
	before := w.file
	w.mu.Unlock()
	now := before
	list, err := now.poll()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.file = now
	if text := fmt.Sprint(err); err != nil && text != w.fileFault {
		w.fileFault = text // said once
		w.env.Logger.Warn("snapshot: the file of signals cannot be read", "file", now.path, "error", err)
	} else if err == nil {
		w.fileFault = ""
	}
	if err != nil || now.size == before.size && now.sum == before.sum {
		return
	}
	for _, s := range list {
		o, err := parseSignal(s)
		if err != nil {
			w.env.Logger.Warn("snapshot: a line of the file of signals is no signal", "file", w.file.path, "signal", s.ID, "error", err)
			continue
		}
		_, _, _ = w.carryOut(o) // it says itself what it cannot do
	}
	w.fileUnsaved, w.tell = true, true
	w.wakeRead()
}

// pollEvery is how often the file of signals is looked at, and how long a
// question that failed is not asked again.
const pollEvery = time.Second

// attend does what signals ask for beside the stream, until ctx ends.
func (w *weaver) attend(ctx context.Context) {
	for {
		pause := time.Hour
		if w.cfg.SignalFile != "" {
			w.takeFile()
			pause = pollEvery
		}
		for _, t := range w.toRevive() {
			err := w.changes.Resume(ctx, t.database, t.name)
			switch {
			case err == nil || ctx.Err() != nil:
			case connect.IsPermanent(err):
				w.notRevived(t, err)
			default:
				w.env.Logger.Warn("snapshot: a stopped table is to be followed again, which is tried until it works", "table", t.String(), "error", err)
				w.askAgain(t)
				pause = pollEvery
			}
		}
		timer := time.NewTimer(pause)
		select {
		case <-w.signals:
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
		timer.Stop()
	}
}

// wakeSignals lets attend look for something to do.
func (w *weaver) wakeSignals() {
	select {
	case w.signals <- struct{}{}:
	default:
	}
}
