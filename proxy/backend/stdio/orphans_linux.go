package stdio

import (
	"bytes"
	"context"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// When a process ends, its children pass to the nearest ancestor that adopts
// orphans, else to PID 1. The gate adopts (PR_SET_CHILD_SUBREAPER), so that
// what a tool server leaves behind comes here: it can be found without a walk
// over all processes, is signalled without doubt about whom its number means,
// since only we can end its zombie, and is reaped. As PID 1 of a container the
// gate has to reap them anyway.
//
// Which server it was of, when it has left the server's process group and
// session to be a daemon, tells a mark that every child gets at its start and
// hands down. The mark is the child's soft limit of bytes in POSIX message
// queues, lowered a little, by another number for each child: limits are
// inherited, can be read from outside, and this one nobody comes near. A
// variable would do as well, but the environment of a server is its operator's.

// markStart runs start so that the child carries the mark that is returned; 0:
// it carries none, and its group and session have to tell. The gate's own limit
// is changed for that long, which is why one thread starts all children.
func (k *keeper) markStart(start func()) (mark uint64) {
	var own unix.Rlimit
	err := unix.Prlimit(0, unix.RLIMIT_MSGQUEUE, nil, &own)
	if err != nil || own.Cur < 2*marks {
		start()
		return 0
	}
	k.marked++
	lowered := own
	lowered.Cur -= 1 + k.marked%marks
	if unix.Prlimit(0, unix.RLIMIT_MSGQUEUE, &lowered, nil) != nil {
		start()
		return 0
	}
	defer func() { _ = unix.Prlimit(0, unix.RLIMIT_MSGQUEUE, &own, nil) }() // up to the hard limit it always may
	start()
	return lowered.Cur
}

// marks is how many different marks there are: far more than children at once.
const marks = 1 << 16

// ReapOrphans keeps reaping what the tool servers' processes leave behind,
// also while no server runs, until ctx is done; then it kills what is left of
// them and returns. The gate runs it from its start to after the last
// connection's end. As PID 1 it reaps every process that ends up here, also
// those that came into the container from outside, and kills none of these.
func ReapOrphans(ctx context.Context) {
	keep.hold()
	defer keep.release()
	<-ctx.Done()
	if os.Getpid() != 1 {
		keep.killOrphans()
	}
}

// adopt turns the adoption of orphans on and off. Where it is not to be had
// only process groups are ended.
func adopt(on bool) {
	var value uintptr
	if on {
		value = 1
	}
	_ = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, value, 0, 0, 0)
}

// reapOrphans ends the zombies of orphans until quit. It never waits for "any
// child": that would take the exit status of the gate's own.
func (k *keeper) reapOrphans() {
	deaths := make(chan os.Signal, 1)
	signal.Notify(deaths, syscall.SIGCHLD)
	defer signal.Stop(deaths)
	for {
		k.eachOrphan(func(o orphan) {
			if o.dead {
				reapOne(o.pid)
			}
		})
		select {
		case <-deaths:
		case <-k.quit:
			return
		}
	}
}

// killOrphans kills all orphans, and those that come of that.
func (k *keeper) killOrphans() {
	until(stuckTimeout, nil, func() bool {
		found := 0
		k.eachOrphan(func(o orphan) {
			found++
			o.end(unix.SIGKILL)
		})
		return found == 0
	})
}

// orphan is a process that came to the gate when its parent ended.
type orphan struct {
	pid, group, session int
	dead                bool
}

// end sends sig to an orphan, unless sig is 0, or ends its zombie.
func (o orphan) end(sig syscall.Signal) {
	switch {
	case o.dead:
		reapOne(o.pid)
	case sig != 0:
		_ = unix.Kill(o.pid, sig)
	}
}

// leftovers counts the orphans that the child left behind, sends sig to those
// alive outside its group unless it is 0, and reaps the dead. These count as
// well, for their own children may have come here after the count began: only
// none is none. The child must be dead and not reaped. sessions are ids of
// sessions that its processes are in; leftovers adds to them.
func (p *process) leftovers(sessions map[int]bool, sig syscall.Signal) (found int) {
	keep.eachOrphan(func(o orphan) {
		switch {
		case o.group == p.pid: // gets the group's signals
			o.end(0)
		case sessions[o.session] || carries(o.pid, p.mark):
			sessions[o.session] = true
			o.end(sig)
		default:
			return
		}
		found++
	})
	return found
}

// eachOrphan calls f for every orphan. It is one at a time with the start and
// the reaping of children, so an orphan's number means this orphan until f
// returns.
func (k *keeper) eachOrphan(f func(orphan)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	own, err := unix.Getsid(0)
	if err != nil {
		return
	}
	for _, pid := range childrenOfGate(k.walk) {
		if _, child := k.children[pid]; child {
			continue
		}
		// Children of the gate that this package did not start are in the
		// gate's session. Orphans are not: they descend from a child, which
		// has its own, and nobody comes back into a session he has left.
		if o, ok := stat(pid); ok && o.session != own {
			f(o)
		}
	}
}

// childrenOfGate lists the processes that have the gate for a parent, at
// least all orphans: the kernel gives these to the main thread.
func childrenOfGate(walk bool) []int {
	self := strconv.Itoa(os.Getpid())
	list, err := os.ReadFile("/proc/self/task/" + self + "/children")
	if err != nil || walk {
		return childrenByWalk(self) // as on a kernel without CONFIG_PROC_CHILDREN
	}
	return numbers(strings.Fields(string(list)))
}

// childrenByWalk looks at every process for its parent.
func childrenByWalk(self string) []int {
	proc, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer proc.Close()
	names, _ := proc.Readdirnames(-1)
	var children []int
	for _, pid := range numbers(names) {
		if fields := statFields(pid); len(fields) > 1 && fields[1] == self {
			children = append(children, pid)
		}
	}
	return children
}

func numbers(words []string) []int {
	var list []int
	for _, word := range words {
		if n, err := strconv.Atoi(word); err == nil {
			list = append(list, n)
		}
	}
	return list
}

// stat reads what the kernel says about a process.
func stat(pid int) (orphan, bool) {
	fields := statFields(pid)
	if len(fields) < 4 {
		return orphan{}, false
	}
	o := orphan{pid: pid, dead: fields[0] == "Z" || fields[0] == "X"}
	var err1, err2 error
	o.group, err1 = strconv.Atoi(fields[2])
	o.session, err2 = strconv.Atoi(fields[3])
	return o, err1 == nil && err2 == nil
}

// statFields returns the fields of /proc/PID/stat from the third on: state,
// parent, group, session. The second, the name, may hold anything and ends
// with the last parenthesis.
func statFields(pid int) []string {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return nil
	}
	return strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
}

// carries reports whether a process has the mark. The limits of another user's
// process cannot be read: its session has to tell.
func carries(pid int, mark uint64) bool {
	var limit unix.Rlimit
	return mark != 0 && unix.Prlimit(pid, unix.RLIMIT_MSGQUEUE, nil, &limit) == nil && limit.Cur == mark
}
