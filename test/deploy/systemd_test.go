package deploy

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"sidegate/test/clients/need"
	"sidegate/test/e2e/harness"
)

// A unit is the settings of a unit file by section and name; one that is
// repeated has several values.
type unit map[string][]string

func readUnit(t *testing.T, name string) unit {
	t.Helper()
	u, section := unit{}, ""
	for line := range strings.Lines(read(t, "deploy/systemd/"+name)) {
		line = strings.TrimSpace(line)
		key, value, ok := strings.Cut(line, "=")
		switch {
		case line == "" || line[0] == '#':
		case line[0] == '[':
			section = strings.Trim(line, "[]")
		case ok:
			u[section+"."+key] = append(u[section+"."+key], value)
		default:
			t.Fatalf("%s: %q", name, line)
		}
	}
	return u
}

// one is the value of a setting that there is once.
func (u unit) one(t *testing.T, key string) string {
	t.Helper()
	if len(u[key]) != 1 {
		t.Fatalf("%s is %q; want one value", key, u[key])
	}
	return u[key][0]
}

// command is what ExecStart= runs, with the file of this repository.
func command(t *testing.T) []string {
	t.Helper()
	args := strings.Fields(readUnit(t, "sidegate.service").one(t, "Service.ExecStart"))
	i := slices.Index(args, "/etc/sidegate/gate.yaml")
	if i < 0 || args[0] != "/usr/local/bin/sidegate" {
		t.Fatalf("ExecStart= is %q", args)
	}
	// The file as it is, but for the path of a program that is not installed.
	text := strings.ReplaceAll(read(t, "deploy/systemd/gate.yaml"), args[0], harness.Binary())
	text = strings.ReplaceAll(text, "admin: 127.0.0.1:8081", "admin: 127.0.0.1:0")
	path := filepath.Join(t.TempDir(), "gate.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	args[0], args[i] = harness.Binary(), path
	return args
}

// The gate takes the flags and the file, and the socket has the name that the
// gate asks for.
func TestUnitsFitTheGate(t *testing.T) {
	args := command(t)
	args[1] = "check"
	if r := harness.Exec(t, nil, args[1:]...); r.Code != 0 || !strings.HasPrefix(r.Stdout, "ok\n") {
		t.Errorf("exit code %d: %s%s", r.Code, r.Stdout, r.Stderr)
	}
	name := readUnit(t, "sidegate.socket").one(t, "Socket.FileDescriptorName")
	if i := slices.Index(args, "--listen"); i < 0 || args[i+1] != "fd://"+name {
		t.Errorf("the socket is named %s, and the gate's flags are %q", name, args)
	}
}

// systemd waits for longer than the gate may take to end.
func TestUnitWaitsForTheGrace(t *testing.T) {
	service := readUnit(t, "sidegate.service")
	if stop, least := duration(t, service.one(t, "Service.TimeoutStopSec")), longestEnd(t); stop <= least {
		t.Errorf("TimeoutStopSec= is %v, and the gate may take %v", stop, least)
	}
	for key, want := range map[string]string{"Type": "notify", "KillMode": "mixed", "RestartPreventExitStatus": "2"} {
		if got := service.one(t, "Service."+key); got != want {
			t.Errorf("%s= is %s; want %s", key, got, want)
		}
	}
}

// longestEnd is how long a gate with the usual flags may take to end.
func longestEnd(t *testing.T) time.Duration {
	t.Helper()
	help := harness.Exec(t, nil, "run", "--help").Stdout
	byDefault := func(flag string) time.Duration {
		m := regexp.MustCompile(`(?s)--` + flag + ` TIME.*?\(default ([0-9a-z]+)\)`).FindStringSubmatch(help)
		if m == nil {
			t.Fatalf("the help tells no default of --%s", flag)
		}
		return duration(t, m[1])
	}
	return byDefault("grace") + 2*byDefault("stop-timeout")
}

func duration(t *testing.T, s string) time.Duration {
	t.Helper()
	d, err := time.ParseDuration(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// tool is a program of systemd's, which needs no systemd to run.
func tool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		need.Missing(t, name+" is not installed: it is in the package systemd")
	}
	return path
}

// exposure is the most that systemd-analyze may find open, of 100.
const exposure = 20

// systemd itself finds nothing wrong with the units, and little open.
func TestSystemdVerifies(t *testing.T) {
	analyze := tool(t, "systemd-analyze")
	dir := t.TempDir()
	for _, name := range []string{"sidegate.socket", "sidegate.service"} {
		text := strings.ReplaceAll(read(t, "deploy/systemd/"+name), "/usr/local/bin/sidegate", harness.Binary())
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	service := filepath.Join(dir, "sidegate.service")
	for _, args := range [][]string{
		{"verify", "--man=no", "--recursive-errors=no", filepath.Join(dir, "sidegate.socket"), service},
		{"security", "--offline=yes", fmt.Sprintf("--threshold=%d", exposure), service},
	} {
		out, err := exec.Command(analyze, args...).CombinedOutput()
		if err != nil || args[0] == "verify" && len(out) > 0 {
			t.Errorf("systemd-analyze %q: %v\n%s", args, err, out)
		}
	}
}

// The gate is started as the units say by systemd's own tool, which listens,
// waits for the first connection, and then becomes the gate. The connection that
// woke it is served.
func TestSystemdActivates(t *testing.T) {
	activate := tool(t, "systemd-socket-activate")
	dir, err := os.MkdirTemp("", "sg") // a short path: a socket's may have 100 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "clients")
	cmd := exec.Command(activate, slices.Concat([]string{"--listen=" + socket, "--fdname=clients"}, command(t))...)
	var log strings.Builder
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() }) // no more than an error where it has ended
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()

	var conn net.Conn
	harness.Eventually(t, "the socket is there", func() bool {
		conn, err = net.Dial("unix", socket)
		return err == nil
	})
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(harness.Patience))
	body := harness.Client{}.InitializeBody()
	fmt.Fprintf(conn, "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nAccept: application/json, text/event-stream\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	answer := make([]byte, 12)
	if _, err := conn.Read(answer); err != nil || string(answer) != "HTTP/1.1 200" {
		t.Errorf("initialize got %q, %v", answer, err)
	}
	_ = cmd.Process.Signal(syscall.SIGTERM)
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("the gate ended with %v", err)
		}
	case <-time.After(harness.Patience):
		_ = cmd.Process.Kill()
		<-ended
		t.Error("the gate did not end")
	}
	if t.Failed() {
		t.Log(log.String())
	}
}
