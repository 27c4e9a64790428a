//go:build !linux

package mysqltest

import "syscall"

// dieWithParent has no counterpart outside of Linux: there a killed test leaves its servers running.
func dieWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{} }
