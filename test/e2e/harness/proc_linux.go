package harness

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"testing"
)

// endWithUs kills a gate whose test was killed itself. The kernel ties the
// signal to the thread that forked; Go ends a thread only with a goroutine that
// is locked to it, and no test has one.
func endWithUs() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }

// NeedProc skips the test where there is no /proc to count processes and
// descriptors in.
func NeedProc(testing.TB) {}

// Children are the gate's direct children, those that it has not reaped among
// them.
func (g *Gate) Children() []int { return childrenOf(g.PID()) }

func childrenOf(parent int) []int {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var pids []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if f := statFields(pid); len(f) > 1 && string(f[1]) == strconv.Itoa(parent) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// statFields are the fields of /proc/PID/stat that follow the command's name:
// state, parent, and so on; nil when there is no such process.
func statFields(pid int) [][]byte {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil
	}
	return bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
}

func zombie(pid int) bool {
	f := statFields(pid)
	return len(f) > 0 && (f[0][0] == 'Z' || f[0][0] == 'X')
}

// Descriptors is how many files the gate has open.
func (g *Gate) Descriptors() int {
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", g.PID()))
	if err != nil {
		return -1
	}
	return len(entries)
}

// Resident is the gate's resident memory in bytes.
func (g *Gate) Resident() int64 {
	statm, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", g.PID()))
	if err != nil {
		return -1
	}
	f := bytes.Fields(statm)
	pages, _ := strconv.ParseInt(string(f[1]), 10, 64)
	return pages * int64(os.Getpagesize())
}
