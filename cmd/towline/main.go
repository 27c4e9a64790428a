// Command towline captures the changes of a MySQL server and delivers them.
//
// It only wires: flags, connector files, signals. What it wires together is
// in the other rooms; see DESIGN.md.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/towline/towline/connect"
)

// version is set when the program is built.
var version = "dev"

// Exit codes; they are part of the interface (see usage).
const (
	exitOK          = 0
	exitRuntime     = 1
	exitConfig      = 2
	exitEnvironment = 3
)

const usage = `towline captures every change of a MySQL server and delivers it.

  towline run [flags] FILE...     run the connectors in the files
  towline worker --config FILE    run connectors that are made over REST, until it is stopped
  towline doctor FILE...          check servers, grants and reachability, and say what mends each fault
  towline status [flags]          ask the running one: tables, lag, what has arrived
  towline health [flags]          ask the running one whether it answers requests
  towline snapshot COMMAND        start, stop, pause, resume copies of tables in the running one, or tell their status
  towline connector COMMAND       list, make, change, pause, stop, restart, delete connectors of the running one; their offsets
  towline task COMMAND            list and restart tasks
  towline dlq COMMAND             list, show, send again, drop dead letters: records that a connector could not process
  towline cluster COMMAND         the workers of the running one, and which runs which task
  towline logger COMMAND          what the running one logs: list, get, set levels
  towline plugin COMMAND          list what the running one can make connectors of; check a connector file with it
  towline plugins [NAME]          list what connectors, transforms and converters there are, and their options
  towline version

towline COMMAND -h tells a command's flags.

Exit codes: 0 all is well; 1 something failed while running; 2 the configuration is wrong;
3 the environment is: a server, a grant, a port or the data folder.
`

// envError is a fault of the environment.
type envError struct{ err error }

func (e envError) Error() string { return e.err.Error() }
func (e envError) Unwrap() error { return e.err }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	go func() { // a second signal ends the program at once
		<-ctx.Done()
		stop()
	}()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

func run(ctx context.Context, args []string, out, errOut io.Writer) int {
	commands := map[string]func(context.Context, []string, io.Writer, io.Writer) error{
		"run": runCommand, "worker": workerCommand, "connector": connectorCommand, "task": taskCommand, "plugin": pluginCommand, "dlq": dlqCommand, "logger": loggerCommand, "cluster": clusterCommand, "doctor": doctorCommand, "status": statusCommand, "health": healthCommand, "snapshot": snapshotCommand, "plugins": pluginsCommand,
		"version": func(_ context.Context, _ []string, out, _ io.Writer) error {
			fmt.Fprintln(out, "towline", version)
			return nil
		},
	}
	if len(args) == 0 || args[0] == "-h" || args[0] == "--help" || args[0] == "help" {
		fmt.Fprint(out, usage)
		return exitOK
	}
	cmd, ok := commands[args[0]]
	if !ok {
		fmt.Fprintf(errOut, "towline: there is no command %q\n\n%s", args[0], usage)
		return exitConfig
	}
	err := cmd(ctx, args[1:], out, errOut)
	if err != nil && !errors.Is(err, flag.ErrHelp) && !errors.Is(err, errSaid) {
		fmt.Fprintln(errOut, "towline:", err)
	}
	return exitCode(err)
}

// errSaid marks a failure whose text the command has printed itself.
var errSaid = errors.New("said")

func exitCode(err error) int {
	var cfg *connect.ConfigError
	var env envError
	var use usageError
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return exitOK
	case errors.As(err, &cfg), errors.As(err, &use):
		return exitConfig
	case errors.As(err, &env):
		return exitEnvironment
	}
	return exitRuntime
}

// usageError is a fault of the command line.
type usageError struct{ text string }

func (e usageError) Error() string { return e.text }

// parse reads flags; they may stand before, between and behind the others.
func parse(fs *flag.FlagSet, args []string, errOut io.Writer) ([]string, error) {
	fs.SetOutput(errOut)
	var rest []string
	for {
		if err := fs.Parse(args); err != nil {
			if errors.Is(err, flag.ErrHelp) {
				return nil, err
			}
			return nil, errors.Join(usageError{err.Error()}, errSaid) // by the flag package
		}
		if fs.NArg() == 0 {
			return rest, nil
		}
		rest = append(rest, fs.Arg(0))
		args = fs.Args()[1:]
	}
}
