package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"time"

	"github.com/towline/towline/connect"
)

// checkTimeout bounds the checks of one connector.
const checkTimeout = 60 * time.Second

func doctorCommand(ctx context.Context, args []string, out, errOut io.Writer) error {
	fs := flag.NewFlagSet("towline doctor", flag.ContinueOnError)
	files, err := parse(fs, args, errOut)
	if err != nil {
		return err
	}
	conns, err := loadConnectors(files)
	if err != nil {
		return err
	}
	faults := 0
	for _, c := range conns {
		fmt.Fprintf(out, "%s (%s)\n", c.Name, c.Plugin.Name)
		if c.Plugin.Check == nil {
			fmt.Fprintln(out, "  ok    nothing to check outside")
			continue
		}
		cctx, cancel := context.WithTimeout(ctx, checkTimeout)
		findings, err := c.Plugin.Check(cctx, c.Config)
		cancel()
		if err != nil {
			findings = append(findings, connect.Finding{Fatal: true, What: err.Error()})
		}
		faults += printFindings(out, findings)
	}
	switch faults {
	case 0:
		fmt.Fprintln(out, "\nNothing keeps Towline from working.")
		return nil
	case 1:
		fmt.Fprintln(out, "\n1 fault keeps Towline from working.")
	default:
		fmt.Fprintf(out, "\n%d faults keep Towline from working.\n", faults)
	}
	return envError{errSaid}
}

// printFindings prints one connector's findings and returns how many of them
// are fatal.
func printFindings(out io.Writer, findings []connect.Finding) int {
	faults := 0
	for _, f := range findings {
		mark := "ok   "
		switch {
		case f.OK:
		case f.Fatal:
			mark = "FAULT"
			faults++
		default:
			mark = "warn "
		}
		fmt.Fprintf(out, "  %s %s\n", mark, f.What)
		if f.Fix != "" && !f.OK {
			fmt.Fprintf(out, "        mend it: %s\n", f.Fix)
		}
	}
	return faults
}
