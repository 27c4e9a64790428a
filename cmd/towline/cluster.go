package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/connect/cluster"
	"github.com/towline/towline/connect/cluster/assign"
	"github.com/towline/towline/connect/config"
	"github.com/towline/towline/connect/herder"
	"github.com/towline/towline/connect/rocketlog"
	"github.com/towline/towline/connect/storelog"
	"github.com/towline/towline/connect/worker"
)

// clusterOptions are the keys of a worker that shares connectors with others:
// Kafka Connect's names, and RocketMQ Connect's.
func clusterOptions() []connect.Option {
	return []connect.Option{
		{Name: "session.timeout.ms", Type: connect.TypeLong, Default: fmt.Sprint(cluster.DefaultSession.Milliseconds()), Min: 3000, Max: 600_000, Doc: "For how long a worker that is not heard of keeps its tasks; it ends them itself after three quarters of that."},
		{Name: "heartbeat.interval.ms", Type: connect.TypeLong, Default: fmt.Sprint(cluster.DefaultHeartbeat.Milliseconds()), Min: 100, Max: 200_000, Doc: "How often a worker says that it is there: at least three times in `session.timeout.ms`."},
		{Name: "scheduled.rebalance.max.delay.ms", Type: connect.TypeLong, Default: fmt.Sprint(cluster.DefaultDelay.Milliseconds()), Min: 0, Max: 600_000, Doc: "For how much longer the tasks of such a worker wait for it before others take them."},
		{Name: "allocTaskStrategy", Type: connect.TypeString, Default: assign.Default, Values: []string{"hash", "consistent", "sticky"}, Doc: "How tasks are shared out: `hash`, consistent hashing with bounded load (`consistent`), or the fewest moves for equal shares (`sticky`)."},
	}
}

// clusterConfig returns what a configuration says of the cluster.
func clusterConfig(cfg connect.Config, f *runFlags) error {
	if f.rocket == nil || f.rocket.Alone {
		for _, o := range clusterOptions() {
			if cfg.Given(o.Name) {
				if f.rocket != nil {
					return fmt.Errorf("%s: is for workers that share connectors, and workers whose positions are elsewhere do not share connectors: "+
						"one at a time runs all of them. Leave out this key, or %s", o.Name, offsetStorage)
				}
				return fmt.Errorf("%s: is for workers that share connectors over RocketMQ: name its servers in namesrvAddr, or leave it out", o.Name)
			}
		}
		return nil
	}
	f.cluster = cluster.Options{Session: cfg.Millis("session.timeout.ms"), Heartbeat: cfg.Millis("heartbeat.interval.ms"),
		Delay: cfg.Millis("scheduled.rebalance.max.delay.ms"), Strategy: strings.ToLower(cfg.String("allocTaskStrategy"))}
	if f.cluster.Delay == 0 {
		f.cluster.Delay = -1
	}
	if 3*f.cluster.Heartbeat > f.cluster.Session {
		return fmt.Errorf("heartbeat.interval.ms: has to be at most a third of session.timeout.ms, so that one that gets lost does no harm")
	}
	if len(f.listeners) == 0 {
		return fmt.Errorf("listeners: a worker that shares connectors is known to the others by where it listens; give one")
	}
	f.cluster.WorkerID = *f.advertised(f.listeners[0].addr)
	host, port, err := net.SplitHostPort(f.cluster.WorkerID)
	if err != nil || port == "0" || port == "" {
		return fmt.Errorf("listeners: the others know this worker by %q; give a port that stays, or rest.advertised.port", f.cluster.WorkerID)
	}
	if f.advertisedHost == "" && unspecific(host) {
		if host, err = os.Hostname(); err == nil && unspecific(host) {
			err = fmt.Errorf("the machine is called %q, as others are", host)
		}
		if err != nil {
			return fmt.Errorf("rest.advertised.host.name: is needed where listeners have no address of this machine alone: %w", err)
		}
		f.advertisedHost, f.cluster.WorkerID = host, net.JoinHostPort(host, port)
	}
	return nil
}

// unspecific reports whether a host is another one on each machine that asks for it,
// so that it tells no worker from others.
func unspecific(host string) bool {
	ip := net.ParseIP(host)
	return host == "" || strings.EqualFold(host, "localhost") || ip != nil && (ip.IsUnspecified() || ip.IsLoopback())
}

// runCluster runs a worker of many until ctx ends.
func runCluster(ctx context.Context, f runFlags, files []*config.File, logger *slog.Logger) error {
	tuneMemory(0)
	reg, w, plugins := parts(&f, logger)
	opts := *f.rocket
	opts.Logger = logger
	log, err := rocketlog.Open(ctx, opts)
	if err != nil {
		return envError{err}
	}
	if err := storelog.Home(ctx, log); err != nil {
		return errors.Join(err, log.Close())
	}
	log.Join(f.cluster.WorkerID)
	w.Use(log)
	f.cluster.Registry, f.cluster.Log, f.cluster.Runner, f.cluster.Logger, f.cluster.Levels = plugins, log, w, logger, f.levels
	h, err := cluster.New(ctx, f.cluster)
	if err != nil {
		return errors.Join(err, log.Close())
	}
	w.Show(clusterCollector{h.Counts})
	handler := api(&f, h, reg, w, plugins, logger)
	var address atomic.Pointer[string]
	address.Store(new(string))
	stopServing, err := serve(ctx, f, handler, &address, logger)
	if err != nil {
		return errors.Join(err, log.Close())
	}
	defer stopServing()
	mctx, stopMinding := context.WithCancel(ctx)
	defer stopMinding()
	go giveMemoryBack(mctx, w)
	logger.Info("towline runs", "version", version, "topics in", f.place(), "worker", f.cluster.WorkerID)
	// Tasks go on while the herder hands them over.
	wctx, stopTasks := context.WithCancel(context.WithoutCancel(ctx))
	tasks := make(chan error, 1)
	go func() { tasks <- w.Stay(wctx) }()
	stopReports := f.reports.start(ctx, w, func() string { return f.cluster.WorkerID }, logger)
	fctx, stopMaking := context.WithCancelCause(ctx)
	made := make(chan struct{})
	go func() {
		defer close(made)
		if err := makeConnectors(fctx, h, files, logger); err != nil {
			stopMaking(err)
		}
	}()
	err = h.Run(fctx)
	if cause := context.Cause(fctx); ctx.Err() == nil && cause != nil {
		err = errors.Join(err, cause)
	}
	stopMaking(nil)
	<-made
	stopTasks()
	stopReports()
	<-tasks // what a task of this worker has failed with is in its status
	logger.Info("towline stopped")
	return errors.Join(err, log.Close())
}

// makeConnectors makes the connectors of files, but those that are there: what the
// workers share wins over the files of one.
func makeConnectors(ctx context.Context, h herder.Connectors, files []*config.File, logger *slog.Logger) error {
	for _, f := range files {
		if err := makeConnector(ctx, h, f, logger); err != nil {
			return fmt.Errorf("%s: %w", f.Path, err)
		}
	}
	return nil
}

// makeConnector tries until it is known what came of it, or ctx ends.
func makeConnector(ctx context.Context, h herder.Connectors, f *config.File, logger *slog.Logger) error {
	for {
		_, err := h.Create(ctx, f.Name, f.Config, worker.TargetRunning)
		var fault *herder.Error
		switch isFault := errors.As(err, &fault); {
		case err == nil:
			return nil
		case isFault && fault.Kind == herder.Exists:
			logger.Info("the connector of the file is there already; the file has no say", "connector", f.Name, "file", f.Path)
			return nil
		case isFault && fault.Kind != herder.Conflict:
			return err
		}
		select {
		case <-time.After(time.Second): // not ready, or the broker is away
		case <-ctx.Done():
			return nil
		}
	}
}

var _ cluster.Runner = (*worker.Worker)(nil)
