package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/connect/worker"
)

const snapshotUsage = `towline snapshot start EXPR...    copy tables again, or for the first time, while all others flow;
                                  a table that is stopped is followed again
towline snapshot stop [EXPR...]   end copies that were started so; the tables are followed as before
towline snapshot pause            keep all copies of a source from going on
towline snapshot resume           let them go on
towline snapshot status           how far each table is copied

An EXPR is an expression that matches the whole of database.table: 'shop\.orders', 'shop\..*'.
`

// snapshotFlags are what the command line says.
type snapshotFlags struct {
	client
	connector string
	where     []string
}

func snapshotCommand(ctx context.Context, args []string, out, errOut io.Writer) error {
	verbs := map[string]string{"start": "execute-snapshot", "stop": "stop-snapshot", "pause": "pause-snapshot", "resume": "resume-snapshot", "status": ""}
	fs := flag.NewFlagSet("towline snapshot", flag.ContinueOnError)
	var f snapshotFlags
	f.flags(fs)
	fs.StringVar(&f.connector, "connector", "", "`name` of the source, if there are several")
	fs.Func("where", "`EXPR=CONDITION`: of the tables that EXPR matches copy only rows for which an SQL condition holds (start; may be repeated)", func(s string) error {
		f.where = append(f.where, s)
		return nil
	})
	fs.Usage = func() {
		fmt.Fprint(errOut, snapshotUsage, "\n")
		fs.PrintDefaults()
	}
	rest, err := parse(fs, args, errOut)
	if err != nil {
		return err
	}
	if len(rest) == 0 {
		return usageError{"what is to be done?\n\n" + snapshotUsage}
	}
	kind, ok := verbs[rest[0]]
	if !ok {
		return usageError{fmt.Sprintf("there is no snapshot %q\n\n%s", rest[0], snapshotUsage)}
	}
	if kind == "" {
		return copiesStatus(ctx, f, rest[1:], out)
	}
	data, err := signalData(f.where, rest[1:])
	if err != nil {
		return err
	}
	did, err := send(ctx, f, connect.Signal{ID: fmt.Sprintf("towline-%d", time.Now().UnixMicro()), Type: kind, Data: data})
	for _, line := range did {
		fmt.Fprintln(out, line)
	}
	return err
}

// runningAddress returns where a running towline listens.
func runningAddress(addr, dir string) (string, error) {
	if addr != "" {
		return addr, nil
	}
	b, err := os.ReadFile(filepath.Join(dir, addressFile))
	if err != nil {
		return "", envError{fmt.Errorf("no running towline is known in %s (%w); name its folder with -data-dir or its address with -address", dir, err)}
	}
	return strings.TrimSpace(string(b)), nil
}

// signalData returns the data of a signal, as Debezium has it.
func signalData(where, tables []string) (json.RawMessage, error) {
	type condition struct {
		Collection string `json:"data-collection"`
		Filter     string `json:"filter"`
	}
	var d struct {
		Collections []string    `json:"data-collections,omitempty"`
		Conditions  []condition `json:"additional-conditions,omitempty"`
	}
	d.Collections = tables
	for _, w := range where {
		expr, cond, ok := strings.Cut(w, "=")
		if !ok {
			return nil, usageError{fmt.Sprintf("-where %q is not EXPR=CONDITION, as in 'shop\\.orders=price > 100'", w)}
		}
		d.Conditions = append(d.Conditions, condition{expr, cond})
	}
	return json.Marshal(d)
}

// send sends a signal and returns what it did.
func send(ctx context.Context, f snapshotFlags, s connect.Signal) ([]string, error) {
	body, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	path := "/v1/signals?" + url.Values{"connector": {f.connector}}.Encode()
	b, err := f.ask(ctx, http.MethodPost, path, body)
	var refused usageError
	if errors.As(err, &refused) { // not by its form: the running one cannot do it
		return nil, errors.New(refused.text)
	}
	if err != nil {
		return nil, err
	}
	var answer struct {
		Did []string `json:"did"`
	}
	if err := json.Unmarshal(b, &answer); err != nil {
		return nil, fmt.Errorf("the answer is not that to a signal: %w", err)
	}
	return answer.Did, nil
}

// copiesStatus prints how far the copies are.
func copiesStatus(ctx context.Context, f snapshotFlags, tables []string, out io.Writer) error {
	if len(tables) > 0 {
		return usageError{"snapshot status shows all tables; leave the expressions out"}
	}
	var st worker.Status
	if _, err := f.into(ctx, "/v1/status", &st); err != nil {
		return err
	}
	tw := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "TABLE\tSTATE\tROWS\tOF ABOUT\tSTARTED\tENDED\tENDS IN\tREASON")
	for _, c := range st.Connectors {
		if f.connector != "" && c.Name != f.connector {
			continue
		}
		for _, t := range c.Tables {
			fmt.Fprintf(tw, "%s\t%s\t%d\t%d\t%s\t%s\t%s\t%s\n", tableOf(&c, &t), t.State, t.Rows, t.Total, clock(t.Started), clock(t.Ended), eta(&t, st.Time), t.Reason)
		}
	}
	return tw.Flush()
}

// clock prints microseconds since 1970.
func clock(micros int64) string {
	if micros == 0 {
		return ""
	}
	return time.UnixMicro(micros).UTC().Format(time.DateTime)
}
