// Package process runs the towline program as its users do, in a process of
// its own: builds it, writes connector files, starts, asks, stops and kills
// it. One goroutine at a time uses a Process.
package process

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// patience ends a hang, not a slow machine's work.
const patience = 10 * time.Minute

// Build compiles the program into dir and returns its path. race adds the
// race detector.
func Build(dir string, race bool) (string, error) {
	bin := filepath.Join(dir, "towline")
	args := []string{"build", "-buildvcs=false", "-o", bin}
	if race {
		args = append(args, "-race")
	}
	cmd := exec.Command("go", append(args, "github.com/towline/towline/cmd/towline")...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build towline: %w\n%s", err, out)
	}
	return bin, nil
}

// Connector writes a connector file into dir and returns its path.
func Connector(dir, name string, config map[string]string) (string, error) {
	b, err := json.MarshalIndent(map[string]any{"name": name, "config": config}, "", "  ")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, name+".json")
	return path, os.WriteFile(path, append(b, '\n'), 0o600)
}

// Process is one run of the program.
type Process struct {
	Bin  string
	Data string   // folder of its data
	Log  string   // file to which its log is appended
	Args []string // flags and connector files for towline run
	Env  []string // more variables of the environment
	// Worker is the configuration of a worker, which is then run with Args and
	// listens at Address. There is no Data.
	Worker, Address string
	cmd             *exec.Cmd
	ended           chan error
}

// Start starts it. It does not wait until it is up.
func (p *Process) Start() error {
	log, err := os.OpenFile(p.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	args := []string{"run", "--data-dir", p.Data, "--listen", "127.0.0.1:0"}
	if p.Worker != "" {
		args = []string{"worker", "--config", p.Worker}
	}
	p.cmd = exec.Command(p.Bin, append(args, p.Args...)...)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.Env = append(os.Environ(), p.Env...)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for our caller to pass on
	_ = os.Remove(p.address())                              // of an earlier run that was killed
	if err := p.cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", p.Bin, err)
	}
	p.ended = make(chan error, 1)
	go func() { p.ended <- p.cmd.Wait() }()
	return nil
}

func (p *Process) address() string { return filepath.Join(p.Data, "listen") }

// AwaitUp waits until it answers.
func (p *Process) AwaitUp(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		if _, err := p.Status(ctx); err == nil {
			return nil
		}
		select {
		case err := <-p.ended:
			p.ended <- err
			return fmt.Errorf("towline ended: %v\n%s", err, p.LogTail(20))
		case <-ctx.Done():
			return fmt.Errorf("towline does not answer: %w\n%s", ctx.Err(), p.LogTail(20))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Status is what the program says of itself.
type Status struct {
	Arrived    bool
	Waiting    string
	Connectors []Connection
}

// Connection is one connector in a Status.
type Connection struct {
	Name        string
	Type        string
	Position    string
	Records     struct{ Read, Written, Failed int64 }
	Tasks       []struct{ State, Trace string }
	Tables      []Table
	LagMessages int64   `json:"lag_messages"`
	LagSeconds  float64 `json:"lag_seconds"`
}

// Table is one table in a Status.
type Table struct {
	Table, State, Reason string
	Rows, Total, Started int64
}

// Table returns the state of a table, by database.name.
func (s *Status) Table(name string) Table {
	for _, c := range s.Connectors {
		for _, t := range c.Tables {
			if t.Table == name {
				return t
			}
		}
	}
	return Table{}
}

// Status asks for it.
func (p *Process) Status(ctx context.Context) (*Status, error) { return p.get(ctx, "") }

// Wait waits until all that the sources had committed when asked has arrived.
func (p *Process) Wait(ctx context.Context, atMost time.Duration) error {
	_, err := p.get(ctx, "?wait="+url.QueryEscape(atMost.String()))
	if err != nil {
		return fmt.Errorf("%w\n%s", err, p.LogTail(15))
	}
	return nil
}

func (p *Process) get(ctx context.Context, query string) (*Status, error) {
	body, err := p.Get(ctx, "/v1/status"+query)
	if err != nil {
		return nil, err
	}
	var st Status
	return &st, json.Unmarshal(body, &st)
}

// Get returns what a path of its HTTP side answers.
func (p *Process) Get(ctx context.Context, path string) ([]byte, error) {
	return p.ask(ctx, http.MethodGet, path, nil)
}

// Post sends JSON to a path of its HTTP side, and returns the answer.
func (p *Process) Post(ctx context.Context, path, body string) ([]byte, error) {
	return p.ask(ctx, http.MethodPost, path, strings.NewReader(body))
}

// Put sends JSON to a path of its HTTP side, and returns the answer.
func (p *Process) Put(ctx context.Context, path, body string) ([]byte, error) {
	return p.ask(ctx, http.MethodPut, path, strings.NewReader(body))
}

func (p *Process) ask(ctx context.Context, method, path string, send io.Reader) ([]byte, error) {
	addr := p.Address
	if addr == "" {
		b, err := os.ReadFile(p.address())
		if err != nil {
			return nil, err
		}
		addr = strings.TrimSpace(string(b))
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://"+addr+path, send)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DisableCompression: true}}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var b bytes.Buffer
	if _, err := b.ReadFrom(resp.Body); err != nil {
		return nil, err
	}
	if resp.StatusCode/100 != 2 {
		var e struct{ Message string }
		_ = json.Unmarshal(b.Bytes(), &e)
		return nil, fmt.Errorf("%s: %s", resp.Status, e.Message)
	}
	return b.Bytes(), nil
}

// Kill ends it with SIGKILL, and waits for its end.
func (p *Process) Kill() {
	if p.ended == nil {
		return
	}
	_ = p.cmd.Process.Kill()
	<-p.ended
	p.ended = nil
}

// Abort ends it so that its log has what each goroutine did.
func (p *Process) Abort() {
	if p.ended == nil {
		return
	}
	_ = p.cmd.Process.Signal(syscall.SIGQUIT)
	_, _ = p.Ended(10 * time.Second)
	p.Kill()
}

// Stop ends it as an operator would. An exit code other than 0 is an error.
func (p *Process) Stop() error {
	if p.ended == nil {
		return nil
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended by itself
	select {
	case err := <-p.ended:
		p.ended = nil
		if err != nil {
			return fmt.Errorf("towline: %w\n%s", err, p.LogTail(20))
		}
		return nil
	case <-time.After(patience):
		p.Kill()
		return errors.New("towline did not stop in time\n" + p.LogTail(20))
	}
}

// Ended returns the outcome once it has ended by itself.
func (p *Process) Ended(atMost time.Duration) (err error, ended bool) {
	select {
	case err := <-p.ended:
		p.ended <- err
		return err, true
	case <-time.After(atMost):
		return nil, false
	}
}

// PID returns its process number.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// LogTail returns the last lines of the log.
func (p *Process) LogTail(lines int) string {
	b, err := os.ReadFile(p.Log)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimSpace(string(b)), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
