package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/connect/storelog"
	"github.com/towline/towline/offsets"
	offsetsmysql "github.com/towline/towline/offsets/mysql"
	"github.com/towline/towline/offsets/redis"
	"github.com/towline/towline/sinks/jdbc"
)

const offsetStorage = "offset.storage"

// offsetOptions are the keys of a worker whose positions and connectors are not
// with its topics: Debezium's names.
func offsetOptions() []connect.Option {
	return []connect.Option{
		{Name: offsetStorage, Type: connect.TypeString, Default: "topic", Values: []string{"topic", "mysql", "redis"}, Doc: "Where positions and connectors are when topics are in RocketMQ: in a topic beside them, in a table, or in Redis."},
		{Name: "offset.storage.jdbc.connection.url", Type: connect.TypeString, Check: checkOffsetsURL, Doc: "The MySQL server and database: `jdbc:mysql://host:port/database` and the other forms of the JDBC sink's `connection.url`."},
		{Name: "offset.storage.jdbc.connection.user", Type: connect.TypeString, Doc: "Who to log in as."},
		{Name: "offset.storage.jdbc.connection.password", Type: connect.TypePassword, Doc: "With which password."},
		{Name: "offset.storage.jdbc.table.name", Type: connect.TypeString, Default: "towline_offsets", Doc: "The table, which is made if it is not there. Each `connectClusterId` needs its own."},
		{Name: "offset.storage.redis.address", Type: connect.TypeString, Check: checkServer, Doc: "The Redis server, `host:port`. It must have `appendonly yes` and `appendfsync always`."},
		{Name: "offset.storage.redis.user", Type: connect.TypeString, Doc: "Who to log in as."},
		{Name: "offset.storage.redis.password", Type: connect.TypePassword, Doc: "With which password."},
		{Name: "offset.storage.redis.db.index", Type: connect.TypeInt, Default: "0", Min: 0, Max: 1 << 20, Doc: "The number of the database."},
		{Name: "offset.storage.redis.key", Type: connect.TypeString, Default: redis.DefaultKey, Doc: "The key that all is kept under. Each `connectClusterId` needs its own."},
		{Name: "offset.storage.redis.ssl.enabled", Type: connect.TypeBoolean, Default: "false", Doc: "Whether it is spoken to over TLS. Its certificate is checked."},
		{Name: "offset.storage.redis.ssl.truststore.path", Type: connect.TypeString, Doc: "A PEM file with the certificates that sign the server's; else those that the machine trusts do."},
	}
}

func checkOffsetsURL(v string) error {
	_, err := jdbc.Connector(v, "", "")
	return err
}

func checkServer(v string) error {
	if _, port, err := net.SplitHostPort(v); err != nil || port == "" {
		return fmt.Errorf("%q is not host:port", v)
	}
	return nil
}

// openStore opens a store and says where it is.
type openStore func(context.Context) (s offsets.Store, closeStore func() error, where string, err error)

// offsetsConfig returns how the store that a configuration names is opened; nil
// if positions are with the topics.
func offsetsConfig(cfg connect.Config) (openStore, error) {
	kind := strings.ToLower(cfg.String(offsetStorage))
	family := map[string]string{"mysql": "offset.storage.jdbc.", "redis": "offset.storage.redis."}[kind]
	for _, o := range offsetOptions() {
		if o.Name != offsetStorage && cfg.Given(o.Name) && (family == "" || !strings.HasPrefix(o.Name, family)) {
			return nil, fmt.Errorf("%s: has no use with %s=%s", o.Name, offsetStorage, kind)
		}
	}
	if family != "" && !cfg.Given("namesrvAddr") {
		return nil, fmt.Errorf("%s: topics in data.dir have positions beside them, in one step with the data, and no place is better; leave it out", offsetStorage)
	}
	switch kind {
	case "mysql":
		return mysqlStore(cfg)
	case "redis":
		return redisStore(cfg)
	}
	return nil, nil
}

func mysqlStore(cfg connect.Config) (openStore, error) {
	const key = "offset.storage.jdbc.connection.url"
	if !cfg.Given(key) {
		return nil, fmt.Errorf("%s: is required for %s=mysql", key, offsetStorage)
	}
	connector, err := jdbc.Connector(cfg.String(key), cfg.String("offset.storage.jdbc.connection.user"), cfg.String("offset.storage.jdbc.connection.password"))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	table := cfg.String("offset.storage.jdbc.table.name")
	return func(ctx context.Context) (offsets.Store, func() error, string, error) {
		db := sql.OpenDB(connector)
		s, err := offsetsmysql.Open(ctx, db, table)
		if err != nil {
			return nil, nil, "", errors.Join(err, db.Close())
		}
		return s, db.Close, "table " + table + " of MySQL", nil
	}, nil
}

func redisStore(cfg connect.Config) (openStore, error) {
	o := redis.Options{Addr: cfg.String("offset.storage.redis.address"), User: cfg.String("offset.storage.redis.user"), Password: cfg.String("offset.storage.redis.password"),
		DB: int(cfg.Int("offset.storage.redis.db.index")), Key: cfg.String("offset.storage.redis.key")}
	if o.Addr == "" {
		return nil, fmt.Errorf("offset.storage.redis.address: is required for %s=redis", offsetStorage)
	}
	const trust = "offset.storage.redis.ssl.truststore.path"
	if path := cfg.String(trust); cfg.Bool("offset.storage.redis.ssl.enabled") {
		o.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
		if path != "" {
			pem, err := os.ReadFile(path)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", trust, err)
			}
			o.TLS.RootCAs = x509.NewCertPool()
			if !o.TLS.RootCAs.AppendCertsFromPEM(pem) {
				return nil, fmt.Errorf("%s: %s has no certificate in PEM", trust, path)
			}
		}
	} else if path != "" {
		return nil, fmt.Errorf("%s: has no use without offset.storage.redis.ssl.enabled=true", trust)
	}
	return func(ctx context.Context) (offsets.Store, func() error, string, error) {
		s, err := redis.Open(ctx, o)
		if err != nil {
			return nil, nil, "", err
		}
		return s, s.Close, fmt.Sprintf("%s of Redis at %s", o.Key, o.Addr), nil
	}, nil
}

// apartLog is a log with a store of its own, which is closed with it.
type apartLog struct {
	*storelog.Log
	closeStore func() error
}

// Close closes the log and then its store.
func (l apartLog) Close() error { return errors.Join(l.Log.Close(), l.closeStore()) }

// withStore puts the store that is configured beside a log, and closes the log
// if it cannot.
func withStore(ctx context.Context, log runLog, open openStore) (runLog, error) {
	if open == nil {
		if err := storelog.Home(ctx, log); err != nil {
			return nil, errors.Join(err, log.Close())
		}
		return log, nil
	}
	s, closeStore, where, err := open(ctx)
	if err != nil {
		return nil, errors.Join(err, log.Close())
	}
	l, err := storelog.Open(ctx, log, s, where)
	if err != nil {
		return nil, errors.Join(err, log.Close(), closeStore())
	}
	return apartLog{l, closeStore}, nil
}
