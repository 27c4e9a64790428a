package child

import (
	"os/exec"
	"runtime"
)

// Process is a running program that dies with this process.
type Process struct {
	Cmd  *exec.Cmd
	Done chan struct{} // closed when the program has ended
	Err  error         // how it ended; valid once Done is closed
}

// Start starts the command and waits for its end in a goroutine of its own. The kernel sends
// the parent-death signal when the thread that started the program ends, not the process: so that
// goroutine keeps its thread until the program has ended.
func Start(cmd *exec.Cmd) (*Process, error) {
	p := &Process{Cmd: cmd, Done: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(p.Done)
		err := cmd.Start()
		started <- err
		if err == nil {
			p.Err = cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		<-p.Done
		return nil, err
	}
	return p, nil
}

// Wait returns how the program ended.
func (p *Process) Wait() error {
	<-p.Done
	return p.Err
}

// Running says whether the program has not ended yet.
func (p *Process) Running() bool {
	select {
	case <-p.Done:
		return false
	default:
		return true
	}
}
