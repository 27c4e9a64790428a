package mysqltest

import (
	"os/exec"
	"runtime"
)

// process is a running program that dies with this process.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when the program has ended
	err  error         // how it ended; valid once done is closed
}

// startProcess starts the command and waits for its end in a goroutine of its own. The kernel sends
// the parent-death signal when the thread that started the program ends, not the process: so that
// goroutine keeps its thread until the program has ended.
func startProcess(cmd *exec.Cmd) (*process, error) {
	p := &process{cmd: cmd, done: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(p.done)
		err := cmd.Start()
		started <- err
		if err == nil {
			p.err = cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		<-p.done
		return nil, err
	}
	return p, nil
}

// wait returns how the program ended.
func (p *process) wait() error {
	<-p.done
	return p.err
}

// running says whether the program has not ended yet.
func (p *process) running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}
