package faults

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/towline/towline/e2e/mysqltest"
	"github.com/towline/towline/e2e/workload"
)

func light() workload.Options {
	return workload.Options{Writers: 2, Types: true, Pause: 3 * time.Millisecond}
}

func TestSourceRestarts(t *testing.T) {
	r := newRig(t, options{rows: 5000, load: light()})
	r.start()
	stop := r.writing()
	for i := range 4 {
		time.Sleep(1500 * time.Millisecond)
		end := r.source.Stop
		if i%2 == 1 {
			end = r.source.Kill
		}
		if err := end(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(500 * time.Millisecond)
		if err := r.source.Restart(); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(time.Second)
	stop()
	r.settle()
}

func TestConnectionsCut(t *testing.T) {
	var source, target *mysqltest.Proxy
	r := newRig(t, options{rows: 5000, load: light(),
		sourceAddr: func(r *rig) (string, int) { source = r.source.Proxy(t); return source.Host(), source.Port() },
		targetAddr: func(r *rig) (string, int) { target = r.target.Proxy(t); return target.Host(), target.Port() }})
	r.start()
	stop := r.writing()
	for i := range 20 {
		time.Sleep(300 * time.Millisecond)
		if i%2 == 0 {
			source.Cut()
		} else {
			target.Cut()
		}
	}
	stop()
	r.settle()
}

func TestTargetAwayForAWhile(t *testing.T) {
	r := newRig(t, options{rows: 5000, load: light()})
	r.start()
	r.awaitRunning()
	stop := r.writing()
	time.Sleep(2 * time.Second)
	if err := r.target.Kill(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(4 * time.Second)
	st, err := r.proc.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range st.Connectors {
		if c.Name != "mirror" && c.Tasks[0].State != "RUNNING" {
			t.Errorf("%s is %s while the target of another is away", c.Name, c.Tasks[0].State)
		}
	}
	if err := r.target.Restart(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Second)
	stop()
	r.settle()
}

// A full disk stops nothing for good: when there is room again all goes on.
func TestDiskFull(t *testing.T) {
	disk := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", disk).CombinedOutput(); err != nil {
		t.Skipf("cannot make a small disk: %v: %s", err, out)
	}
	t.Cleanup(func() { _ = exec.Command("umount", "-l", disk).Run() })
	r := newRig(t, options{rows: 2000, load: light(), data: filepath.Join(disk, "data")})
	r.start()
	if err := r.proc.Wait(t.Context(), patience); err != nil {
		t.Fatal(err)
	}
	fill := filepath.Join(disk, "fill")
	if err := fillDisk(fill); err != nil {
		t.Fatal(err)
	}
	stop := r.writing()
	deadline := time.Now().Add(patience)
	for !strings.Contains(r.proc.LogTail(50), "no space left") {
		if time.Now().After(deadline) {
			t.Fatal("the log does not say that the disk is full")
		}
		time.Sleep(200 * time.Millisecond)
	}
	stop()
	if err := os.Remove(fill); err != nil {
		t.Fatal(err)
	}
	if _, ended := r.proc.Ended(2 * time.Second); ended { // an operator starts it again
		r.proc.Kill()
		r.start()
	}
	r.settle()
}

// fillDisk writes a file until there is no room left.
func fillDisk(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	block := make([]byte, 1<<16)
	for {
		if _, err := f.Write(block); err != nil {
			return nil
		}
	}
}
