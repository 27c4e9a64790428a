package main

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"github.com/towline/towline/e2e/process"
)

// view shows what happens, once a second.
type view struct {
	servers *servers
	tow     *process.Process
	shop    *shop
	tty     bool

	last    time.Time
	changes int64
	written int64
	lines   int
}

// show prints until ctx ends.
func (v *view) show(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			v.once(ctx)
		}
	}
}

// once prints one picture, over the last one where that can be done.
func (v *view) once(ctx context.Context) {
	st, err := v.tow.Status(ctx)
	if err != nil {
		return // towline is busy or stopping; the next second shows more
	}
	var b strings.Builder
	now := time.Now()
	secs := now.Sub(v.last).Seconds()
	changes := v.shop.changes.Load()
	var written int64
	var lag string
	for _, c := range st.Connectors {
		if c.Type == "sink" {
			written = c.Records.Written
			lag = fmt.Sprintf("%d messages, %.1f s", c.LagMessages, c.LagSeconds)
		}
		for _, t := range c.Tasks {
			if t.Trace != "" {
				fmt.Fprintf(&b, "  %s: %s: %s\n", c.Name, t.State, t.Trace)
			}
		}
	}
	if !v.last.IsZero() {
		fmt.Fprintf(&b, "%s  the shop changes %6.0f rows/s; Towline applies %7.0f records/s; behind: %s\n", now.Format("15:04:05"),
			float64(changes-v.changes)/secs, float64(written-v.written)/secs, lag)
	}
	v.last, v.changes, v.written = now, changes, written
	v.tables(ctx, &b, st)
	if v.tty && v.lines > 0 {
		fmt.Printf("\x1b[%dA\x1b[J", v.lines)
	}
	fmt.Print(b.String())
	v.lines = strings.Count(b.String(), "\n")
}

func (v *view) tables(ctx context.Context, b *strings.Builder, st *process.Status) {
	states := map[string]string{}
	for _, c := range st.Connectors {
		for _, t := range c.Tables {
			text := t.State
			switch {
			case t.State == "copying" && t.Total > 0:
				text = fmt.Sprintf("copying %3.0f %%", min(100, 100*float64(t.Rows)/float64(t.Total)))
				if took := time.Since(time.UnixMicro(t.Started)).Seconds(); t.Rows > 0 && t.Total > t.Rows {
					text += fmt.Sprintf(", ends in %.0f s", took*float64(t.Total-t.Rows)/float64(t.Rows))
				}
			case t.Reason != "":
				text += ": " + t.Reason
			}
			states[t.Table] = text
		}
	}
	for _, name := range shopTables {
		fmt.Fprintf(b, "  %-18s %-28s rows: source %8s, target %8s\n", name, states[shopDB+"."+name],
			count(ctx, v.servers.source, name), count(ctx, v.servers.target, name))
	}
}

func count(ctx context.Context, db *sql.DB, table string) string {
	var n int64
	if err := db.QueryRowContext(ctx, "SELECT COUNT(*) FROM "+shopDB+"."+table).Scan(&n); err != nil {
		return "-"
	}
	return fmt.Sprint(n)
}
