package file

import (
	"context"
	"fmt"
	"io"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/offsets"
)

// streamSink writes lines to a stream, which keeps no State.
type streamSink struct {
	out   io.Writer
	lines liner
}

// Open implements connect.Sink.
func (s *streamSink) Open(context.Context) ([]offsets.Entry, error) { return nil, nil }

// Write implements connect.Sink.
func (s *streamSink) Write(_ context.Context, b *connect.Batch) error {
	lines, failed := s.lines.encode(b)
	if len(lines) > 0 {
		if _, err := s.out.Write(lines); err != nil {
			return fmt.Errorf("file: write to the standard output: %w", err)
		}
	}
	if failed != nil {
		return failed
	}
	return nil
}

// Close implements connect.Sink.
func (s *streamSink) Close() error { return nil }
