package mysqltest

import "syscall"

// dieWithParent makes a program end when its parent ends, however that ends.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
