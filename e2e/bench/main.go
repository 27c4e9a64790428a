// Command bench measures Towline on the machine at hand, each figure beside a
// peer or a limit that is measured in the same run, and prints a line for
// each:
//
//	name value unit ratio-against
//
// Absolute values say little on a noisy machine; ratios of one run say more.
// Runs of ours and of the peer alternate (A B A B), medians are compared, and
// the spread of equal runs (A/A) is printed with them. Rows are counted where
// they arrive. With -keep the table is added to e2e/bench/results.md.
//
// PEERS= in the environment chooses peers: a list of go-mysql, replica,
// mysqldump; empty for all that are at hand.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// figure is one line of the outcome.
type figure struct {
	name    string
	value   float64
	unit    string
	ratio   float64 // to the peer; 0: there is none
	against string
	spread  float64 // of equal runs, in percent
}

func (f figure) String() string {
	s := fmt.Sprintf("%-32s %12.0f %-8s", f.name, f.value, f.unit)
	if f.ratio > 0 {
		s += fmt.Sprintf(" %6.2f x %s", f.ratio, f.against)
	}
	if f.spread > 0 {
		s += fmt.Sprintf("  (A/A spread %.0f %%)", f.spread)
	}
	return s
}

// bench is one run of the program.
type bench struct {
	rows   int
	runs   int
	bin    string
	dir    string
	peers  []string
	figure func(figure)
}

// wants reports whether a peer is to be measured.
func (b *bench) wants(peer string) bool { return len(b.peers) == 0 || slices.Contains(b.peers, peer) }

func main() {
	b := &bench{}
	flag.IntVar(&b.rows, "rows", 300000, "rows in the tables")
	flag.IntVar(&b.runs, "runs", 2, "runs of each side")
	flag.StringVar(&b.bin, "towline", "bin/towline", "the `program` to measure")
	only := flag.String("only", "", "part of the names of the figures to measure: decode, log, snapshot, follow, copy")
	keep := flag.Bool("keep", false, "add the table to e2e/bench/results.md")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if p := os.Getenv("PEERS"); p != "" {
		b.peers = strings.FieldsFunc(p, func(r rune) bool { return r == ',' || r == ' ' })
	}
	if err := b.main(ctx, *only, *keep); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func (b *bench) main(ctx context.Context, only string, keep bool) error {
	var err error
	if b.bin, err = filepath.Abs(b.bin); err != nil {
		return err
	}
	if b.dir, err = os.MkdirTemp("", "towline-bench-"); err != nil {
		return err
	}
	defer os.RemoveAll(b.dir)
	var lines []string
	b.figure = func(f figure) {
		lines = append(lines, f.String())
		fmt.Println(f)
	}
	fmt.Println(machine())
	for _, part := range []struct {
		name string
		run  func(context.Context) error
	}{{"decode", b.decode}, {"log", b.toLog}, {"snapshot", b.snapshot}, {"follow", b.follow}, {"copy", b.copyTables}} {
		if !strings.Contains(part.name, only) {
			continue
		}
		if err := part.run(ctx); err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
	}
	if keep {
		return keepResults(lines)
	}
	return nil
}

// measured is the rows per second of equal runs.
type measured []float64

func (m measured) median() float64 {
	s := slices.Sorted(slices.Values(m))
	if n := len(s); n%2 == 0 {
		return (s[n/2-1] + s[n/2]) / 2
	}
	return s[len(s)/2]
}

// spread is how far equal runs lie apart, in percent of their median.
func (m measured) spread() float64 {
	return 100 * (slices.Max(m) - slices.Min(m)) / m.median()
}

// race is a figure of rows that ours and a peer bring over, each by a func
// that does it once and returns the time it took.
type race struct {
	name    string
	rows    int
	ours    func(context.Context) (time.Duration, error)
	peer    string // as PEERS names it
	against string // what it does
	theirs  func(context.Context) (time.Duration, error)
}

// versus runs ours and the peer, where it is wanted, in turns and prints the
// outcome.
func (b *bench) versus(ctx context.Context, r race) error {
	var ours, theirs measured
	for range b.runs {
		took, err := r.ours(ctx)
		if err != nil {
			return err
		}
		ours = append(ours, float64(r.rows)/took.Seconds())
		if !b.wants(r.peer) {
			continue
		}
		if took, err = r.theirs(ctx); err != nil {
			return fmt.Errorf("%s: %w", r.against, err)
		}
		theirs = append(theirs, float64(r.rows)/took.Seconds())
	}
	f := figure{name: r.name, value: ours.median(), unit: "rows/s", spread: ours.spread()}
	if len(theirs) > 0 {
		f.ratio, f.against = ours.median()/theirs.median(), r.against
	}
	b.figure(f)
	return nil
}
