package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A passed socket is one that stays open here, as it does in systemd.
type passed struct {
	name string
	file *os.File
}

// passSocket makes a socket to pass: what listening on address gives.
func passSocket(t *testing.T, name, network, address string) (passed, string) {
	t.Helper()
	ln, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	if u, ok := ln.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(false)
	}
	defer ln.Close()
	return passed{name, fileOf(t, ln.(filer))}, ln.Addr().String()
}

// A filer is any socket of package net.
type filer interface{ File() (*os.File, error) }

func fileOf(t *testing.T, f filer) *os.File {
	t.Helper()
	file, err := f.File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	return file
}

// activated is the command line of a process that is given the sockets as
// systemd gives them: from descriptor 3 on, with their names and the number of
// the process, which the shell knows before it becomes the gate.
func activated(t *testing.T, sockets []passed, args ...string) *exec.Cmd {
	t.Helper()
	cmd := gateProcess(t, args...)
	var names []string
	for _, s := range sockets {
		names = append(names, s.name)
		cmd.ExtraFiles = append(cmd.ExtraFiles, s.file)
	}
	cmd.Env = append(cmd.Env, "LISTEN_FDS="+strconv.Itoa(len(sockets)), "LISTEN_FDNAMES="+strings.Join(names, ":"))
	cmd.Args = append([]string{"sh", "-c", `LISTEN_PID=$$ exec "$@"`, "sh", cmd.Path}, cmd.Args[1:]...)
	cmd.Path = "/bin/sh"
	return cmd
}

// startActivated runs a gate on passed sockets, in front of the demo.
func startActivated(t *testing.T, sockets []passed, flags ...string) *runningGate {
	t.Helper()
	args := append([]string{"run", "--env=" + beGate}, flags...)
	return launchProcess(t, activated(t, sockets, append(args, "--", testBinary(t), "demo")...))
}

// A gate serves on sockets that it was given, and they outlive it: who connects
// while it is started again waits, and is not refused.
func TestSocketActivation(t *testing.T) {
	clients, address := passSocket(t, "clients", "tcp", "127.0.0.1:0")
	admin, path := passSocket(t, "admin", "unix", filepath.Join(shortDir(t), "admin"))
	sockets := []passed{clients, admin}
	flags := []string{"--listen=fd://clients", "--admin=fd://admin"}

	first := startActivated(t, sockets, flags...)
	if want := "http://" + address + "/mcp"; first.url != want {
		t.Errorf("the gate says it is at %s; want %s", first.url, want)
	}
	session := first.connect(t, limited(t))
	if _, err := session.ListTools(limited(t), nil); err != nil {
		t.Error(err)
	}
	_ = session.Close()
	if _, errs, code := finish(t, gateProcess(t, "healthcheck", "--admin=unix://"+path)); code != exitDone {
		t.Errorf("healthcheck: exit code %d, %s", code, errs)
	}
	first.signal(t, syscall.SIGTERM)
	if code := first.exitCode(t); code != exitDone {
		t.Fatalf("exit code %d", code)
	}

	early, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatalf("nobody listens while no gate runs: %v", err)
	}
	defer early.Close()
	startActivated(t, sockets, flags...)
	_ = early.SetDeadline(time.Now().Add(patience))
	answer := make([]byte, 12)
	if _, err := fmt.Fprintf(early, "GET /nothing HTTP/1.1\r\nHost: %s\r\n\r\n", address); err != nil {
		t.Fatal(err)
	}
	if _, err := early.Read(answer); err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 404") {
		t.Errorf("who came in between got %q, %v", answer, err)
	}
}

// What the gate was passed is its own: a tool server gets neither the sockets
// nor the variables.
func TestSocketActivationIsNotInherited(t *testing.T) {
	clients, _ := passSocket(t, "clients", "tcp", "127.0.0.1:0")
	seen := filepath.Join(t.TempDir(), "seen")
	script := `{ env; for fd in 3 4 5 6 7 8 9; do (: <&$fd) 2>/dev/null && echo "descriptor $fd"; done; echo end; } >"$0"; exec cat >/dev/null`
	args := []string{"run", "--listen=fd://clients", "--admin=off", "--", "/bin/sh", "-c", script, seen}
	cmd := activated(t, []passed{clients}, args...)
	notify := listenForNews(t)
	cmd.Env = append(cmd.Env, "NOTIFY_SOCKET="+notify.LocalAddr().String())
	launchProcess(t, cmd)
	var text string
	for end := time.Now().Add(patience); !strings.HasSuffix(text, "end\n"); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the tool server has not said all: %s", text)
		}
		b, _ := os.ReadFile(seen)
		text = string(b)
	}
	for _, bad := range []string{"LISTEN_", "NOTIFY_", "descriptor "} {
		if strings.Contains(text, bad) {
			t.Errorf("the tool server has %s:\n%s", bad, text)
		}
	}
}

func TestSocketActivationRefused(t *testing.T) {
	one, address := passSocket(t, "one", "tcp", "127.0.0.1:0")
	again := passed{"one", one.file}
	two := passed{"two", one.file}
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	connection := passed{"one", fileOf(t, conn.(filer))}
	packets, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer packets.Close()
	datagrams := passed{"one", fileOf(t, packets.(filer))}

	for _, c := range []struct {
		sockets []passed
		flag    string
		want    string
	}{
		{nil, "--listen=fd://one", `--listen: no socket named "one" was passed to this process, none was; in a systemd socket unit FileDescriptorName= is the name`},
		{[]passed{one}, "--listen=127.0.0.1:0", `a socket named "one" was passed to this process, and nothing takes it: give --listen fd://one or --admin fd://one, or do not pass it`},
		{[]passed{one, two}, "--listen=fd://one", `a socket named "two" was passed`},
		{[]passed{one, again}, "--listen=fd://one", `several sockets named "one" were passed`},
		{[]passed{connection}, "--listen=fd://one", `it is a connection; the unit needs Accept=no`},
		{[]passed{datagrams}, "--listen=fd://one", `it is no stream socket; the unit needs ListenStream=`},
	} {
		_, errs, code := finish(t, activated(t, c.sockets, "run", "--admin=off", c.flag, "--", testBinary(t), "demo"))
		if code != exitListen || !strings.Contains(errs, c.want) {
			t.Errorf("%s: exit code %d, %s\nwant %d, %s", c.flag, code, errs, exitListen, c.want)
		}
	}
}

// check cannot know what fd://NAME will stand for, and says nothing about it.
func TestCheckOfASocketToBePassed(t *testing.T) {
	out, errs, code := finish(t, gateProcess(t, "check", "--listen=fd://clients", "--", testBinary(t), "demo"))
	if code != exitDone || errs != "" || !strings.Contains(out, "clients  fd://clients\n") || strings.Contains(out, "warning  whoever") {
		t.Errorf("exit code %d, %s%s", code, out, errs)
	}
}

// The service manager hears that the gate is ready when it can be reached, and
// that it stops before it has stopped.
func TestNotify(t *testing.T) {
	news := listenForNews(t)
	cmd := gateProcess(t, "run", "--listen=127.0.0.1:0", "--admin=off", "--env="+beGate, "--", testBinary(t), "demo")
	cmd.Env = append(cmd.Env, "NOTIFY_SOCKET="+news.LocalAddr().String())
	g := launchProcess(t, cmd)
	wantNews(t, news, "READY=1")
	response, err := (&http.Client{Transport: newTransport(t), Timeout: patience}).Get(g.url)
	if err != nil {
		t.Errorf("it is not there: %v", err)
	} else {
		_ = response.Body.Close()
	}
	g.signal(t, syscall.SIGTERM)
	wantNews(t, news, "STOPPING=1")
	if code := g.exitCode(t); code != exitDone {
		t.Errorf("exit code %d", code)
	}
}

// A service manager that is not there is no reason to end.
func TestNotifyNobody(t *testing.T) {
	cmd := gateProcess(t, "run", "--listen=127.0.0.1:0", "--admin=off", "--env="+beGate, "--", testBinary(t), "demo")
	cmd.Env = append(cmd.Env, "NOTIFY_SOCKET=/nowhere/notify")
	g := launchProcess(t, cmd)
	g.waitFor(t, "cannot tell the service manager")
	g.signal(t, syscall.SIGTERM)
	if code := g.exitCode(t); code != exitDone {
		t.Errorf("exit code %d", code)
	}
}

// listenForNews is a service manager's socket.
func listenForNews(t *testing.T) *net.UnixConn {
	t.Helper()
	news, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(shortDir(t), "n"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = news.Close() })
	return news
}

func wantNews(t *testing.T, news *net.UnixConn, want string) {
	t.Helper()
	_ = news.SetReadDeadline(time.Now().Add(patience))
	buf := make([]byte, 1024)
	n, err := news.Read(buf)
	if err != nil || string(buf[:n]) != want {
		t.Errorf("the service manager heard %q, %v; want %q", buf[:n], err, want)
	}
}
