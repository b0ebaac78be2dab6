package main

import (
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A healthcheck finds the gate where flag, variable or file say that it is.
func TestHealthcheckOfALivingGate(t *testing.T) {
	admin := "unix://" + filepath.Join(t.TempDir(), "admin.sock")
	startGate(t, []string{"--admin=" + admin})
	file := writeFile(t, "admin: "+admin+"\n")
	for _, c := range []struct {
		env  []string
		args []string
	}{
		{nil, []string{"--admin", admin}},
		{nil, []string{"--admin", admin, "--ready"}},
		{nil, []string{"-c", file}},
		{[]string{"SIDEGATE_ADMIN=" + admin, "SIDEGATE_IDLE_TIMEOUT=1m"}, nil},
		{[]string{"SIDEGATE_CONFIG=" + file}, nil},
		{[]string{"SIDEGATE_ADMIN=127.0.0.1:1"}, []string{"--admin", admin}},
		{[]string{"HTTP_PROXY=http://127.0.0.1:1", "SIDEGATE_ADMIN=" + admin}, nil},
	} {
		cmd := gateProcess(t, append([]string{"healthcheck"}, c.args...)...)
		cmd.Env = append(cmd.Env, c.env...)
		if out, errs, code := finish(t, cmd); code != exitDone || out != "ok\n" || errs != "" {
			t.Errorf("%q %q: exit code %d, %s%s", c.env, c.args, code, out, errs)
		}
	}
}

// A gate whose server does not start lives, and is not ready.
func TestHealthcheckOfAnUnreadyGate(t *testing.T) {
	no, err := exec.LookPath("false")
	if err != nil {
		t.Fatal(err)
	}
	admin := "unix://" + filepath.Join(t.TempDir(), "admin.sock")
	startGate(t, []string{"--admin=" + admin}, no)
	var errs string
	code := exitDone
	for end := time.Now().Add(patience); code == exitDone && time.Now().Before(end); {
		_, errs, code = finish(t, gateProcess(t, "healthcheck", "--admin", admin, "--ready"))
	}
	if code != exitFailed || !strings.Contains(errs, "answers /readyz with 503: default: the tool server failed") {
		t.Errorf("exit code %d, %s", code, errs)
	}
	if _, errs, code := finish(t, gateProcess(t, "healthcheck", "--admin", admin)); code != exitDone {
		t.Errorf("exit code %d, %s", code, errs)
	}
}

func TestHealthcheckOfNobody(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"--admin=unix:///nowhere"}, exitFailed, "no answer from unix:///nowhere: "},
		{[]string{"--admin=unix:///nowhere"}, exitFailed, "is the gate running, and is this its --admin?"},
		{[]string{"--admin=" + silent.Addr().String(), "--timeout=1ms"}, exitFailed, "within 1ms (--timeout)"},
		{[]string{"--admin=off"}, exitUsage, `--admin: is "off": this gate has no admin listener to ask`},
		{[]string{"--admin=fd://admin"}, exitUsage, "--admin: is fd://admin, which only the gate can tell the meaning of"},
		{[]string{"--admin=8081"}, exitUsage, `--admin: must be HOST:PORT, unix:///PATH or fd://NAME; it is "8081"`},
		{[]string{"--admin=127.0.0.1:65536"}, exitUsage, `it is "127.0.0.1:65536"`},
		{[]string{"--admin=unix://admin.sock"}, exitUsage, `it is "unix://admin.sock"`},
		{[]string{"--timeout=0s"}, exitUsage, "--timeout: must be more than nothing; it is 0s"},
		{[]string{"-c", "/nowhere.yaml"}, exitUsage, "no such file"},
		{[]string{"now"}, exitUsage, `unknown command "now"`},
	} {
		_, errs, code := finish(t, gateProcess(t, append([]string{"healthcheck"}, c.args...)...))
		if code != c.code || !strings.Contains(errs, c.want) {
			t.Errorf("%q: exit code %d, %s\nwant %d, %s", c.args, code, errs, c.code, c.want)
		}
	}
}
