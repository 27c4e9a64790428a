package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/connect/cluster"
	"github.com/towline/towline/connect/config"
	"github.com/towline/towline/connect/herder"
	"github.com/towline/towline/connect/loggers"
	"github.com/towline/towline/connect/pebblelog"
	"github.com/towline/towline/connect/rest"
	"github.com/towline/towline/connect/rocketlog"
	"github.com/towline/towline/connect/standalone"
	"github.com/towline/towline/connect/worker"
)

// defaultListen is Kafka Connect's port, on this machine only.
const defaultListen = "127.0.0.1:8083"

// logCheck is how often a running worker looks whether its log has failed.
const logCheck = 250 * time.Millisecond

// addressFile holds, in the data folder, where a running worker listens.
const addressFile = "listen"

type runFlags struct {
	dataDir, listen     string
	logLevel, logFormat string
	levels              *loggers.Levels
	retention           time.Duration
	retentionBytes      int64

	// Of a worker's configuration.
	stay                 bool // until it is stopped, whatever becomes of the tasks
	listeners            []listener
	accounts             []rest.Account
	origins              []string
	noTopics, keepTopics bool
	advertisedHost       string
	advertisedPort       int
	rocket               *rocketlog.Options // nil: topics are in dataDir
	store                openStore          // nil: positions are where topics are
	queues               string             // of topics by default, where they are in RocketMQ
	cluster              cluster.Options    // likewise: how workers share connectors
	reports              reports
}

func runCommand(ctx context.Context, args []string, out, errOut io.Writer) error {
	var f runFlags
	fs := flag.NewFlagSet("towline run", flag.ContinueOnError)
	fs.StringVar(&f.dataDir, "data-dir", "towline-data", "`folder` for topics and positions; made if it is not there")
	fs.StringVar(&f.listen, "listen", defaultListen, "`address` of the REST API, status, metrics and health; empty for none")
	fs.StringVar(&f.logLevel, "log-level", "info", "debug, info, warn or error")
	fs.StringVar(&f.logFormat, "log-format", "text", "text or json")
	fs.DurationVar(&f.retention, "retention", 7*24*time.Hour, "how long topics keep what all sinks have read; 0 for ever")
	fs.Int64Var(&f.retentionBytes, "retention-bytes", 0, "the most `bytes` that a partition of a topic keeps of what all sinks have read; 0 for no limit")
	files, err := parse(fs, args, errOut)
	if err != nil {
		return err
	}
	logger, err := newLogger(&f, errOut)
	if err != nil {
		return err
	}
	conns, err := loadFiles(files)
	if err != nil {
		return err
	}
	if f.listen != "" {
		f.listeners = []listener{{addr: f.listen}}
	}
	return runConnectors(ctx, f, conns, logger)
}

// newLogger returns the logger of the process, whose levels are in f from then on.
func newLogger(f *runFlags, w io.Writer) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(f.logLevel)); err != nil || !loggers.Valid(level.String()) {
		return nil, usageError{fmt.Sprintf("-log-level: %q is not one of debug, info, warn, error", f.logLevel)}
	}
	f.levels = loggers.New(level)
	all := &slog.HandlerOptions{Level: slog.Level(math.MinInt)}
	switch f.logFormat {
	case "text":
		return slog.New(f.levels.Handler(slog.NewTextHandler(w, all))), nil
	case "json":
		return slog.New(f.levels.Handler(slog.NewJSONHandler(w, all))), nil
	}
	return nil, usageError{fmt.Sprintf("-log-format: %q is neither text nor json", f.logFormat)}
}

// loadFiles reads and checks all files, and returns all faults at once.
func loadFiles(paths []string) ([]*config.File, error) {
	if len(paths) == 0 {
		return nil, usageError{"name at least one connector file"}
	}
	return checkFiles(paths)
}

// checkFiles is loadFiles for any number of files.
func checkFiles(paths []string) ([]*config.File, error) {
	reg := registry()
	var files []*config.File
	var errs []error
	for _, path := range paths {
		file, err := config.Load(path)
		if err == nil {
			if _, err = config.Build(reg, file); err == nil {
				files = append(files, file)
				continue
			}
		}
		errs = append(errs, err)
	}
	return files, errors.Join(errs...)
}

// loadConnectors returns the checked connectors of files.
func loadConnectors(paths []string) ([]*config.Connector, error) {
	files, err := loadFiles(paths)
	if err != nil {
		return nil, err
	}
	reg := registry()
	conns := make([]*config.Connector, len(files))
	for i, f := range files {
		if conns[i], err = config.Build(reg, f); err != nil {
			return nil, err
		}
	}
	return conns, nil
}

func runConnectors(ctx context.Context, f runFlags, files []*config.File, logger *slog.Logger) (err error) {
	if f.rocket != nil && !f.rocket.Alone {
		return runCluster(ctx, f, files, logger)
	}
	tuneMemory(len(files))
	reg, w, plugins := parts(&f, logger)
	var address atomic.Pointer[string] // where this process is reached
	address.Store(new(string))
	h := standalone.New(standalone.Options{Registry: plugins, Worker: w, Logger: logger, Levels: f.levels, WorkerID: func() string { return *address.Load() }})
	openLog := func(ctx context.Context) (log runLog, err error) {
		if f.rocket != nil {
			if log, err = openRocket(ctx, *f.rocket, logger); err == nil {
				log, err = withStore(ctx, log, f.store)
			}
		} else {
			log, err = openPebble(f, h.Protect, logger)
		}
		if err == nil {
			w.Use(log)
		}
		return log, err
	}
	log, err := openLog(ctx)
	if err != nil {
		return envError{err}
	}
	if err := h.Load(ctx, files); err != nil {
		return errors.Join(err, log.Close())
	}
	handler := api(&f, h, reg, w, plugins, logger)
	stopServing, err := serve(ctx, f, handler, &address, logger)
	if err != nil {
		return errors.Join(err, log.Close())
	}
	defer stopServing()
	mctx, stopMinding := context.WithCancel(ctx)
	defer stopMinding()
	go giveMemoryBack(mctx, w)
	logger.Info("towline runs", "version", version, "topics in", f.place(), "connectors", len(files))
	for {
		stopReports := f.reports.start(ctx, w, func() string { return *address.Load() }, logger)
		err = runOver(ctx, w, log, f.stay)
		stopReports()
		err = errors.Join(err, log.Close())
		if fault := log.Err(); fault == nil || ctx.Err() != nil {
			logger.Info("towline stopped")
			return err
		}
		if log, err = reopen(ctx, openLog, logger); err != nil {
			return err
		}
	}
}

// parts returns what runs tasks, with its metrics, and the plug-ins that there are.
func parts(f *runFlags, logger *slog.Logger) (*prometheus.Registry, *worker.Worker, *config.Registry) {
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	plugins := registry()
	if f.queues != "" {
		plugins.Defaults = map[string]string{queueDefault: f.queues}
	}
	return reg, worker.New(logger, worker.NewMetrics(reg)), plugins
}

// api returns the REST API of a herder whose tasks w runs.
func api(f *runFlags, h herder.Herder, reg *prometheus.Registry, w *worker.Worker, plugins *config.Registry, logger *slog.Logger) *rest.Handler {
	return rest.New(rest.Options{Herder: h, Log: w.Log, Registry: plugins, Metrics: reg, TaskMetrics: w.TaskMetrics(), Logger: logger, Version: version, Commit: commit(),
		Levels: f.levels, Accounts: f.accounts, Origins: f.origins, NoTopics: f.noTopics, KeepTopics: f.keepTopics})
}

// runLog is a log that may fail by itself.
type runLog interface {
	connect.Log
	// Err returns why it takes nothing more; nil while it does.
	Err() error
}

// place says where topics are.
func (f *runFlags) place() string {
	if f.rocket != nil {
		return "RocketMQ at " + strings.Join(f.rocket.NameServers, ";") + ", namespace " + f.rocket.Namespace
	}
	return f.dataDir
}

func openPebble(f runFlags, protect func(string, int32) (int64, bool), logger *slog.Logger) (runLog, error) {
	log, err := pebblelog.Open(pebblelog.Options{Dir: f.dataDir, Retention: f.retention, RetentionBytes: f.retentionBytes, Protect: protect, Logger: logger})
	if err != nil {
		return nil, err
	}
	return log, nil
}

// runOver runs w until ctx ends, all tasks have ended, or the log has failed:
// a log that met a full disk or the like takes nothing more until it is
// opened anew.
func runOver(ctx context.Context, w *worker.Worker, log runLog, stay bool) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		for tick := time.NewTicker(logCheck); ; {
			select {
			case <-ctx.Done():
				tick.Stop()
				return
			case <-tick.C:
				if log.Err() != nil {
					cancel()
				}
			}
		}
	}()
	run := w.Run
	if stay {
		run = w.Stay
	}
	err := run(ctx)
	cancel()
	<-watched
	return err
}

// reopen opens the log again, with pauses until that succeeds.
func reopen(ctx context.Context, open func(context.Context) (runLog, error), logger *slog.Logger) (runLog, error) {
	for pause := time.Second; ; pause = min(2*pause, 30*time.Second) {
		log, err := open(ctx)
		if err == nil {
			logger.Info("the log is open again")
			return log, nil
		}
		logger.Error("the log cannot be opened; trying again", "error", err, "pause", pause)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil, envError{err}
		}
	}
}

// commit returns the commit that the program was built from.
func commit() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				return s.Value
			}
		}
	}
	return "unknown"
}

// serve starts the HTTP side, if it is wanted.
func serve(ctx context.Context, f runFlags, h *rest.Handler, address *atomic.Pointer[string], logger *slog.Logger) (stop func(), err error) {
	if len(f.listeners) == 0 {
		return func() {}, nil
	}
	var open []net.Listener
	closeAll := func() {
		for _, l := range open {
			l.Close()
		}
	}
	for _, at := range f.listeners {
		l, err := net.Listen("tcp", at.addr)
		if err != nil {
			closeAll()
			return nil, envError{fmt.Errorf("cannot listen for REST, status and metrics: %w; choose another address with -listen (listeners of a worker), or none with -listen ''", err)}
		}
		if at.tls != nil {
			l = tls.NewListener(l, at.tls)
		}
		open = append(open, l)
	}
	address.Store(f.advertised(open[0].Addr().String()))
	forget, err := f.tell(f.url(open, 0, ""))
	if err != nil {
		closeAll()
		return nil, envError{err}
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx)) // answers until all else has stopped
	var serving sync.WaitGroup
	for i, l := range open {
		serving.Go(func() {
			if err := rest.Serve(ctx, l, h); err != nil {
				logger.Error("REST, status and metrics are not served any more", "error", err)
			}
		})
		logger.Info("REST, status and metrics", "url", f.url(open, i, "http://"))
	}
	return func() {
		cancel()
		serving.Wait()
		forget()
	}, nil
}

// tell writes down for commands where this process is reached. Without a data
// folder they must be told.
func (f *runFlags) tell(url string) (forget func(), err error) {
	if f.dataDir == "" {
		return func() {}, nil
	}
	path := filepath.Join(f.dataDir, addressFile)
	return func() { os.Remove(path) }, os.WriteFile(path, []byte(url+"\n"), 0o644)
}

// url returns where a listener is reached; plain stands before one in clear.
func (f *runFlags) url(open []net.Listener, i int, plain string) string {
	if f.listeners[i].tls != nil {
		plain = "https://"
	}
	return plain + open[i].Addr().String()
}

// advertised returns the name of a worker that listens at addr.
func (f *runFlags) advertised(addr string) *string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return &addr
	}
	if f.advertisedHost != "" {
		host = f.advertisedHost
	}
	if f.advertisedPort != 0 {
		port = fmt.Sprint(f.advertisedPort)
	}
	name := net.JoinHostPort(host, port)
	return &name
}
