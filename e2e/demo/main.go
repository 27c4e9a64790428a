// Command demo shows Towline at its main job: it copies a small shop's
// database from one MySQL server to another while the shop is open, follows
// every change, shows live what happens, and at the end compares both sides
// value by value.
//
// It starts its own two servers, unless DEMO_SOURCE and DEMO_TARGET name
// running ones (user:password@tcp(host:port)/). Everything is kept in the
// demo's data folder: stopped with Ctrl-C and started again, it goes on where
// it was.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/towline/towline/e2e/oracle"
	"github.com/towline/towline/e2e/process"
)

func main() {
	duration := flag.Duration("for", 45*time.Second, "how long the shop is open")
	rows := flag.Int("rows", 400000, "orders in the shop when it opens first")
	dir := flag.String("dir", "demo-data", "the demo's data `folder`")
	bin := flag.String("towline", "bin/towline", "the `program` to show")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, *duration, *rows, *dir, *bin)
	switch {
	case err == nil:
	case ctx.Err() != nil:
		fmt.Println("\nStopped. Run it again and it goes on where it was.")
	default:
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, open time.Duration, rows int, dir, bin string) (err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	servers, err := startServers(ctx, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, servers.stop()) }()
	shop := &shop{db: servers.source}
	if err := shop.fill(ctx, rows); err != nil {
		return fmt.Errorf("fill the shop: %w", err)
	}
	tow, err := startTowline(ctx, dir, bin, servers)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, tow.Stop()) }()

	fmt.Printf("The shop is open for %s: orders come in while Towline copies and follows. Ctrl-C stops.\n\n", open)
	sctx, closeShop := context.WithTimeout(ctx, open)
	defer closeShop()
	closed := make(chan error, 1)
	go func() { closed <- shop.sell(sctx) }()
	view := &view{servers: servers, tow: tow, shop: shop, tty: isTerminal()}
	view.show(sctx)
	if err := <-closed; err != nil && sctx.Err() == nil {
		return err
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return compare(ctx, servers, tow, view)
}

// compare waits until all has arrived and looks for differences.
func compare(ctx context.Context, s *servers, tow *process.Process, view *view) error {
	fmt.Println("\nThe shop is closed. Waiting until all that was committed has arrived ...")
	begin := time.Now()
	if err := tow.Wait(ctx, 10*time.Minute); err != nil {
		return err
	}
	fmt.Printf("All has arrived, %s after the last order.\n", time.Since(begin).Round(time.Millisecond))
	view.once(ctx)
	diffs, err := oracle.Compare(ctx, s.source, shopDB, s.target, shopDB)
	if err != nil {
		return err
	}
	if len(diffs) > 0 {
		return fmt.Errorf("source and target differ:\n%s", strings.Join(diffs, "\n"))
	}
	fmt.Println("\nSource and target are equal, value by value.")
	return nil
}

func isTerminal() bool {
	info, err := os.Stdout.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
