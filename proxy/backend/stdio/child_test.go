package stdio

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sidegate/proxy/backend/contract"
)

// child is what the test binary does as a child.
func child(behaviour string) int {
	switch behaviour {
	case contract.Echo, contract.Silent, contract.Deaf:
		contract.Serve(behaviour, os.Stdin, os.Stdout)
	case "copy":
		_, _ = io.CopyBuffer(struct{ io.Writer }{os.Stdout}, struct{ io.Reader }{os.Stdin}, make([]byte, 64<<10))
	case "describe":
		describe()
	case "complain":
		for n := range keptWords + 2 {
			fmt.Fprintln(os.Stderr, "complaint", n)
		}
		fmt.Fprint(os.Stderr, "fatal: no API_KEY in the environment")
		return 7
	case "family":
		say("family", family())
		wait()
	case "stubborn family":
		signal.Ignore(syscall.SIGTERM)
		say("family", family())
		wait()
	case "leaving family":
		say("family", family())
	case "grandchild":
		signal.Ignore(syscall.SIGTERM)
		report(os.Getpid())
		wait()
	case "writing grandchild":
		signal.Ignore(syscall.SIGTERM)
		report(os.Getpid())
		block := []byte(strings.Repeat("abc\n", 1024)) // a pipe takes so much in one piece
		for {
			_, _ = os.Stdout.Write(block)
		}
	case "middleman":
		report(relative("grandchild", &syscall.SysProcAttr{Setsid: true}))
	case "hiding family":
		say("family", []int{relative("hiding middleman", nil)})
		wait()
	case "hiding middleman":
		dropMark()
		report(relative("grandchild", &syscall.SysProcAttr{Setsid: true}))
	case "stop itself":
		say("up", nil)
		_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP)
		wait()
	case "close stdout":
		say("up", nil)
		_ = syscall.Close(1)
		wait()
	case "close stdin":
		_ = syscall.Close(0)
		say("up", nil)
		wait()
	case "last words":
		relative("writing grandchild", nil)
		for n := range 100 {
			fmt.Printf(`{"jsonrpc":"2.0","method":"n","params":[%d]}`+"\n", n)
		}
	case "flood":
		line := strings.Repeat("f", floodSize/floodLines-1) + "\n"
		for range floodLines / 1000 {
			_, _ = io.WriteString(os.Stderr, strings.Repeat(line, 1000))
		}
		say("through", nil)
		_, _ = io.Copy(io.Discard, os.Stdin)
	case "colours":
		fmt.Fprintf(os.Stderr, "\x1b[31mred\x1b[0m alert\x07\n\n10%%\r\x1b]0;title\x07ready\r\n%s\nno newline", strings.Repeat("l", 3*maxStderrLine))
	case "garbage":
		fmt.Println("Server ready\x1b[1m on stdio")
		for range 100 {
			fmt.Println(`{"jsonrpc":"2.0","id":1,"result":"secret"`)
		}
	case "gate":
		gate()
	case "first process":
		return firstProcess()
	}
	return 0
}

const (
	floodSize  = 100 << 20
	floodLines = 200 * 1000
)

func say(method string, params any) {
	text, err := json.Marshal(params)
	if err != nil || params == nil {
		text = []byte("[]")
	}
	fmt.Printf(`{"jsonrpc":"2.0","method":%q,"params":%s}`+"\n", method, text)
}

// wait waits for longer than any test, and does not read.
func wait() { time.Sleep(10 * contract.Patience) }

func describe() {
	flags, err := unix.FcntlInt(0, unix.F_GETFL, 0)
	session, _ := unix.Getsid(0)
	say("self", map[string]any{
		"blocking": err == nil && flags&unix.O_NONBLOCK == 0,
		"group":    syscall.Getpgrp(),
		"session":  session,
		"secret":   os.Getenv("SECRET"),
	})
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// family starts three grandchildren: one in the group, one in a session of its
// own, and one in a session of its own whose parent has ended, as daemons do.
// All ignore SIGTERM and hold the child's outputs.
func family() []int {
	return []int{
		relative("grandchild", nil),
		relative("grandchild", &syscall.SysProcAttr{Setsid: true}),
		relative("middleman", nil),
	}
}

// relative starts the test binary with a behaviour and returns the process id
// that it reports, which it does when it is ready.
func relative(behaviour string, attr *syscall.SysProcAttr) int {
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	in, out, err := os.Pipe()
	if err != nil {
		panic(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), childVariable+"="+behaviour)
	cmd.SysProcAttr = attr
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.ExtraFiles = []*os.File{out}
	if err := cmd.Start(); err != nil {
		panic(err)
	}
	_ = out.Close()
	var pid int
	if _, err := fmt.Fscan(in, &pid); err != nil {
		panic(err)
	}
	if pid != cmd.Process.Pid {
		_ = cmd.Wait() // a middleman
	}
	return pid
}

// report tells relative the process id that it waits for.
func report(pid int) {
	f := os.NewFile(3, "report")
	fmt.Fprintln(f, pid)
	_ = f.Close()
}

// gate is a gate that is going to be killed. It starts a child that notices
// nothing of it.
func gate() {
	c, err := mustNew(contract.Deaf).Open(context.Background(), contract.NewRecorder())
	if err != nil {
		panic(err)
	}
	fmt.Println(c.(*conn).process.pid)
	wait()
}

func mustNew(behaviour string) *Backend {
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	b, err := New(Config{Command: []string{self}, Env: childEnv(behaviour), StopTimeout: 100 * time.Millisecond})
	if err != nil {
		panic(err)
	}
	return b
}

func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

// pids are the process ids in a message of say.
func pids(t testing.TB, message string) []int {
	t.Helper()
	var m struct{ Params []int }
	if err := json.Unmarshal([]byte(message), &m); err != nil || len(m.Params) == 0 {
		t.Fatalf("%s: %v", message, err)
	}
	return m.Params
}

// wantGone checks that none of the processes is left, not even a zombie.
func wantGone(t testing.TB, pids []int) {
	t.Helper()
	for _, pid := range pids {
		if syscall.Kill(pid, 0) == nil {
			t.Errorf("process %d is left over", pid)
		}
	}
}
