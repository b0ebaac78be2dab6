package subject

import "syscall"

// ownGroup gives a process a group of its own, and has the kernel kill it when
// the harness is killed.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
