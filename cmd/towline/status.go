package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/url"
	"text/tabwriter"
	"time"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/connect/worker"
)

func statusCommand(ctx context.Context, args []string, out, errOut io.Writer) error {
	fs := flag.NewFlagSet("towline status", flag.ContinueOnError)
	var c client
	c.flags(fs)
	fs.BoolVar(&c.json, "json", false, "print JSON")
	wait := fs.Bool("wait", false, "wait until all that the sources had committed when asked has arrived")
	timeout := fs.Duration("timeout", time.Hour, "the longest wait")
	if rest, err := parse(fs, args, errOut); err != nil {
		return err
	} else if len(rest) > 0 {
		return usageError{fmt.Sprintf("status takes no argument %q", rest[0])}
	}
	path := "/v1/status"
	if *wait {
		path += "?" + url.Values{"wait": {timeout.String()}}.Encode()
	}
	var st worker.Status
	body, err := c.into(ctx, path, &st)
	if err != nil {
		return err
	}
	if c.json {
		_, err = out.Write(body)
	} else {
		err = printStatus(out, &st, *wait)
	}
	if err == nil && *wait {
		err = incomplete(&st)
	}
	return err
}

// tableOf names a table. One that a sink has stopped is one of the source's, too.
func tableOf(c *worker.ConnectorStatus, t *connect.TableStatus) string {
	if c.Type == "sink" {
		return t.Table + " in " + c.Name
	}
	return t.Table
}

// incomplete returns what a wait does not wait for, since it would never end:
// tables that are stopped and tasks that are given up. Whoever waited must not
// take the targets for complete.
func incomplete(st *worker.Status) error {
	var errs []error
	for _, c := range st.Connectors {
		for _, t := range c.Tasks {
			if t.State == worker.StateFailed {
				errs = append(errs, fmt.Errorf("task %s-%d has failed: %s", c.Name, t.ID, t.Trace))
			}
		}
		for _, t := range c.Tables {
			if t.State == connect.TableStopped {
				errs = append(errs, fmt.Errorf("table %s of %s is stopped: %s", t.Table, c.Name, t.Reason))
			}
		}
	}
	if len(errs) == 0 {
		return nil
	}
	return fmt.Errorf("not all can arrive:\n%w", errors.Join(errs...))
}

// printStatus prints st; waited says that all that was committed before it was
// asked for has arrived, whatever has come since.
func printStatus(out io.Writer, st *worker.Status, waited bool) error {
	tw := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "CONNECTOR\tTYPE\tSTATE\tWRITTEN\tDEAD\tLAG\tPOSITION")
	for _, c := range st.Connectors {
		lag := "0"
		if c.LagMessages > 0 {
			lag = fmt.Sprintf("%d messages, %.1f s", c.LagMessages, c.LagSeconds)
		}
		for _, t := range c.Tasks {
			fmt.Fprintf(tw, "%s-%d\t%s %s\t%s\t%d\t%d\t%s\t%s\n", c.Name, t.ID, c.Class, c.Type, t.State, c.Records.Written, c.Records.Dead, lag, c.Position)
		}
	}
	fmt.Fprintln(tw)
	fmt.Fprintln(tw, "TABLE\tSTATE\tROWS\tOF ABOUT\tENDS IN\tREASON")
	for _, c := range st.Connectors {
		for _, t := range c.Tables {
			fmt.Fprintf(tw, "%s\t%s\t%d\t%d\t%s\t%s\n", tableOf(&c, &t), t.State, t.Rows, t.Total, eta(&t, st.Time), t.Reason)
		}
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	for _, c := range st.Connectors {
		if c.Limit != "" {
			fmt.Fprintf(out, "\n%s: %s", c.Name, c.Limit)
		}
	}
	fmt.Fprintln(out)
	for _, c := range st.Connectors {
		for _, t := range c.Tasks {
			if t.Trace != "" {
				fmt.Fprintf(out, "\n%s-%d: %s\n", c.Name, t.ID, t.Trace)
			}
		}
	}
	switch {
	case waited && incomplete(st) != nil: // the caller says it
	case waited:
		fmt.Fprintln(out, "\nAll that was committed before has arrived.")
	case st.Arrived:
		fmt.Fprintln(out, "\nAll that was committed has arrived.")
	default:
		fmt.Fprintln(out, "\nNot all has arrived:", st.Waiting)
	}
	return nil
}

// eta estimates when a table's snapshot ends, from its speed so far.
func eta(t *connect.TableStatus, now time.Time) string {
	if t.State != connect.TableCopying || t.Rows == 0 || t.Total <= t.Rows || t.Started == 0 {
		return ""
	}
	took := now.Sub(time.UnixMicro(t.Started))
	left := time.Duration(float64(took) * float64(t.Total-t.Rows) / float64(t.Rows))
	return left.Round(time.Second).String()
}
