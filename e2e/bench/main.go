package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/towline/towline/e2e/bench/peers"
)

// bench is one run of the program.
type bench struct {
	rows  int
	runs  int
	quick bool
	bin   string
	dir   string
	peers []string // chosen; empty: all at hand
	tools *peers.Tools

	lines []line
	began time.Time
	most  int64 // memory of ours in all figures
}

// figure is a part of the program: some lines that are measured together.
type figure struct {
	name string // what -only is compared with
	run  func(context.Context) error
}

func (b *bench) figures() []figure {
	return []figure{
		{"moves", b.moves},
		{"decode", b.decode},
		{"log", b.toLog},
		{"rocketmq", b.rocketmq},
		{"snapshot", b.snapshot},
		{"latency", b.latency},
		{"beside", b.latencyBesideCopy},
		{"start", b.start},
		{"idle", b.idle},
		{"tables", b.manyTables},
		{"partitions", b.manyPartitions},
		{"follow", b.follow},
		{"sysbench", b.sysbench},
		{"copy", b.copyTables},
		{"debezium", b.debezium},
		{"large", b.largeTransaction},
	}
}

func main() {
	b := &bench{began: time.Now()}
	flag.IntVar(&b.rows, "rows", 0, "rows in the tables; default 1000000, 200000 with -quick")
	flag.IntVar(&b.runs, "runs", 2, "runs of each side")
	flag.BoolVar(&b.quick, "quick", false, "small tables and loads, to see that all works")
	flag.StringVar(&b.bin, "towline", "bin/towline", "the `program` to measure; built if it is not there")
	only := flag.String("only", "", "parts of the names of the figures to measure, separated by commas: "+names((&bench{}).figures()))
	keep := flag.Bool("keep", false, "add the table to e2e/bench/results.md")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	b.peers = strings.FieldsFunc(os.Getenv("PEERS"), func(r rune) bool { return r == ',' || r == ' ' })
	if b.rows == 0 {
		b.rows = 1000000
		if b.quick {
			b.rows = 200000
		}
	}
	if err := b.main(ctx, strings.Split(*only, ","), *keep); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func names(all []figure) string {
	var list []string
	for _, f := range all {
		list = append(list, f.name)
	}
	return strings.Join(list, ", ")
}

// ourselves is the peer that is Towline in another setting.
const ourselves = "towline"

// wants reports whether a peer is to be measured, and can be.
func (b *bench) wants(peer string) bool {
	return peer == ourselves || (len(b.peers) == 0 || slices.Contains(b.peers, peer)) && b.tools.Has(peer)
}

// report prints a line and keeps it.
func (b *bench) report(l line) {
	b.most = max(b.most, l.peak)
	b.lines = append(b.lines, l)
	fmt.Println(l.String())
}

// progress says on the standard error what is being done.
func (b *bench) progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%4.0f s  %s\n", time.Since(b.began).Seconds(), fmt.Sprintf(format, args...))
}

func (b *bench) settings() string {
	chosen := "all"
	if len(b.peers) > 0 {
		chosen = strings.Join(b.peers, " ")
	}
	return fmt.Sprintf("%d rows, %d runs of each side in turns, quick=%v, peers: %s; servers with innodb-flush-log-at-trx-commit=2, sync-binlog=0, buffer pool 1 GB, binlog cache 8 MB, all on this machine; no TLS beside a replica, mydumper and myloader; took %s",
		b.rows, b.runs, b.quick, chosen, time.Since(b.began).Round(time.Second))
}

func (b *bench) main(ctx context.Context, only []string, keep bool) error {
	var err error
	if b.bin, err = filepath.Abs(b.bin); err != nil {
		return err
	}
	if b.dir, err = os.MkdirTemp("", "towline-bench-"); err != nil {
		return err
	}
	defer os.RemoveAll(b.dir)
	if err := b.build(ctx); err != nil {
		return err
	}
	b.tools = peers.Find()
	b.progress("%s", machine())
	var failed []error
	for _, f := range b.figures() {
		if !slices.ContainsFunc(only, func(o string) bool { return strings.Contains(f.name, strings.TrimSpace(o)) }) {
			continue
		}
		b.progress("%s ...", f.name)
		if err := f.run(ctx); err != nil { // the others are still worth something
			failed = append(failed, fmt.Errorf("%s: %w", f.name, err))
			b.progress("%s: %v", f.name, err)
		}
		if ctx.Err() != nil {
			return errors.Join(failed...)
		}
	}
	b.report(line{name: "peak_memory", value: float64(b.most >> 20), unit: "MB", mark: atMost(300), note: "the most of all figures"})
	if keep {
		failed = append(failed, b.keepResults(ctx))
	}
	return errors.Join(failed...)
}

// build makes the program where it is not there.
func (b *bench) build(ctx context.Context) error {
	if _, err := os.Stat(b.bin); err == nil {
		return nil
	}
	cmd := exec.CommandContext(ctx, "make", "build")
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("make build: %w", err)
	}
	return nil
}
