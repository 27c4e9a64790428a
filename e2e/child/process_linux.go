package child

import "syscall"

// DieWithParent makes a program end when its parent ends, however that ends.
func DieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
