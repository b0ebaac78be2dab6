package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const injectManifest = "kind: Pod\nmetadata:\n  name: p\nspec:\n  containers:\n  - name: t\n    command: [t]\n"

// inject in a process of its own, on standard input: manifests to stdout, what
// was done to stderr, and nothing on stdout where anything is wrong.
func TestInject(t *testing.T) {
	run := func(in string, args ...string) (string, string, int) {
		t.Helper()
		cmd := gateProcess(t, append([]string{"inject"}, args...)...)
		cmd.Stdin = strings.NewReader(in)
		return finish(t, cmd)
	}
	with, said, code := run(injectManifest, "-f", "-", "--image", "sidegate:7")
	if code != exitDone || !strings.Contains(with, "image: sidegate:7\n") || !strings.HasPrefix(said, "sidegate: line 1: Pod/p: wrapped, container t; each session has a process of it, up to 256 ") {
		t.Errorf("exit code %d, %s%s", code, with, said)
	}
	file := filepath.Join(t.TempDir(), "pod.yaml")
	if err := os.WriteFile(file, []byte(with), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, said, code := run("", "--file="+file, "--remove"); code != exitDone || out != injectManifest || said != "sidegate: line 1: the gate was taken out\n" {
		t.Errorf("exit code %d, %s%s", code, out, said)
	}
	for _, c := range []struct {
		in   string
		args []string
		code int
		want string
	}{
		{injectManifest, nil, exitUsage, "--file: is missing: name the manifests"},
		{injectManifest, []string{"-f", file + ".not"}, exitUsage, "--file: open "},
		{injectManifest, []string{"-f", "-", "--profile=open"}, exitUsage, `--profile: must be wrapped, hardened, fenced; it is "open"`},
		{injectManifest + "---\n" + injectManifest, []string{"-f", "-", "--profile=fenced"}, exitFailed, "document 2, line 14: the profile fenced is for a tool server that listens"},
	} {
		out, said, code := run(c.in, c.args...)
		if code != c.code || out != "" || !strings.Contains(said, c.want) {
			t.Errorf("%q: exit code %d, %s%s\nwant %d and %s", c.args, code, out, said, c.code, c.want)
		}
	}
	if out, said, code := run("a: 1\n", "-f", "-"); code != exitDone || out != "a: 1\n" || !strings.Contains(said, "nothing to do") {
		t.Errorf("exit code %d, %s%s", code, out, said)
	}
}
