package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"text/tabwriter"

	"github.com/towline/towline/connect/deadletter"
	"github.com/towline/towline/connect/worker"
)

const dlqUsage = `towline dlq list NAME         the dead letters of a connector: records that it could not process
towline dlq show NAME ID      one of them, with its values
towline dlq retry NAME ID     sends it again, once what was wrong is mended; -force also if its row has changed since
towline dlq drop NAME ID      nobody wants it

For retry and drop, ID may be all.
`

func dlqCommand(ctx context.Context, args []string, out, errOut io.Writer) error {
	fs := flag.NewFlagSet("towline dlq", flag.ContinueOnError)
	state := fs.String("state", "open", "which are listed: open, sent, dropped or all (list)")
	force := fs.Bool("force", false, "send again what would overwrite a newer state of its row (retry)")
	return verbs(ctx, "dlq", dlqUsage, map[string]verb{
		"list": {1, func(ctx context.Context, c *client, args []string, out io.Writer) error {
			return listLetters(ctx, c, args[0], *state, out)
		}},
		"show": {2, showLetter},
		"retry": {2, func(ctx context.Context, c *client, args []string, out io.Writer) error {
			return retryLetters(ctx, c, args[0], args[1], *force, out)
		}},
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

// retryBatch is how many letters one request sends again.
const retryBatch = 100

func retryLetters(ctx context.Context, c *client, name, which string, force bool, out io.Writer) error {
	if which != "all" {
		path := fmt.Sprintf("%s/%s/retry?force=%v", lettersPath(name), url.PathEscape(which), force)
		return told(c, out, "sent "+which)(c.ask(ctx, http.MethodPost, path, nil))
	}
	var ids []int64
	_, err := eachPage(ctx, c, name, string(deadletter.Open), func(_ []byte, p deadletter.Page) error {
		for i := range p.Letters {
			ids = append(ids, p.Letters[i].ID)
		}
		return nil
	})
	if err != nil {
		return err
	}
	sent := 0
	for batch := range slices.Chunk(ids, retryBatch) {
		n, err := retryBatchOf(ctx, c, name, batch, force, out)
		if sent += n; err != nil {
			return err
		}
	}
	if !c.json {
		fmt.Fprintf(out, "sent %d of %d\n", sent, len(ids))
	}
	if sent < len(ids) {
		return errors.Join(fmt.Errorf("%d dead letters were not taken", len(ids)-sent), errSaid)
	}
	return nil
}

// retryBatchOf sends some letters again, prints what is wrong with those that
// are not taken, and returns how many are.
func retryBatchOf(ctx context.Context, c *client, name string, ids []int64, force bool, out io.Writer) (sent int, err error) {
	body, err := json.Marshal(map[string]any{"ids": ids, "force": force})
	if err != nil {
		return 0, err
	}
	answer, err := c.ask(ctx, http.MethodPost, "/v1/connectors/"+url.PathEscape(name)+"/retry", body)
	if err != nil {
		return 0, err
	}
	var done struct{ Letters []worker.Retried }
	if err := json.Unmarshal(answer, &done); err != nil {
		return 0, fmt.Errorf("the answer is not that of a retry: %w", err)
	}
	if c.json {
		_, err = out.Write(answer)
	}
	for _, l := range done.Letters {
		if l.State == deadletter.Sent {
			sent++
		} else if !c.json {
			fmt.Fprintf(out, "%d: %s\n", l.ID, firstLine(l.Error))
		}
	}
	return sent, err
}
