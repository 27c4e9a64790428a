package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/towline/towline/e2e/mysqltest"
)

// machine describes where and when the numbers were taken.
func machine() string {
	cpu := "unknown processor"
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for l := range strings.Lines(string(b)) {
			if name, ok := strings.CutPrefix(l, "model name"); ok {
				cpu = strings.TrimSpace(strings.TrimLeft(strings.TrimSpace(name), ":"))
				break
			}
		}
	}
	memory := ""
	if b, err := os.ReadFile("/proc/meminfo"); err == nil {
		var kb int64
		if _, err := fmt.Sscanf(string(b), "MemTotal: %d kB", &kb); err == nil {
			memory = fmt.Sprintf("%d GB, ", kb>>20)
		}
	}
	return fmt.Sprintf("%s, %s, %d cores, %s%s/%s", time.Now().UTC().Format(time.DateOnly), cpu, runtime.NumCPU(), memory, runtime.GOOS, runtime.GOARCH)
}

// versions names all that was measured.
func (b *bench) versions(ctx context.Context) string {
	list := []string{strings.TrimSpace(output(ctx, b.bin, "version")), runtime.Version(), serverVersion(ctx)}
	for _, peer := range b.tools.Versions(ctx) {
		if b.wants(peer.Name) {
			list = append(list, peer.Name+" "+peer.Version)
		}
	}
	return strings.Join(list, "; ")
}

func serverVersion(ctx context.Context) string {
	s, err := mysqltest.Launch(ctx, mysqltest.Config{Fast: true})
	if err != nil {
		return "no MySQL: " + err.Error()
	}
	defer s.Close()
	var v string
	if err := s.DB().QueryRowContext(ctx, "SELECT CONCAT('MySQL ', VERSION())").Scan(&v); err != nil {
		return err.Error()
	}
	return v
}

// output returns the first line that a program prints.
func output(ctx context.Context, name string, args ...string) string {
	out, err := exec.CommandContext(ctx, name, args...).Output()
	if err != nil {
		return err.Error()
	}
	first, _, _ := strings.Cut(string(out), "\n")
	return first
}

// keepResults adds a table to results.md.
func (b *bench) keepResults(ctx context.Context) error {
	path := filepath.Join("e2e", "bench", "results.md")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	var rows strings.Builder
	for i := range b.lines {
		rows.WriteString(b.lines[i].row() + "\n")
	}
	_, err = fmt.Fprintf(f, "\n## %s\n\n%s\n\nSettings: %s\n\n"+
		"| figure | value | ratio | mark | A/A spread, ours / peer | processor seconds for a million rows | peak memory of ours | note |\n|---|---|---|---|---|---|---|---|\n%s",
		machine(), b.versions(ctx), b.settings(), rows.String())
	return err
}
