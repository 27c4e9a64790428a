// Package redis is the offsets.Store that keeps its entries in a Redis server,
// which any number of processes may share.
//
// Under the key that Options name, say towline:offsets, there are a hash of the
// entries, {towline:offsets}:values, and a sorted set of their keys,
// {towline:offsets}:keys, which gives them in order. The braces put both on one
// node of a cluster.
//
// # Order and durability
//
// A Save is one transaction (MULTI and EXEC), a Load one script, so it sees
// whole saves only.
//
// Redis answers before anything is on disk, unless it is told otherwise; and
// evicts what it has no room for. A position that goes back is rows that come
// twice, so only a server that keeps its word is taken: each connection, also
// one that is made anew, looks whether it has appendonly yes, appendfsync
// always, no-appendfsync-on-rewrite no, a maxmemory-policy that does not evict
// such keys, and is no replica. Then what Save returned nil for survives the loss
// of power. What it does not survive is a failover: replicas get it later.
//
// # Concurrency
//
// A Store is safe for concurrent use.
//
// # Errors
//
// They are those of the server. As with any Store nothing is known after a Save
// that failed.
package redis

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/gomodule/redigo/redis"

	"github.com/towline/towline/offsets"
)

// maxArgs is how many entries one command of a transaction writes at most.
const maxArgs = 1000

// patience is how long an answer may take; a disk that has to sync may be slow.
const patience = 30 * time.Second

// maxIdle is how many connections are kept: as many tasks may save at once
// without one of them making its own.
const maxIdle = 8

// DefaultKey is where entries are kept when Options do not say.
const DefaultKey = "towline:offsets"

// Options say which server, and where in it.
type Options struct {
	Addr           string // host:port
	User, Password string // empty: none
	DB             int
	TLS            *tls.Config // nil: in clear
	Key            string      // empty: DefaultKey
}

// Store is an offsets.Store in Redis. Make one with Open.
type Store struct {
	pool         *redis.Pool
	name         string // of the server, for errors
	keys, values string
}

var _ offsets.Store = (*Store)(nil)

// Open connects to a server and checks that it is durable.
func Open(ctx context.Context, opts Options) (*Store, error) {
	if opts.Key == "" {
		opts.Key = DefaultKey
	}
	if strings.ContainsAny(opts.Key, "{}") {
		return nil, fmt.Errorf("offsets/redis: the key %q has braces, which mean something to a cluster", opts.Key)
	}
	s := &Store{name: opts.Addr, keys: "{" + opts.Key + "}:keys", values: "{" + opts.Key + "}:values"}
	s.pool = &redis.Pool{DialContext: opts.dial, TestOnBorrow: alive, MaxIdle: maxIdle, IdleTimeout: time.Minute}
	if err := s.do(ctx, "open", s.checkTypes); err != nil {
		return nil, errors.Join(err, s.pool.Close())
	}
	return s, nil
}

// dial makes a connection. One to a server that is not durable is none.
func (o Options) dial(ctx context.Context) (redis.Conn, error) {
	c, err := redis.DialContext(ctx, "tcp", o.Addr, redis.DialUsername(o.User), redis.DialPassword(o.Password), redis.DialDatabase(o.DB),
		redis.DialUseTLS(o.TLS != nil), redis.DialTLSConfig(o.TLS), redis.DialReadTimeout(patience), redis.DialWriteTimeout(patience))
	if err != nil {
		return nil, err
	}
	if err := isDurable(ctx, c); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// alive tells of a connection that was not used for some time whether it is.
func alive(c redis.Conn, since time.Time) error {
	if time.Since(since) < time.Second {
		return nil
	}
	_, err := c.Do("PING")
	return err
}

// Close ends the connections.
func (s *Store) Close() error { return s.pool.Close() }

// do calls f with a connection.
func (s *Store) do(ctx context.Context, what string, f func(context.Context, redis.Conn) error) error {
	c, err := s.pool.GetContext(ctx)
	if err == nil {
		err = f(ctx, c)
		c.Close() // it goes back to the pool
	}
	if err != nil {
		return fmt.Errorf("offsets/redis: %s at %s: %w", what, s.name, err)
	}
	return nil
}

// checkTypes makes sure that nobody else uses the keys: a transaction with a
// command that meets another type does the others all the same.
func (s *Store) checkTypes(ctx context.Context, c redis.Conn) error {
	for key, want := range map[string]string{s.keys: "zset", s.values: "hash"} {
		switch got, err := redis.String(redis.DoContext(c, ctx, "TYPE", key)); {
		case err != nil:
			return err
		case got != want && got != "none":
			return fmt.Errorf("the key %s is a %s of somebody else; choose another key", key, got)
		}
	}
	return nil
}

// after returns what comes behind all keys with a prefix, as ZRANGE wants it.
func after(prefix string) string {
	if end := offsets.After(prefix); end != "" {
		return "(" + end
	}
	return "+"
}

// load returns keys and values in turns. HMGET is called for some at a time,
// since Lua's stack is small.
var load = redis.NewScript(2, `
local keys = redis.call('ZRANGE', KEYS[1], ARGV[1], ARGV[2], 'BYLEX')
local out = {}
for i = 1, #keys, 1000 do
	local last = math.min(i + 999, #keys)
	local values = redis.call('HMGET', KEYS[2], unpack(keys, i, last))
	for k = i, last do
		out[2*k-1] = keys[k]
		out[2*k] = values[k-i+1]
	end
end
return out`)

// Load returns all entries whose key begins with prefix, ordered by key.
func (s *Store) Load(ctx context.Context, prefix string) ([]offsets.Entry, error) {
	var list []offsets.Entry
	err := s.do(ctx, fmt.Sprintf("load %q", prefix), func(ctx context.Context, c redis.Conn) error {
		flat, err := redis.Values(load.DoContext(ctx, c, s.keys, s.values, "["+prefix, after(prefix)))
		if err != nil {
			return err
		}
		list = make([]offsets.Entry, len(flat)/2)
		for i := range list {
			key, ok1 := flat[2*i].([]byte)
			value, ok2 := flat[2*i+1].([]byte)
			if !ok1 || !ok2 {
				return fmt.Errorf("%s and %s do not fit together: somebody else has changed them", s.keys, s.values)
			}
			list[i] = offsets.Entry{Key: string(key), Pos: value}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return list, nil
}

// Save writes all entries or none.
func (s *Store) Save(ctx context.Context, entries ...offsets.Entry) error {
	if len(entries) == 0 {
		return nil
	}
	return s.do(ctx, "save", func(ctx context.Context, c redis.Conn) error {
		if err := s.send(c, entries); err != nil {
			return err
		}
		replies, err := redis.Values(redis.DoContext(c, ctx, "EXEC"))
		if err != nil {
			return err
		}
		for _, r := range replies {
			if err, ok := r.(redis.Error); ok {
				return fmt.Errorf("the transaction was done in part: %w", err)
			}
		}
		return nil
	})
}

// send sends a transaction but for its end. Commands are done in order, so of
// two entries with one key the later wins.
func (s *Store) send(c redis.Conn, entries []offsets.Entry) error {
	err := c.Send("MULTI")
	for len(entries) > 0 {
		n := 1
		for n < min(len(entries), maxArgs) && (entries[n].Pos == nil) == (entries[0].Pos == nil) {
			n++
		}
		if entries[0].Pos == nil {
			err = errors.Join(err, s.sendGone(c, entries[:n]))
		} else {
			err = errors.Join(err, s.sendSet(c, entries[:n]))
		}
		entries = entries[n:]
	}
	return err
}

func (s *Store) sendSet(c redis.Conn, entries []offsets.Entry) error {
	pairs, members := make([]any, 0, 1+2*len(entries)), make([]any, 0, 1+2*len(entries))
	pairs, members = append(pairs, s.values), append(members, s.keys)
	for _, e := range entries {
		pairs, members = append(pairs, e.Key, []byte(e.Pos)), append(members, 0, e.Key)
	}
	return errors.Join(c.Send("HSET", pairs...), c.Send("ZADD", members...))
}

func (s *Store) sendGone(c redis.Conn, entries []offsets.Entry) error {
	fields, members := []any{s.values}, []any{s.keys}
	for _, e := range entries {
		fields, members = append(fields, e.Key), append(members, e.Key)
	}
	return errors.Join(c.Send("HDEL", fields...), c.Send("ZREM", members...))
}
