package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"text/tabwriter"

	"github.com/towline/towline/connect/deadletter"
)

const dlqUsage = `towline dlq list NAME         the dead letters of a connector: records that it could not process
towline dlq show NAME ID      one of them, with its values
towline dlq drop NAME ID      nobody wants it; ID may be all
`

func dlqCommand(ctx context.Context, args []string, out, errOut io.Writer) error {
	fs := flag.NewFlagSet("towline dlq", flag.ContinueOnError)
	state := fs.String("state", "open", "which are listed: open, sent, dropped or all (list)")
	return verbs(ctx, "dlq", dlqUsage, map[string]verb{
		"list": {1, func(ctx context.Context, c *client, args []string, out io.Writer) error {
			return listLetters(ctx, c, args[0], *state, out)
		}},
		"show": {2, showLetter},
		"drop": {2, dropLetters},
	}, fs, args, out, errOut)
}

func lettersPath(name string) string {
	return "/v1/connectors/" + url.PathEscape(name) + "/deadletters"
}

// eachPage calls do with the pages of dead letters, and returns the end.
func eachPage(ctx context.Context, c *client, name, state string, do func(answer []byte, p deadletter.Page) error) (end int64, err error) {
	for from := int64(0); ; {
		var p deadletter.Page
		answer, err := c.into(ctx, fmt.Sprintf("%s?state=%s&from=%d&limit=%d", lettersPath(name), url.QueryEscape(state), from, deadletter.MaxLimit), &p)
		if err == nil {
			err = do(answer, p)
		}
		if err != nil || p.Next == nil {
			return p.End, err
		}
		from = *p.Next
	}
}

func listLetters(ctx context.Context, c *client, name, state string, out io.Writer) error {
	tw := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	if !c.json {
		fmt.Fprintln(tw, "ID\tSTATE\tTIME\tTABLE\tOP\tKEY\tFROM\tSTAGE\tCAUSE")
	}
	_, err := eachPage(ctx, c, name, state, func(answer []byte, p deadletter.Page) error {
		if c.json {
			_, err := out.Write(answer)
			return err
		}
		for i := range p.Letters {
			l := &p.Letters[i]
			fmt.Fprintf(tw, "%d\t%s\t%s\t%s\t%s\t%s\t%s/%d/%d\t%s\t%s\n", l.ID, l.State, l.Died, l.Table, l.Op, l.Key,
				l.Topic, l.Partition, l.Offset, l.Stage, firstLine(l.Error))
		}
		return tw.Flush()
	})
	return err
}

// firstLine returns what of a text fits into a table.
func firstLine(text string) string {
	line, _, _ := bytes.Cut([]byte(text), []byte{'\n'})
	return string(line)
}

func showLetter(ctx context.Context, c *client, args []string, out io.Writer) error {
	answer, err := c.ask(ctx, http.MethodGet, lettersPath(args[0])+"/"+url.PathEscape(args[1]), nil)
	if err != nil || c.json {
		return told(c, out, "")(answer, err)
	}
	var text bytes.Buffer
	if err := json.Indent(&text, answer, "", "  "); err != nil {
		return fmt.Errorf("the answer is not a dead letter: %w", err)
	}
	_, err = text.WriteTo(out)
	return err
}

func dropLetters(ctx context.Context, c *client, args []string, out io.Writer) error {
	name, which := args[0], args[1]
	if which != "all" {
		return told(c, out, "dropped "+which)(c.ask(ctx, http.MethodDelete, lettersPath(name)+"/"+url.PathEscape(which), nil))
	}
	var p deadletter.Page // those that there are now, and none that comes
	if _, err := c.into(ctx, lettersPath(name)+"?limit=1", &p); err != nil {
		return err
	}
	var done struct{ Dropped int }
	answer, err := c.ask(ctx, http.MethodDelete, lettersPath(name)+"?through="+strconv.FormatInt(max(p.End-1, 0), 10), nil)
	if err == nil {
		err = json.Unmarshal(answer, &done)
	}
	return told(c, out, fmt.Sprintf("dropped %d", done.Dropped))(answer, err)
}
