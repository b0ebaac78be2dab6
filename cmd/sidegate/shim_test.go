package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// TestShimChildForEach: two clients have two children, and each end is that of
// its pair alone.
func TestShimChildForEach(t *testing.T) {
	s := startShim(t, copying)
	one, two := s.dial(t), s.dial(t)
	if one.pid == two.pid {
		t.Fatalf("both have process %d", one.pid)
	}
	one.send(t, request)
	two.send(t, `{"jsonrpc":"2.0","id":"two","method":"x"}`)
	if got := one.next(t); got != request {
		t.Errorf("the first got %s", got)
	}
	if got := two.next(t); got != `{"jsonrpc":"2.0","id":"two","method":"x"}` {
		t.Errorf("the second got %s", got)
	}
	// The connection's end is the child's, and what it says last arrives.
	one.send(t, request)
	if err := one.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got := one.next(t); got != request {
		t.Errorf("after the end of what was sent: %s", got)
	}
	one.wantEnd(t)
	wantDead(t, one.pid)
	// The child's end is the connection's.
	if err := syscall.Kill(two.pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	two.wantEnd(t)
	s.signal(t, syscall.SIGTERM)
	s.wantExit(t, exitDone)
	if !strings.Contains(s.log(), "was ended by signal 9") {
		t.Errorf("the log does not tell how the child ended")
	}
}

// TestShimRefusesOthers: only who is let in gets a child; by default that is
// the shim's own user.
func TestShimRefusesOthers(t *testing.T) {
	own := uint32(os.Getuid())
	s := startShim(t, copying, fmt.Sprintf("--allow-uid=%d,%d", own+1, own+2))
	for range 20 {
		s.dialOnly(t).wantTurnedAway(t, fmt.Sprintf("let it in with --allow-uid=%d", own))
	}
	s.signal(t, syscall.SIGTERM)
	s.wantExit(t, exitDone)
	if n := strings.Count(s.log(), fmt.Sprintf(`its user may not connect; let it in with --allow-uid=%[1]d","uid":%[1]d`, own)); n == 0 || n > 10 {
		t.Errorf("%d refusals in the log of 20, want a few", n)
	}
	if !strings.Contains(s.log(), `"connections":0,"refused_peers":20`) {
		t.Error("the refusals are not counted")
	}
}

func TestShimMaxConnections(t *testing.T) {
	s := startShim(t, copying, "--max-connections=2")
	one := s.dial(t)
	s.dial(t)
	s.dialOnly(t).wantTurnedAway(t, "raise --max-connections")
	_ = one.Close()
	wantDead(t, one.pid)
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) { // its place is free a moment later
		if line, err := s.dialOnly(t).lines.ReadString('\n'); err == nil && strings.Contains(line, `"pid"`) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the place of a connection that has ended is not free")
		}
	}
	if !strings.Contains(s.log(), "--max-connections") {
		t.Error("the log does not name the limit")
	}
}

// TestShimLargeMessages: the largest there may be, both ways, and more than the
// gate can have made of it.
func TestShimLargeMessages(t *testing.T) {
	s := startShim(t, copying)
	c := s.dial(t)
	const frame = `{"jsonrpc":"2.0","method":"x","params":[""]}`
	large := func(size int) string {
		return frame[:len(frame)-3] + strings.Repeat("x", size-len(frame)) + frame[len(frame)-3:]
	}
	for range 2 {
		text := large(16 << 20)
		sending := make(chan error, 1)
		go func() {
			_, err := io.WriteString(c, text+"\n")
			sending <- err
		}()
		if got := c.next(t); got != text {
			t.Errorf("%d bytes came back, which differ from the %d that were sent", len(got), len(text))
		}
		if err := <-sending; err != nil {
			t.Error(err)
		}
	}
	_, _ = io.WriteString(c, large(17<<20)+"\n") // it may be cut before all is written
	c.wantEnd(t)
	if !strings.Contains(s.log(), "longer than the limit; give the same --max-message") {
		t.Error("the log does not tell of the limit")
	}
}

// TestShimAnswersForTheChild what is too long to pass, or no message.
func TestShimAnswersForTheChild(t *testing.T) {
	script := sayPID + `echo '{"jsonrpc":"2.0","id":1,"result":{},}'; printf '{"jsonrpc":"2.0","id":2,"result":"%02000d"}\n' 0; cat >/dev/null`
	c := startShim(t, script, "--max-message=1KiB").dial(t)
	for _, want := range []string{`"id":1,"error":{"code":502,`, `"id":2,"error":{"code":413,`} {
		if got := c.next(t); !strings.Contains(got, want) {
			t.Errorf("answer %s, want %s in it", got, want)
		}
	}
}

func TestShimClosesOnGarbage(t *testing.T) {
	s := startShim(t, copying)
	c := s.dial(t)
	c.send(t, "GET / HTTP/1.1")
	c.wantEnd(t)
	wantDead(t, c.pid)
	if !strings.Contains(s.log(), "does not speak JSON-RPC in lines") {
		t.Error("the log does not tell why")
	}
}

// TestShimLosesNothing: who does not read makes who writes wait, and then gets
// everything.
func TestShimLosesNothing(t *testing.T) {
	c := startShim(t, copying).dial(t)
	const messages = 60
	pad := strings.Repeat("p", 1<<20)
	sent := make(chan error, 1)
	go func() {
		for n := range messages {
			if _, err := fmt.Fprintf(c, `{"jsonrpc":"2.0","method":"x","params":[%d,%q]}`+"\n", n, pad); err != nil {
				sent <- err
				return
			}
		}
		sent <- nil
	}()
	select { // 60 MiB do not fit anywhere on the way
	case err := <-sent:
		t.Fatalf("all was taken without being read: %v", err)
	case <-time.After(300 * time.Millisecond):
	}
	for n := range messages {
		if got, want := c.next(t), fmt.Sprintf(`{"jsonrpc":"2.0","method":"x","params":[%d,`, n); !strings.HasPrefix(got, want) {
			t.Fatalf("message %d is %.80s", n, got)
		}
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
}

// TestShimDrains: what has begun is finished, idle connections end at once, and
// no new one is taken.
func TestShimDrains(t *testing.T) {
	s := startShim(t, answering)
	busy, idle := s.dial(t), s.dial(t)
	busy.send(t, request)
	time.Sleep(50 * time.Millisecond) // so that it is on its way; the other order is refused, not lost
	s.signal(t, syscall.SIGTERM)
	idle.wantEnd(t)
	if _, err := net.Dial("unix", s.path); err == nil {
		t.Error("a connection was taken while draining")
	}
	if got := busy.next(t); got != `{"jsonrpc":"2.0","id":1,"result":{}}` {
		t.Errorf("answer %s", got)
	}
	busy.wantEnd(t)
	s.wantExit(t, exitDone)
	wantDead(t, busy.pid)
}

// TestShimGraceRunsOut, and the child goes although it does not mind its
// input's end.
func TestShimGraceRunsOut(t *testing.T) {
	s := startShim(t, deaf, "--grace=100ms", "--stop-timeout=1h")
	c := s.dial(t)
	c.send(t, request)
	time.Sleep(50 * time.Millisecond)
	s.signal(t, syscall.SIGTERM)
	s.wantExit(t, exitGrace)
	wantDead(t, c.pid)
	if !strings.Contains(s.log(), "sidegate: the grace ran out") {
		t.Error("no reason was given")
	}
}

// TestShimCancelledCall: a call that was cancelled is not waited for.
func TestShimCancelledCall(t *testing.T) {
	s := startShim(t, sayPID+`while read line; do echo "$line"; done`, "--grace=1h")
	c := s.dial(t)
	c.send(t, request)
	c.next(t)
	c.send(t, `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}`)
	c.next(t)
	s.signal(t, syscall.SIGTERM)
	s.wantExit(t, exitDone)
}

func TestShimSecondSignalKills(t *testing.T) {
	s := startShim(t, deaf, "--grace=1h", "--stop-timeout=1h")
	c := s.dial(t)
	c.send(t, request)
	time.Sleep(50 * time.Millisecond)
	s.signal(t, syscall.SIGTERM)
	for deadline := time.Now().Add(patience); !strings.Contains(s.log(), `"draining"`); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the shim does not drain")
		}
	}
	s.signal(t, syscall.SIGTERM)
	s.wantExit(t, exitGrace)
	wantDead(t, c.pid)
}

// TestShimSecondSignalIdle: without a call in flight nothing is cut, which is no
// failure.
func TestShimSecondSignalIdle(t *testing.T) {
	s := startShim(t, deaf, "--grace=1h", "--stop-timeout=1h")
	c := s.dial(t)
	s.signal(t, syscall.SIGTERM)
	for deadline := time.Now().Add(patience); !strings.Contains(s.log(), `"draining"`); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the shim does not drain")
		}
	}
	s.signal(t, syscall.SIGTERM)
	s.wantExit(t, exitDone)
	wantDead(t, c.pid)
}

// TestShimSocketFile: a stale one is removed, the mode is the one that was
// asked for, and a second shim does not take the place of the first.
func TestShimSocketFile(t *testing.T) {
	s := startShim(t, copying, "--mode=0600")
	info, err := os.Stat(s.path)
	if err != nil || info.Mode() != fs.ModeSocket|0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	_, errs, code := finish(t, gateProcess(t, "shim", "--listen=unix://"+s.path, "--", "sh"))
	if code != exitListen || !strings.Contains(errs, "another program is listening there") {
		t.Errorf("exit code %d, %s", code, errs)
	}
	s.signal(t, syscall.SIGKILL)
	<-s.ended
	if _, err := os.Lstat(s.path); err != nil {
		t.Fatalf("no stale socket: %v", err)
	}
	again := startShimAt(t, s.path, copying)
	again.dial(t)
	if info, err := os.Stat(s.path); err != nil || info.Mode() != fs.ModeSocket|0o660 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

// TestShimChurn: connections come and go, some of them without manners.
func TestShimChurn(t *testing.T) {
	s := startShim(t, copying)
	before := holds(t, s)
	var clients sync.WaitGroup
	for n := range 8 {
		clients.Go(func() {
			for round := range 15 {
				c, err := net.Dial("unix", s.path)
				if err != nil {
					t.Error(err)
					return
				}
				switch (n + round) % 4 {
				case 0: // it leaves at once
				case 1:
					_, _ = io.WriteString(c, request+"\n"+request[:10])
				case 2:
					_, _ = io.WriteString(c, request+"\n")
					_, _ = bufio.NewReader(c).ReadString('\n')
				case 3:
					_ = c.(*net.UnixConn).CloseWrite()
					_, _ = io.Copy(io.Discard, c)
				}
				_ = c.Close()
			}
		})
	}
	clients.Wait()
	wantNothingLeft(t, s, before)
	s.dial(t) // as good as ever
	s.signal(t, syscall.SIGTERM)
	s.wantExit(t, exitDone)
	if !strings.Contains(s.log(), `"connections":121,"refused_peers":0`) {
		t.Error("connections are counted wrongly")
	}
}

// TestShimToolServerCannotStart: the connection is closed, and the peer and the
// log are told why.
func TestShimToolServerCannotStart(t *testing.T) {
	dir := t.TempDir()
	script := filepath.Join(dir, "server")
	if err := os.WriteFile(script, []byte("#!/bin/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(shortDir(t), "s")
	cmd := gateProcess(t, "shim", "--listen=unix://"+path, "--", script)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(script); err != nil {
		t.Fatal(err)
	}
	s := &runningShim{path: path}
	s.dialOnly(t).wantTurnedAway(t, "its tool server could not be started")
	_ = cmd.Process.Signal(syscall.SIGTERM)
	_ = cmd.Wait()
	if !strings.Contains(errs.String(), "its tool server could not be started") {
		t.Errorf("the log says %s", &errs)
	}
}

func TestShimProblems(t *testing.T) {
	file := writeFile(t, "")
	for _, c := range []struct {
		args []string
		env  string
		code int
		want string
	}{
		{[]string{"--", "sh"}, "", exitUsage, `--listen: must be unix:///PATH; it is ""`},
		{[]string{"--listen=127.0.0.1:1", "--", "sh"}, "", exitUsage, `--listen: must be unix:///PATH; it is "127.0.0.1:1"`},
		{[]string{"--", "sh"}, "SIDEGATE_LISTEN=tool.sock", exitUsage, `SIDEGATE_LISTEN: must be unix:///PATH; it is "tool.sock"`},
		{[]string{"--", "sh"}, "SIDEGATE_LISTNE=tool.sock", exitUsage, `SIDEGATE_LISTNE: unknown variable; did you mean "SIDEGATE_LISTEN"?`},
		{[]string{"--listen=unix:///s", "--grace=1s", "--", "sh"}, "SIDEGATE_GRACE=x", exitUsage, `SIDEGATE_GRACE: must be a time with its unit`},
		{[]string{"--listen=unix:///s", "--allow-uid=me", "--", "sh"}, "", exitUsage, `--allow-uid: must be a user's number; it is "me"`},
		{[]string{"--listen=unix:///s", "--allow-uid=4294967295", "--", "sh"}, "", exitUsage, `--allow-uid: must be a user's number; it is "4294967295"`},
		{[]string{"--listen=unix:///s", "--mode=rw", "--", "sh"}, "", exitUsage, `--mode: must be a mode in octal digits, as in 0660; it is "rw"`},
		{[]string{"--listen=unix:///s", "--mode=1777", "--", "sh"}, "", exitUsage, `--mode: must be a mode in octal digits`},
		{[]string{"--listen=unix:///s", "--max-connections=0", "--", "sh"}, "", exitUsage, `--max-connections: must be at least 1; it is 0`},
		{[]string{"--listen=unix:///s", "--max-message=1", "--", "sh"}, "", exitUsage, `--max-message: must be from 1024 to 1073741824 bytes; it is 1`},
		{[]string{"--listen=unix:///s", "--stop-timeout=0s", "--", "sh"}, "", exitUsage, `--stop-timeout: must be at least 1ms; it is 0s`},
		{[]string{"--listen=unix:///s", "--grace=-1s", "--", "sh"}, "", exitUsage, `--grace: must not be negative; it is -1s`},
		{[]string{"--listen=unix:///s"}, "", exitUsage, `COMMAND: is missing: name the tool server, as in: sidegate shim --listen unix:///run/mcp/tool.sock -- npx -y `},
		{nil, "", exitUsage, "sidegate: COMMAND: is missing: name the tool server, as in: sidegate shim --listen unix:///run/mcp/tool.sock -- npx -y @modelcontextprotocol/server-everything\nsidegate: --listen: must be unix:///PATH; it is \"\"\n"},
		{[]string{"--listen=unix:///s", "sh"}, "", exitUsage, `"sh": the tool server's command stands after --, as in: sidegate shim -- sh ...`},
		{[]string{"--listen=unix:///s", "--", "no-such-program-here"}, "", exitUsage, "no such program in PATH"},
		{[]string{"--listen=unix:///nowhere/s", "--", "sh"}, "", exitListen, "--listen: cannot listen on unix:///nowhere/s: listen unix /nowhere/s: bind: no such file or directory; the directory must exist\n"},
		{[]string{"--listen=unix://" + file, "--", "sh"}, "", exitListen, "something that is no socket stands there"},
	} {
		cmd := gateProcess(t, append([]string{"shim"}, c.args...)...)
		cmd.Env = append(cmd.Env, c.env)
		out, errs, code := finish(t, cmd)
		if code != c.code || !strings.HasPrefix(errs, "sidegate: ") || !strings.Contains(errs, c.want) || out != "" {
			t.Errorf("%q %s: exit code %d, %s%s\nwant %d and %s", c.args, c.env, code, out, errs, c.code, c.want)
		}
	}
}

func TestShimVariables(t *testing.T) {
	s := shimDefaults()
	flags := s.flags()
	if err := flags.Parse([]string{"--grace=1s"}); err != nil {
		t.Fatal(err)
	}
	environ := []string{"SIDEGATE_LISTEN=unix:///run/tool.sock", "SIDEGATE_ALLOW_UID=1,2", "SIDEGATE_GRACE=2s", "SIDEGATE_ENV=A=1,B"}
	if err := s.resolve(flags, environ, []string{"sh"}); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprintf("%s %v %s %v %v", s.listen, s.allowUIDs, s.grace, s.backend.Env, s.backend.Command); got != "unix:///run/tool.sock [1 2] 1s [A=1 B] [sh]" {
		t.Errorf("settings %s", got)
	}
}
