//go:build !linux

package child

import "syscall"

// DieWithParent has no counterpart outside of Linux: there a killed test leaves its servers running.
func DieWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{} }
