package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// towline is the program under show, in a process of its own.
type towline struct {
	cmd  *exec.Cmd
	bin  string
	data string
	log  string
	done chan error
}

// connectorFile writes one connector file.
func connectorFile(path, name string, config map[string]string) error {
	b, err := json.MarshalIndent(map[string]any{"name": name, "config": config}, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(b, '\n'), 0o600)
}

func startTowline(ctx context.Context, dir, bin string, s *servers) (*towline, error) {
	source, sink := filepath.Join(dir, "source.json"), filepath.Join(dir, "sink.json")
	host, port, _ := strings.Cut(s.sourceDSN.Addr, ":")
	err := errors.Join(
		connectorFile(source, "shop", map[string]string{
			"connector.class": "mysql", "database.hostname": host, "database.port": port, "database.user": s.sourceDSN.User,
			"database.password": "${env:DEMO_SOURCE_PASSWORD}", "database.include.list": shopDB, "topic.prefix": "demo",
		}),
		connectorFile(sink, "mirror", map[string]string{
			"connector.class": "jdbc", "topics.regex": `demo\..*`, "connection.url": "jdbc:mysql://" + s.targetDSN.Addr + "/",
			"connection.user": s.targetDSN.User, "connection.password": "${env:DEMO_TARGET_PASSWORD}",
			"table.name.format": "${database}.${table}",
		}))
	if err != nil {
		return nil, err
	}
	t := &towline{bin: bin, data: filepath.Join(dir, "towline-data"), log: filepath.Join(dir, "towline.log"), done: make(chan error, 1)}
	fmt.Printf("Starting: %s run --data-dir %s %s %s   (its log: %s)\n", bin, t.data, source, sink, t.log)
	logFile, err := os.OpenFile(t.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer logFile.Close()
	t.cmd = exec.Command(bin, "run", "--data-dir", t.data, "--listen", "127.0.0.1:0", source, sink)
	t.cmd.Stderr = logFile
	t.cmd.Env = append(os.Environ(), "DEMO_SOURCE_PASSWORD="+s.sourceDSN.Passwd, "DEMO_TARGET_PASSWORD="+s.targetDSN.Passwd)
	t.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is ours to pass on
	if err := t.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s (make build makes it): %w", bin, err)
	}
	go func() { t.done <- t.cmd.Wait() }()
	return t, t.awaitUp(ctx)
}

func (t *towline) awaitUp(ctx context.Context) error {
	for range 100 {
		if _, err := t.status(ctx, ""); err == nil {
			return nil
		}
		select {
		case err := <-t.done:
			t.done <- err
			return fmt.Errorf("towline ended: %v; see %s", err, t.log)
		case <-ctx.Done():
			return errors.Join(ctx.Err(), t.stop())
		case <-time.After(100 * time.Millisecond):
		}
	}
	return errors.Join(fmt.Errorf("towline does not answer; see %s", t.log), t.stop())
}

// status is what the demo shows of /v1/status.
type status struct {
	Connectors []struct {
		Name    string
		Type    string
		Records struct{ Written int64 }
		Tasks   []struct{ State, Trace string }
		Tables  []struct {
			Table, State, Reason string
			Rows, Total, Started int64
		}
		LagMessages int64   `json:"lag_messages"`
		LagSeconds  float64 `json:"lag_seconds"`
	}
}

func (t *towline) status(ctx context.Context, wait string) (*status, error) {
	addr, err := os.ReadFile(filepath.Join(t.data, "listen"))
	if err != nil {
		return nil, err
	}
	u := "http://" + strings.TrimSpace(string(addr)) + "/v1/status"
	if wait != "" {
		u += "?wait=" + url.QueryEscape(wait)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		var e struct{ Message string }
		_ = json.NewDecoder(resp.Body).Decode(&e)
		return nil, errors.New(e.Message)
	}
	var st status
	return &st, json.NewDecoder(resp.Body).Decode(&st)
}

func (t *towline) wait(ctx context.Context) error {
	_, err := t.status(ctx, "10m")
	return err
}

// stop ends towline as an operator would, and waits for it.
func (t *towline) stop() error {
	_ = t.cmd.Process.Signal(syscall.SIGTERM) // it may have ended by itself
	select {
	case err := <-t.done:
		if err != nil {
			return fmt.Errorf("towline: %w; see %s", err, t.log)
		}
		return nil
	case <-time.After(40 * time.Second):
		_ = t.cmd.Process.Kill()
		return fmt.Errorf("towline did not stop; see %s", t.log)
	}
}
