package measure

import (
	"os"
	"os/exec"
	"runtime"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestThisProcess wants what the kernel tells of this process to be something.
func TestThisProcess(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("reads /proc, which only Linux has")
	}
	me := os.Getpid()
	before := CPU(me)
	for start := time.Now(); time.Since(start) < 50*time.Millisecond; {
	}
	if used := CPU(me) - before; used <= 0 {
		t.Errorf("%v of processor time", used)
	}
	ballast := make([]byte, 64<<20)
	for i := 0; i < len(ballast); i += 4096 {
		ballast[i] = 1
	}
	if resident, peak := Resident(me), Peak(me); resident < 64<<20 || peak < resident/2 {
		t.Errorf("%d bytes resident, peak %d", resident, peak)
	}
	runtime.KeepAlive(ballast)
	if n := Descriptors(me); n < 3 {
		t.Errorf("%d descriptors", n)
	}
	if m := ThisMachine(); m.Cores == 0 || m.Kernel == "" || m.MemoryMiB == 0 {
		t.Errorf("%+v", m)
	}
}

// TestTree finds a child, and counts nothing of processes that are not there.
func TestTree(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("reads /proc, which only Linux has")
	}
	child := exec.Command("sleep", "60")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	pid := child.Process.Pid
	if tree := Tree(os.Getpid()); tree[0] != os.Getpid() || !slices.Contains(tree, pid) {
		t.Errorf("%v does not have %d", tree, pid)
	}
	child.Process.Kill()
	child.Wait()
	if CPU(pid) != 0 || Resident(pid) != 0 || Children(pid) != nil {
		t.Error("a process that has ended costs something")
	}
}
