//go:build linux

package chaos

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// clockAhead is the sign of a gate that believes in another day. Its admin
// listener says what it believes.
var clockAhead = sign{"the gate's clock is another", func(b *bed) bool {
	resp, err := http.Get("http://" + b.gate.Admin + "/livez")
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	date, err := http.ParseTime(resp.Header.Get("Date"))
	return err == nil && time.Until(date).Abs() > 12*time.Hour
}}

// jump sets the clock ahead, and then far back.
func jump(b *bed, while time.Duration) {
	for _, s := range []syscall.Signal{syscall.SIGUSR1, syscall.SIGUSR2} {
		if err := syscall.Kill(b.gate.PID(), s); err != nil { // not by the gate's handle, for which a signal is its end
			b.t.Error(err)
		}
		b.sit(while / 2)
	}
}

// clockwork is a gate whose clock can be set (testdata/clock.go): the wall
// clock that package time reads, so nothing in the gate is left out. The
// monotonic clock, which tells how much time has passed, does not jump.
func clockwork(t *testing.T) string {
	t.Helper()
	name, err := buildClockwork()
	if err != nil {
		t.Fatalf("cannot build a gate whose clock can be set: %v", err)
	}
	return name
}

// workshop is where it is built, a directory that the tests begin and end with.
var workshop string

var buildClockwork = sync.OnceValues(func() (string, error) {
	root, err := run("go", "env", "GOROOT")
	if err != nil {
		return "", err
	}
	module, err := run("go", "list", "-m", "-f", "{{.Dir}}")
	if err != nil {
		return "", err
	}
	original, setting := filepath.Join(root, "src/time/time.go"), filepath.Join(workshop, "time.go")
	if err := makeSettable(original, setting); err != nil {
		return "", err
	}
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{
		original: setting,
		filepath.Join(module, "cmd/sidegate/clock.go"): filepath.Join(module, "test/chaos/testdata/clock.go"),
	}})
	if err != nil {
		return "", err
	}
	file, binary := filepath.Join(workshop, "overlay.json"), filepath.Join(workshop, "sidegate")
	if err := os.WriteFile(file, overlay, 0o600); err != nil {
		return "", err
	}
	_, err = run("go", "build", "-C", module, "-overlay", file, "-o", binary, "./cmd/sidegate")
	return binary, err
})

// makeSettable writes package time's file anew, with seconds that are added to
// what the kernel's clock says.
func makeSettable(from, to string) error {
	text, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	source := string(text)
	for _, change := range []struct{ old, new string }{
		{"import (\n", "import (\n\t\"sync/atomic\"\n"},
		{"\tsec, nsec, mono := runtimeNow()\n", "\tsec, nsec, mono := runtimeNow()\n\tsec += Jump.Load()\n"},
	} {
		if strings.Count(source, change.old) != 1 {
			return fmt.Errorf("%s is not as it was in Go 1.26: %q is not in it once", from, change.old)
		}
		source = strings.Replace(source, change.old, change.new, 1)
	}
	return os.WriteFile(to, []byte(source+"\nvar Jump atomic.Int64\n"), 0o600)
}

// run runs a program and returns what it prints.
func run(name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%v: %w\n%s", cmd, err, &complaints)
	}
	return strings.TrimSpace(string(out)), nil
}
