// Package measure reads from the kernel what processes cost: processor time
// and memory, and what machine it is.
package measure

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// CPU is the processor time that processes have used so far, user and system,
// all their threads together. It is read where the kernel counts nanoseconds,
// thread by thread; who compares two readings must know that threads which
// have ended in between are left out, and that none of what is measured here
// ends threads under load.
func CPU(pids ...int) time.Duration {
	var sum int64
	for _, pid := range pids {
		tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
		if err != nil {
			continue
		}
		for _, task := range tasks {
			stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/schedstat", pid, task.Name()))
			if err != nil {
				continue
			}
			first, _, _ := bytes.Cut(stat, []byte(" "))
			n, _ := strconv.ParseInt(string(first), 10, 64)
			sum += n
		}
	}
	return time.Duration(sum)
}

// Resident is the resident memory of processes in bytes.
func Resident(pids ...int) int64 { return sum(pids, "VmRSS") }

// Peak is the most that was resident since the last ResetPeak, in bytes.
func Peak(pids ...int) int64 { return sum(pids, "VmHWM") }

// ResetPeak makes what is resident now the peak.
func ResetPeak(pid int) error {
	return os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0)
}

func sum(pids []int, field string) int64 {
	var total int64
	for _, pid := range pids {
		status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		kilobytes, _, _ := strings.Cut(value(string(status), field), " ")
		n, _ := strconv.ParseInt(kilobytes, 10, 64)
		total += n << 10
	}
	return total
}

// value is what stands behind a name and a colon in one of the kernel's lists.
func value(list, name string) string {
	for line := range strings.Lines(list) {
		if key, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// Descriptors is how many files a process has open.
func Descriptors(pid int) int {
	entries, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	return len(entries)
}

// Children are the processes that pid has started and not yet reaped.
func Children(pid int) []int {
	var pids []int
	tasks, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	for _, task := range tasks {
		list, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/children", pid, task.Name()))
		for field := range bytes.FieldsSeq(list) {
			child, _ := strconv.Atoi(string(field))
			pids = append(pids, child)
		}
	}
	return pids
}

// Tree is a process with all that descend from it.
func Tree(pid int) []int {
	pids := []int{pid}
	for _, child := range Children(pid) {
		pids = append(pids, Tree(child)...)
	}
	return pids
}

// A Machine is where figures were measured.
type Machine struct {
	Processor string `json:"processor"`
	Cores     int    `json:"cores"`
	Kernel    string `json:"kernel"`
	MemoryMiB int64  `json:"memory_mib"`
}

// ThisMachine looks at the machine it runs on.
func ThisMachine() Machine {
	cpu, _ := os.ReadFile("/proc/cpuinfo")
	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	memory, _ := os.ReadFile("/proc/meminfo")
	kilobytes, _, _ := strings.Cut(value(string(memory), "MemTotal"), " ")
	n, _ := strconv.ParseInt(kilobytes, 10, 64)
	return Machine{value(string(cpu), "model name"), runtime.NumCPU(), strings.TrimSpace(string(kernel)), n >> 10}
}
