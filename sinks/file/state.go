package file

import (
	"encoding/json"
	"fmt"
	"hash/crc32"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/offsets"
)

const stateVersion = 1

// state says what is in a file.
type state struct {
	Version   int               `json:"version"`
	Connector string            `json:"connector"`
	Length    int64             `json:"length"` // bytes that hold what Marks say
	Tail      uint32            `json:"tail"`   // checksum of the last ones of them
	Marks     map[string][]byte `json:"marks"`  // positions by offsets.MarkKey
}

func stateName(path string) string { return path + ".state" }

// readState returns the state of the file at path; fs.ErrNotExist if it has
// none.
func readState(path string) (*state, error) {
	b, err := os.ReadFile(stateName(path))
	if err != nil {
		return nil, err
	}
	st := &state{}
	if err := json.Unmarshal(b, st); err != nil || st.Version != stateVersion || st.Length < 0 {
		return nil, connect.Permanent(fmt.Errorf("%s is not a state of version %d; if the file is not needed, remove both to begin anew", stateName(path), stateVersion))
	}
	if st.Marks == nil {
		st.Marks = map[string][]byte{}
	}
	return st, nil
}

// write replaces the state on disk in one step.
func (st *state) write(path string) error {
	b, err := json.Marshal(st)
	if err != nil {
		return err
	}
	name := stateName(path)
	if err := writeSynced(name+".tmp", append(b, '\n')); err != nil {
		return err
	}
	if err := os.Rename(name+".tmp", name); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(path))
}

func writeSynced(name string, b []byte) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

// syncFolder makes names in a folder durable.
func syncFolder(name string) error {
	d, err := os.Open(name)
	if err != nil {
		return err
	}
	err = d.Sync()
	if cerr := d.Close(); err == nil {
		err = cerr
	}
	return err
}

// set takes the State of a batch.
func (st *state) set(entries []offsets.Entry) {
	for _, e := range entries {
		if e.Pos == nil {
			delete(st.Marks, e.Key)
			continue
		}
		st.Marks[e.Key] = slices.Clone(e.Pos)
	}
}

// entries returns the State, never nil: the file keeps it.
func (st *state) entries() []offsets.Entry {
	list := make([]offsets.Entry, 0, len(st.Marks))
	for _, k := range slices.Sorted(maps.Keys(st.Marks)) {
		list = append(list, offsets.Entry{Key: k, Pos: slices.Clone(st.Marks[k])})
	}
	return list
}

// tailSize is how much of the end of a file its checksum covers.
const tailSize = 4096

// tail returns the checksum of the file's end.
func (s *fileSink) tail() (uint32, error) {
	b := make([]byte, min(s.state.Length, tailSize))
	if _, err := s.file.ReadAt(b, s.state.Length-int64(len(b))); err != nil {
		return 0, err
	}
	return crc32.ChecksumIEEE(b), nil
}
