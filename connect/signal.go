package connect

import (
	"context"
	"encoding/json"
)

// Signal is what an operator asks a running source to do. Its shape is that of
// Debezium's signals.
type Signal struct {
	ID   string          `json:"id"`
	Type string          `json:"type"` // such as execute-snapshot
	Data json.RawMessage `json:"data,omitempty"`
}

// Signaler is a Source that takes signals.
type Signaler interface {
	// Signal carries a signal out and says what that means for which table.
	// When it returns nil this will hold after a crash too. It may run beside
	// Read.
	Signal(ctx context.Context, s Signal) ([]string, error)
}
