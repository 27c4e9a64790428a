package main

import (
	"context"
	"flag"
	"fmt"
	"io"
)

// healthCommand asks the running one whether requests can be answered: for
// containers, in which there is nothing else to ask with.
func healthCommand(ctx context.Context, args []string, out, errOut io.Writer) error {
	fs := flag.NewFlagSet("towline health", flag.ContinueOnError)
	var c client
	c.flags(fs)
	if rest, err := parse(fs, args, errOut); err != nil {
		return err
	} else if len(rest) > 0 {
		return usageError{fmt.Sprintf("health takes no argument %q", rest[0])}
	}
	body, err := c.ask(ctx, "GET", "/health", nil)
	if err != nil {
		return err
	}
	_, err = out.Write(body)
	return err
}
