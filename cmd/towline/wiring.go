package main

import (
	"context"
	"slices"
	"time"

	"github.com/towline/towline/cdc/charset"
	cdcmysql "github.com/towline/towline/cdc/mysql"
	"github.com/towline/towline/connect"
	"github.com/towline/towline/connect/config"
	"github.com/towline/towline/connect/convert"
	"github.com/towline/towline/connect/frame"
	"github.com/towline/towline/connect/transform"
	"github.com/towline/towline/offsets"
	"github.com/towline/towline/sinks/discard"
	"github.com/towline/towline/sinks/file"
	"github.com/towline/towline/sinks/jdbc"
	"github.com/towline/towline/sinks/webhook"
	"github.com/towline/towline/snapshot"
	snapshotmysql "github.com/towline/towline/snapshot/mysql"
)

// registry returns all plug-ins that this program has.
func registry() *config.Registry {
	return &config.Registry{
		Connectors: slices.Concat([]connect.Plugin{mysqlPlugin(), jdbc.Plugin()}, webhook.Plugins(), file.Plugins(), []connect.Plugin{discard.Plugin()}),
		Transforms: transform.Plugins(),
		Predicates: transform.Predicates(),
		Converters: append([]connect.Plugin{frame.Plugin()}, convert.Plugins()...),
	}
}

// mysqlPlugin is the MySQL source: the change stream with the snapshot woven
// into it.
func mysqlPlugin() connect.Plugin {
	p := cdcmysql.Plugin()
	p.Name, p.Aliases = "mysql", []string{"io.debezium.connector.mysql.MySqlConnector"}
	p.Doc = "Copies the tables of a MySQL server and follows its binary log."
	p.Options = slices.Concat(p.Options, snapshot.Options())
	p.Check = func(ctx context.Context, cfg connect.Config) ([]connect.Finding, error) {
		how := snapshot.ParseConfig(cfg)
		return cdcmysql.CheckFor(ctx, cfg, cdcmysql.Needs{SignalTable: how.SignalTable, Locks: how.Mode != snapshot.NoData && !how.NoLocks})
	}
	p.Resets = true // package snapshot does
	p.Seek = func(ctx context.Context, cfg connect.Config, env connect.Env, from offsets.Position, state []offsets.Entry, to map[string]any) (offsets.Position, []offsets.Entry, error) {
		rest, err := snapshot.Rest(state)
		if err != nil {
			return nil, nil, err
		}
		how := snapshot.ParseConfig(cfg)
		stream, err := mysqlStream(cfg, env, &how)
		if err != nil {
			return nil, nil, err
		}
		return stream.Seek(ctx, from, rest, to)
	}
	p.Find = func(ctx context.Context, cfg connect.Config, env connect.Env, at time.Time) (map[string]any, error) {
		stream, err := cdcmysql.New(cfg, env)
		if err != nil {
			return nil, err
		}
		return stream.Find(ctx, at)
	}
	p.Source = func(cfg connect.Config, env connect.Env) (connect.Source, error) {
		how := snapshot.ParseConfig(cfg)
		stream, err := mysqlStream(cfg, env, &how)
		if err != nil {
			return nil, err
		}
		dial, err := cdcmysql.Dialer(cfg)
		if err != nil {
			return nil, err
		}
		rows := snapshotmysql.Config{Dial: dial, Text: textDecoder, Account: "'" + cfg.String("database.user") + "'@'%'"}
		reader := func() snapshot.Reader { return snapshotmysql.New(rows) }
		editor, err := cdcmysql.NewEditor(cfg, env)
		if err != nil {
			return nil, err
		}
		how.Editor = editor
		if how.Brake, err = brake(cfg, &how.Throttle, dial); err != nil {
			return nil, err
		}
		return snapshot.New(changes{stream}, reader, how, env), nil
	}
	return p
}

// mysqlStream is the change stream of a source that reads rows as how says.
func mysqlStream(cfg connect.Config, env connect.Env, how *snapshot.Config) (*cdcmysql.Source, error) {
	stream, err := cdcmysql.New(cfg, env)
	if err != nil {
		return nil, err
	}
	stream.Whole(how.SignalTable)
	if how.Mode == snapshot.NoData {
		stream.NoReread()
	}
	if cfg.Int("topic.creation.default.partitions") > 1 {
		stream.Scattered()
	}
	return stream, nil
}

// brake returns what spares the servers while rows are read, nil if nothing is
// to be spared.
func brake(cfg connect.Config, limits *snapshot.Throttle, source snapshotmysql.Dialer) (snapshot.Brake, error) {
	if !limits.On() {
		return nil, nil
	}
	b := snapshotmysql.NewBrake(limits, source)
	for _, addr := range limits.Replicas {
		dial, err := cdcmysql.DialerTo(cfg, addr)
		if err != nil {
			return nil, err
		}
		b.Watch(addr, dial)
	}
	return b, nil
}

// changes is a change stream in the words of package snapshot.
type changes struct{ *cdcmysql.Source }

// Anchor implements snapshot.Changes.
func (c changes) Anchor(pos offsets.Position) snapshot.Anchor {
	gtids, server := c.Source.Anchor(pos)
	a := snapshot.Anchor{GTIDs: gtids, ServerUUID: server, Seq: c.SeqAt(pos)}
	a.End.File, a.End.Pos = c.Place(pos)
	return a
}

// Reached implements snapshot.Changes.
func (c changes) Reached(pos offsets.Position, high snapshot.High) bool {
	return c.Source.Reached(pos, high.File, high.Pos)
}

// textDecoder gives chunk readers the decoder of a charset.
func textDecoder(name string) (decode func(dst, src []byte) ([]byte, bool), utf8 bool) {
	c, err := charset.ByName(name)
	if err != nil {
		return nil, false
	}
	return c.Decode, c.Name() == "utf8mb4"
}
