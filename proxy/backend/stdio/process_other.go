//go:build !linux

package stdio

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// fionread asks for the bytes that wait in a pipe.
const fionread = 0x4004667f

// attributes of a child: a session of its own, with that a process group of
// its own and no terminal. There is no parent-death signal here: the children
// of a gate that is killed get end-of-file.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setsid: true}
}

// exitWait waits for a child's death through a kqueue, because waitid returns
// here also for a process that is merely stopped (go.dev/issue/19314).
type exitWait struct {
	pid int
}

func newExitWait(pid int) exitWait { return exitWait{pid} }

// wait returns when the process is dead and leaves it a zombie. It costs a
// thread.
func (w exitWait) wait() exitStatus {
	queue, err := unix.Kqueue()
	for err != nil { // no descriptor is free
		time.Sleep(100 * time.Millisecond)
		queue, err = unix.Kqueue()
	}
	defer unix.Close(queue)
	unix.CloseOnExec(queue)
	watch := []unix.Kevent_t{{
		Ident:  uint64(w.pid),
		Filter: unix.EVFILT_PROC,
		Flags:  unix.EV_ADD | unix.EV_ONESHOT,
		Fflags: unix.NOTE_EXIT | unix.NOTE_EXITSTATUS,
	}}
	events := make([]unix.Kevent_t, 1)
	for {
		n, err := unix.Kevent(queue, watch, events, nil)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil || n == 0 || events[0].Flags&unix.EV_ERROR != 0:
			return exitStatus{} // a zombie already: nothing is left to watch
		}
		return statusOf(syscall.WaitStatus(events[0].Data))
	}
}

func (w exitWait) close() {}

func statusOf(s syscall.WaitStatus) exitStatus {
	if s.Signaled() {
		return exitStatus{known: true, signal: s.Signal()}
	}
	return exitStatus{known: true, code: s.ExitStatus()}
}
