package kube

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// gate is the binary, built once.
func gate(t testing.TB) string { return program(t, "sidegate") }

// program is a binary of the repository's: the gate, or the fixture, a tool
// server that speaks stdio.
func program(t testing.TB, name string) string {
	t.Helper()
	dir, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, name)
}

var built string // a directory, removed by TestMain

var build = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "sidegate-kube-")
	if err != nil {
		return "", err
	}
	built = dir
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", dir, "./cmd/sidegate", "./test/fixture")
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0") // as in the image, where there is no library
	cmd.Stderr = os.Stderr
	return dir, cmd.Run()
})

func TestMain(m *testing.M) {
	code := m.Run()
	if built != "" {
		os.RemoveAll(built)
	}
	os.Exit(code)
}

// sidegate runs the binary with text on its standard input.
func sidegate(t testing.TB, stdin []byte, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), gate(t), args...)
	cmd.Stdin = bytes.NewReader(stdin)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("sidegate %s: %v\n%s", args, err, &stderr)
	}
	return out
}

var profileLine = regexp.MustCompile(`(?m)^# profile: (\w+)$`)

// notObjects are manifests that no cluster takes: documents that are none, and a
// directive, which kubectl does not know.
var notObjects = map[string]bool{"16-nothing.yaml": true, "18-directive.yaml": true}

// injected are the manifests of deploy/inject/testdata with the gate added by
// the binary.
func injected(t testing.TB) map[string][]byte {
	t.Helper()
	names, err := filepath.Glob(root + "/deploy/inject/testdata/*.yaml")
	if err != nil || len(names) < 12 {
		t.Fatalf("%d manifests, %v", len(names), err)
	}
	all := map[string][]byte{}
	for _, name := range names {
		if notObjects[filepath.Base(name)] {
			continue
		}
		in, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		args := []string{"inject", "-f", "-"}
		if m := profileLine.FindSubmatch(in); m != nil {
			args = append(args, "--profile", string(m[1]))
		}
		all[filepath.Base(name)] = sidegate(t, in, args...)
	}
	return all
}

// What inject writes decodes strictly, has all of a gate, and gives back what
// was there.
func TestInjected(t *testing.T) {
	for name, out := range injected(t) {
		found := false
		for _, pod := range pods(decode(t, out)) {
			if pod.Annotations["sidegate/inject"] != "false" {
				found = true
				checkGate(t, name, &pod.Spec)
			}
		}
		if !found {
			t.Errorf("%s has no pod", name)
		}
		in, err := os.ReadFile(root + "/deploy/inject/testdata/" + name)
		if err != nil {
			t.Fatal(err)
		}
		if back := sidegate(t, out, "inject", "-f", "-", "--remove"); !bytes.Equal(back, in) {
			t.Errorf("%s: --remove gives back something else", name)
		}
	}
}
