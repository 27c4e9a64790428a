package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

const loggerUsage = `towline logger list              the loggers of a running towline that have a level of their own
towline logger get NAME          the level that counts for one, such as connect.cluster
towline logger set NAME LEVEL    changes it, and that of all below it; -scope cluster: at all workers
`

// level is the level of a logger.
type level struct {
	Level    string
	Modified *int64 `json:"last_modified"`
}

func loggerCommand(ctx context.Context, args []string, out, errOut io.Writer) error {
	fs := flag.NewFlagSet("towline logger", flag.ContinueOnError)
	scope := fs.String("scope", "worker", "worker: the one that is asked; or cluster: all (set)")
	return verbs(ctx, "logger", loggerUsage, map[string]verb{
		"list": {0, listLoggers},
		"get":  {1, getLogger},
		"set": {2, func(ctx context.Context, c *client, args []string, out io.Writer) error {
			body, err := json.Marshal(map[string]string{"level": args[1]})
			if err != nil {
				return err
			}
			answer, err := c.ask(ctx, http.MethodPut, "/admin/loggers/"+url.PathEscape(args[0])+"?scope="+url.QueryEscape(*scope), body)
			return told(c, out, args[0]+" logs from "+strings.ToUpper(args[1])+" on")(answer, err)
		}},
	}, fs, args, out, errOut)
}

func listLoggers(ctx context.Context, c *client, _ []string, out io.Writer) error {
	var all map[string]level
	answer, err := c.into(ctx, "/admin/loggers", &all)
	if err != nil || c.json {
		return told(c, out, "")(answer, err)
	}
	return printLevels(out, all)
}

func getLogger(ctx context.Context, c *client, args []string, out io.Writer) error {
	var one level
	answer, err := c.into(ctx, "/admin/loggers/"+url.PathEscape(args[0]), &one)
	if err != nil || c.json {
		return told(c, out, "")(answer, err)
	}
	return printLevels(out, map[string]level{args[0]: one})
}

func printLevels(out io.Writer, all map[string]level) error {
	tw := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "LOGGER\tLEVEL\tCHANGED")
	for _, name := range slices.Sorted(maps.Keys(all)) {
		since := ""
		if ms := all[name].Modified; ms != nil {
			since = time.UnixMilli(*ms).UTC().Format(time.RFC3339)
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\n", name, all[name].Level, since)
	}
	return tw.Flush()
}
