package redis

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/gomodule/redigo/redis"
)

// wanted are the settings without which a server may lose what it has answered.
var wanted = []struct{ name, value, why string }{
	{"appendonly", "yes", "without it everything is lost when the server ends"},
	{"appendfsync", "always", "otherwise it answers before positions are on disk"},
	{"no-appendfsync-on-rewrite", "no", "otherwise it does so while it rewrites its file"},
}

// isDurable checks the server at the other end of a new connection.
func isDurable(ctx context.Context, c redis.Conn) error {
	role, err := redis.Values(redis.DoContext(c, ctx, "ROLE"))
	if err != nil {
		return fmt.Errorf("ask for its role: %w", err)
	}
	if len(role) == 0 {
		return errors.New("it does not tell its role")
	}
	if name, err := redis.String(role[0], nil); err != nil || name != "master" {
		return fmt.Errorf("it is a %s; name the server that takes the writes", name)
	}
	for _, w := range wanted {
		got, err := setting(ctx, c, w.name)
		if err != nil {
			return err
		}
		if got != w.value {
			return fmt.Errorf("it may lose positions: it has %s %s and needs %s (%s)", w.name, got, w.value, w.why)
		}
	}
	policy, err := setting(ctx, c, "maxmemory-policy")
	if err == nil && strings.HasPrefix(policy, "allkeys-") {
		err = fmt.Errorf("it may lose positions: it has maxmemory-policy %s, which evicts any key when memory is short; it needs noeviction, or one of volatile", policy)
	}
	return err
}

func setting(ctx context.Context, c redis.Conn, name string) (string, error) {
	m, err := redis.StringMap(redis.DoContext(c, ctx, "CONFIG", "GET", name))
	if err != nil {
		return "", fmt.Errorf("it cannot be seen whether it keeps what it has answered: CONFIG GET %s: %w; allow it to the account (ACL: +config|get)", name, err)
	}
	v, ok := m[name]
	if !ok {
		return "", fmt.Errorf("it cannot be seen whether it keeps what it has answered: it knows no setting %s", name)
	}
	return v, nil
}
