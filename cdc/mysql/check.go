package mysql

import (
	"context"

	"github.com/towline/towline/connect"
)

// Check looks at the server.
func Check(ctx context.Context, cfg connect.Config) ([]connect.Finding, error) { return nil, nil }
