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
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/towline/towline/connect/config"
	"github.com/towline/towline/connect/herder"
)

const connectorUsage = `towline connector list                     the connectors of a running towline, and what they do
towline connector get NAME                 one of them, and its tasks
towline connector config NAME              its configuration, as a file for update
towline connector create FILE              makes one from a connector file; -state PAUSED or STOPPED
towline connector update FILE              makes it, or gives it another configuration
towline connector patch NAME KEY=VALUE...  changes keys of its configuration; KEY alone takes one away
towline connector delete NAME              ends it; its offsets stay
towline connector pause|resume|stop NAME
towline connector restart NAME             its tasks too; -failed only those that have failed
towline connector offsets NAME             how far it is
towline connector position NAME TIME       where it goes on for what was committed from a time (2026-01-31T12:00:00Z) on;
                                           with -json for offsets-set; a source is stopped
towline connector offsets-set NAME FILE    sets that, from what offsets -json printed; it is stopped
towline connector offsets-reset NAME       has it begin anew; it is stopped
towline connector topics NAME              the topics that it has used
towline connector topics-reset NAME        forgets them
`

const taskUsage = `towline task list NAME         the tasks of a connector
towline task get NAME N        what one does
towline task restart NAME N    starts one anew
`

const pluginUsage = `towline plugin list             what a running towline can make connectors of
towline plugin get CLASS        what one can be configured with
towline plugin validate FILE    what is wrong with a connector file
`

// verb is what a command does; args are those behind it, or at least so many if it
// is below 0.
type verb struct {
	args int
	do   func(ctx context.Context, c *client, args []string, out io.Writer) error
}

// verbs runs a command that has some.
func verbs(ctx context.Context, name, usage string, known map[string]verb, fs *flag.FlagSet, args []string, out, errOut io.Writer) error {
	c := &client{}
	c.flags(fs)
	fs.BoolVar(&c.json, "json", false, "print JSON")
	fs.Usage = func() {
		fmt.Fprint(errOut, usage, "\n")
		fs.PrintDefaults()
	}
	rest, err := parse(fs, args, errOut)
	if err != nil {
		return err
	}
	if len(rest) == 0 {
		return usageError{"what is to be done?\n\n" + usage}
	}
	v, ok := known[rest[0]]
	if !ok {
		hint := ""
		if n := config.Nearest(rest[0], slices.Sorted(maps.Keys(known))); n != "" {
			hint = "; did you mean " + n + "?"
		}
		return usageError{fmt.Sprintf("there is no towline %s %s%s\n\n%s", name, rest[0], hint, usage)}
	}
	if n := len(rest) - 1; v.args < 0 && n < -v.args {
		return usageError{fmt.Sprintf("towline %s %s takes %d arguments or more, not %d\n\n%s", name, rest[0], -v.args, n, usage)}
	} else if v.args >= 0 && n != v.args {
		return usageError{fmt.Sprintf("towline %s %s takes %d arguments, not %d\n\n%s", name, rest[0], v.args, n, usage)}
	}
	return v.do(ctx, c, rest[1:], out)
}

func connectorCommand(ctx context.Context, args []string, out, errOut io.Writer) error {
	fs := flag.NewFlagSet("towline connector", flag.ContinueOnError)
	state := fs.String("state", "", "what a connector that is made is to do: RUNNING, PAUSED or STOPPED (create)")
	failed := fs.Bool("failed", false, "only what has failed (restart)")
	put := func(deed, done string) verb {
		return verb{1, func(ctx context.Context, c *client, args []string, out io.Writer) error {
			return told(c, out, done+" "+args[0])(c.ask(ctx, http.MethodPut, connectorPath(args[0])+"/"+deed, nil))
		}}
	}
	return verbs(ctx, "connector", connectorUsage, map[string]verb{
		"list":   {0, listConnectors},
		"get":    {1, getConnector},
		"config": {1, connectorConfig},
		"create": {1, func(ctx context.Context, c *client, args []string, out io.Writer) error {
			return createConnector(ctx, c, args[0], *state, out)
		}},
		"update": {1, updateConnector},
		"patch":  {-2, patchConnector},
		"delete": {1, func(ctx context.Context, c *client, args []string, out io.Writer) error {
			return told(c, out, "deleted "+args[0])(c.ask(ctx, http.MethodDelete, connectorPath(args[0]), nil))
		}},
		"pause": put("pause", "pausing"), "resume": put("resume", "resuming"), "stop": put("stop", "stopping"),
		"restart": {1, func(ctx context.Context, c *client, args []string, out io.Writer) error {
			path := fmt.Sprintf("%s/restart?includeTasks=true&onlyFailed=%v", connectorPath(args[0]), *failed)
			return told(c, out, "restarting "+args[0])(c.ask(ctx, http.MethodPost, path, nil))
		}},
		"offsets":       {1, connectorOffsets},
		"position":      {2, connectorPosition},
		"offsets-set":   {2, setOffsets},
		"offsets-reset": {1, resetOffsets},
		"topics":        {1, connectorTopics},
		"topics-reset":  put("topics/reset", "the topics are forgotten:"),
	}, fs, args, out, errOut)
}

func taskCommand(ctx context.Context, args []string, out, errOut io.Writer) error {
	return verbs(ctx, "task", taskUsage, map[string]verb{
		"list": {1, getConnector},
		"get":  {2, getTask},
		"restart": {2, func(ctx context.Context, c *client, args []string, out io.Writer) error {
			path := connectorPath(args[0]) + "/tasks/" + url.PathEscape(args[1]) + "/restart"
			return told(c, out, "restarting "+args[0]+"-"+args[1])(c.ask(ctx, http.MethodPost, path, nil))
		}},
	}, flag.NewFlagSet("towline task", flag.ContinueOnError), args, out, errOut)
}

func pluginCommand(ctx context.Context, args []string, out, errOut io.Writer) error {
	return verbs(ctx, "plugin", pluginUsage, map[string]verb{"list": {0, listRemotePlugins}, "get": {1, getRemotePlugin}, "validate": {1, validateFile}},
		flag.NewFlagSet("towline plugin", flag.ContinueOnError), args, out, errOut)
}

func connectorPath(name string) string { return "/connectors/" + url.PathEscape(name) }

// told returns what prints the outcome of a request: its answer or, for
// people, a line.
func told(c *client, out io.Writer, line string) func([]byte, error) error {
	return func(answer []byte, err error) error {
		if err == nil && c.json {
			_, err = out.Write(answer)
		} else if err == nil {
			_, err = fmt.Fprintln(out, line)
		}
		return err
	}
}

func listConnectors(ctx context.Context, c *client, _ []string, out io.Writer) error {
	var all map[string]struct{ Status herder.State }
	answer, err := c.into(ctx, "/connectors?expand=status", &all)
	if err != nil || c.json {
		return told(c, out, "")(answer, err)
	}
	var states []herder.State
	for _, name := range slices.Sorted(maps.Keys(all)) {
		states = append(states, all[name].Status)
	}
	return printStates(out, states)
}

func printStates(out io.Writer, states []herder.State) error {
	tw := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "CONNECTOR\tTYPE\tSTATE\tTASKS\tWORKER")
	var traces []string
	for _, st := range states {
		var tasks []string
		for _, t := range st.Tasks {
			tasks = append(tasks, fmt.Sprintf("%d %s", t.ID, t.State))
			if t.Trace != "" {
				traces = append(traces, fmt.Sprintf("%s-%d: %s", st.Name, t.ID, t.Trace))
			}
		}
		if st.Connector.Trace != "" {
			traces = append(traces, st.Name+": "+st.Connector.Trace)
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\n", st.Name, st.Type, st.Connector.State, strings.Join(tasks, ", "), st.Connector.Worker)
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	for _, t := range traces {
		fmt.Fprintf(out, "\n%s\n", t)
	}
	return nil
}

func getConnector(ctx context.Context, c *client, args []string, out io.Writer) error {
	var st herder.State
	answer, err := c.into(ctx, connectorPath(args[0])+"/status", &st)
	if err != nil || c.json {
		return told(c, out, "")(answer, err)
	}
	return printStates(out, []herder.State{st})
}

func connectorConfig(ctx context.Context, c *client, args []string, out io.Writer) error {
	var cfg map[string]string
	answer, err := c.into(ctx, connectorPath(args[0])+"/config", &cfg)
	if err != nil || c.json {
		return told(c, out, "")(answer, err)
	}
	delete(cfg, "name")
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(map[string]any{"name": args[0], "config": cfg})
}

func createConnector(ctx context.Context, c *client, path, state string, out io.Writer) error {
	f, err := config.Load(path)
	if err != nil {
		return err
	}
	body, err := json.Marshal(map[string]any{"name": f.Name, "config": f.Config, "initial_state": state})
	if err != nil {
		return err
	}
	return told(c, out, "made "+f.Name)(c.ask(ctx, http.MethodPost, "/connectors", body))
}

func updateConnector(ctx context.Context, c *client, args []string, out io.Writer) error {
	f, err := config.Load(args[0])
	if err != nil {
		return err
	}
	body, err := json.Marshal(f.Config)
	if err != nil {
		return err
	}
	return told(c, out, "updated "+f.Name)(c.ask(ctx, http.MethodPut, connectorPath(f.Name)+"/config", body))
}

// patchConnector changes keys of a configuration: KEY=VALUE, or KEY to remove one.
func patchConnector(ctx context.Context, c *client, args []string, out io.Writer) error {
	changes := map[string]*string{}
	for _, a := range args[1:] {
		key, value, ok := strings.Cut(a, "=")
		if changes[key] = nil; ok {
			changes[key] = &value
		}
	}
	body, err := json.Marshal(changes)
	if err != nil {
		return err
	}
	return told(c, out, "changed "+args[0])(c.ask(ctx, http.MethodPatch, connectorPath(args[0])+"/config", body))
}

func connectorOffsets(ctx context.Context, c *client, args []string, out io.Writer) error {
	return printOffsets(ctx, c, connectorPath(args[0])+"/offsets", out)
}

func connectorPosition(ctx context.Context, c *client, args []string, out io.Writer) error {
	return printOffsets(ctx, c, "/v1"+connectorPath(args[0])+"/position?at="+url.QueryEscape(args[1]), out)
}

func printOffsets(ctx context.Context, c *client, path string, out io.Writer) error {
	var list struct {
		Offsets []struct{ Partition, Offset map[string]any }
	}
	answer, err := c.into(ctx, path, &list)
	if err != nil || c.json {
		return told(c, out, "")(answer, err)
	}
	tw := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "PARTITION\tOFFSET")
	for _, o := range list.Offsets {
		fmt.Fprintf(tw, "%s\t%s\n", fields(o.Partition), fields(o.Offset))
	}
	return tw.Flush()
}

// fields prints a part of an offset.
func fields(m map[string]any) string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		v := m[k]
		if n, ok := v.(float64); ok {
			v = int64(n)
		}
		parts = append(parts, fmt.Sprintf("%s=%v", k, v))
	}
	return strings.Join(parts, " ")
}

func setOffsets(ctx context.Context, c *client, args []string, out io.Writer) error {
	body, err := os.ReadFile(args[1])
	if err != nil {
		return usageError{err.Error()}
	}
	return told(c, out, "the offsets are set")(c.ask(ctx, http.MethodPatch, connectorPath(args[0])+"/offsets", body))
}

func resetOffsets(ctx context.Context, c *client, args []string, out io.Writer) error {
	return told(c, out, "the offsets are reset")(c.ask(ctx, http.MethodDelete, connectorPath(args[0])+"/offsets", nil))
}

func connectorTopics(ctx context.Context, c *client, args []string, out io.Writer) error {
	var all map[string]struct{ Topics []string }
	answer, err := c.into(ctx, connectorPath(args[0])+"/topics", &all)
	if err != nil || c.json {
		return told(c, out, "")(answer, err)
	}
	for _, t := range all[args[0]].Topics {
		fmt.Fprintln(out, t)
	}
	return nil
}

func getTask(ctx context.Context, c *client, args []string, out io.Writer) error {
	var t herder.TaskState
	answer, err := c.into(ctx, connectorPath(args[0])+"/tasks/"+url.PathEscape(args[1])+"/status", &t)
	if err != nil || c.json {
		return told(c, out, "")(answer, err)
	}
	fmt.Fprintf(out, "%d %s at %s\n", t.ID, t.State, t.Worker)
	if t.Trace != "" {
		fmt.Fprintf(out, "\n%s\n", t.Trace)
	}
	return nil
}

func getRemotePlugin(ctx context.Context, c *client, args []string, out io.Writer) error {
	var list []struct {
		Name, Type, Documentation string
		Required                  bool
		Default                   *string `json:"default_value"`
	}
	answer, err := c.into(ctx, "/connector-plugins/"+url.PathEscape(args[0])+"/config", &list)
	if err != nil || c.json {
		return told(c, out, "")(answer, err)
	}
	for _, o := range list {
		how := strings.ToLower(o.Type)
		switch {
		case o.Required:
			how += ", required"
		case o.Default != nil:
			how += ", default " + *o.Default
		}
		fmt.Fprintf(out, "%s  (%s)\n    %s\n", o.Name, how, o.Documentation)
	}
	return nil
}

func listRemotePlugins(ctx context.Context, c *client, _ []string, out io.Writer) error {
	var list []struct{ Class, Type, Version string }
	answer, err := c.into(ctx, "/connector-plugins?connectorsOnly=false", &list)
	if err != nil || c.json {
		return told(c, out, "")(answer, err)
	}
	tw := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "CLASS\tTYPE\tVERSION")
	for _, p := range list {
		fmt.Fprintf(tw, "%s\t%s\t%s\n", p.Class, p.Type, p.Version)
	}
	return tw.Flush()
}

func validateFile(ctx context.Context, c *client, args []string, out io.Writer) error {
	f, err := config.Load(args[0])
	if err != nil {
		return err
	}
	class := f.Config["connector.class"]
	if class == "" {
		return usageError{fmt.Sprintf("%s names no connector.class", args[0])}
	}
	body, err := json.Marshal(f.Config)
	if err != nil {
		return err
	}
	answer, err := c.ask(ctx, http.MethodPut, "/connector-plugins/"+url.PathEscape(class)+"/config/validate", body)
	if err != nil {
		return err
	}
	var v struct {
		Errors  int `json:"error_count"`
		Configs []struct {
			Value struct {
				Name   string
				Errors []string
			}
		}
	}
	if err := json.Unmarshal(answer, &v); err != nil {
		return fmt.Errorf("the answer is not a validation: %w", err)
	}
	if c.json {
		_, err = out.Write(answer)
	} else if v.Errors == 0 {
		fmt.Fprintln(out, f.Name, "is valid")
	}
	for _, s := range v.Configs {
		for _, e := range s.Value.Errors {
			if !c.json {
				fmt.Fprintf(out, "%s: %s\n", s.Value.Name, e)
			}
		}
	}
	if err == nil && v.Errors > 0 {
		return usageError{fmt.Sprintf("%s has %d faults", args[0], v.Errors)}
	}
	return err
}
