package stdio

import (
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// fionread asks for the bytes that wait in a pipe.
const fionread = unix.TIOCINQ

// attributes of a child: a session of its own, with that a process group of
// its own and no terminal to ask questions on or to be stopped by, and SIGKILL
// when the thread that started it ends, which it does only with the gate.
// Who is in no session of ours is a descendant of a child: see eachOrphan.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
}

// exitWait waits for a child's death on a process descriptor in Go's poller,
// so that a waiting child costs a goroutine and not a thread. Where the system
// has none (before Linux 5.3, gVisor) it costs the thread.
type exitWait struct {
	pid int
	fd  *os.File // nil where there is none
}

func newExitWait(pid int) exitWait {
	fd, err := unix.PidfdOpen(pid, 0) // the child is not reaped, so it is this one
	if err != nil {
		return exitWait{pid: pid}
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		_ = unix.Close(fd)
		return exitWait{pid: pid}
	}
	return exitWait{pid, os.NewFile(uintptr(fd), "process")}
}

// wait returns when the process is dead and leaves it a zombie.
func (w exitWait) wait() exitStatus {
	if w.fd != nil {
		if raw, err := w.fd.SyscallConn(); err == nil {
			var status exitStatus
			dead := false
			err := raw.Read(func(uintptr) bool {
				status, dead = w.look(unix.WNOHANG)
				return dead
			})
			if err == nil && dead {
				return status
			}
		}
	}
	status, _ := w.look(0)
	return status
}

// look asks for the state of the process. Somebody who reaps every child of
// the gate would have taken the answer (ECHILD): it is dead all the same.
func (w exitWait) look(options int) (status exitStatus, dead bool) {
	var info siginfo
	for {
		err := unix.Waitid(unix.P_PID, w.pid, (*unix.Siginfo)(unsafe.Pointer(&info)), unix.WEXITED|unix.WNOWAIT|options, nil)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return exitStatus{}, true
		case info.pid == 0:
			return exitStatus{}, false
		}
		return info.exitStatus(), true
	}
}

func (w exitWait) close() {
	if w.fd != nil {
		_ = w.fd.Close()
	}
}

// siginfo is siginfo_t as waitid fills it on 64-bit systems.
type siginfo struct {
	signo, errno, code, _ int32

	pid    int32
	uid    uint32
	status int32

	_ [100]byte
}

// The values of siginfo.code for a process that is dead (waitid(2)).
const codeExited = 1 // else killed, with or without a core dump

func (i *siginfo) exitStatus() exitStatus {
	if i.code == codeExited {
		return exitStatus{known: true, code: int(i.status)}
	}
	return exitStatus{known: true, signal: syscall.Signal(i.status)}
}
