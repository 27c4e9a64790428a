package connect

import (
	"errors"
	"fmt"
	"strings"
)

// ErrPositionLost: what follows a position is no longer there (purged,
// trimmed, or another server). Only a new snapshot helps.
var ErrPositionLost = errors.New("position is no longer available")

// ErrFenced: another task with a newer epoch has taken over this one's work.
var ErrFenced = errors.New("fenced by a newer task")

// Permanent marks err as one that no retry mends.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &permanent{err}
}

// IsPermanent reports whether err is, or wraps, one marked by Permanent,
// ErrPositionLost, ErrFenced or a *ConfigError.
func IsPermanent(err error) bool {
	var p *permanent
	var c *ConfigError
	return errors.As(err, &p) || errors.As(err, &c) || errors.Is(err, ErrPositionLost) || errors.Is(err, ErrFenced)
}

type permanent struct{ err error }

func (p *permanent) Error() string { return p.err.Error() }
func (p *permanent) Unwrap() error { return p.err }

// RecordError is the failure of one record.
type RecordError struct {
	Index int // in the batch, or in the messages of a Decode
	Err   error
}

// BatchError lists the records of a batch that failed, in rising order of
// Index. All others succeeded.
type BatchError struct {
	Failed []RecordError
}

// Error names the first failure and the number of the others.
func (e *BatchError) Error() string {
	if len(e.Failed) == 0 {
		return "no record failed"
	}
	f := e.Failed[0]
	if n := len(e.Failed) - 1; n > 0 {
		return fmt.Sprintf("record %d: %v (and %d more)", f.Index, f.Err, n)
	}
	return fmt.Sprintf("record %d: %v", f.Index, f.Err)
}

// Unwrap returns the failures of the records.
func (e *BatchError) Unwrap() []error {
	errs := make([]error, len(e.Failed))
	for i := range e.Failed {
		errs[i] = e.Failed[i].Err
	}
	return errs
}

// ConfigError is all that is wrong with a configuration.
type ConfigError struct {
	Name   string // of the connector or file
	Faults []Fault
}

// Fault is one thing wrong with a configuration.
type Fault struct {
	Key  string // option, "" if it is about the whole
	Text string // what is wrong and how to mend it
}

// Error lists the faults, a line each.
func (e *ConfigError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "configuration of %q:", e.Name)
	for _, f := range e.Faults {
		b.WriteString("\n  ")
		if f.Key != "" {
			b.WriteString(f.Key + ": ")
		}
		b.WriteString(f.Text)
	}
	return b.String()
}
