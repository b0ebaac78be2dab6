package kube

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

const (
	root      = "../.."
	manifests = root + "/deploy/kubernetes"
)

// profiles are the directories that are made to be rendered.
var profiles = []string{"wrapped", "hardened", "fenced"}

// render is what `kubectl kustomize` prints of a profile.
func render(t testing.TB, profile string) []byte {
	t.Helper()
	kustomizer := krusty.MakeKustomizer(krusty.MakeDefaultOptions())
	resources, err := kustomizer.Run(filesys.MakeFsOnDisk(), filepath.Join(manifests, profile))
	if err != nil {
		t.Fatal(err)
	}
	text, err := resources.AsYaml()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// Every directory is a profile, or part of them, so that none is forgotten
// here.
func TestProfiles(t *testing.T) {
	entries, err := os.ReadDir(manifests)
	if err != nil {
		t.Fatal(err)
	}
	known := strings.Join(profiles, " ") + " base parts"
	for _, e := range entries {
		if e.IsDir() && !strings.Contains(" "+known+" ", " "+e.Name()+" ") {
			t.Errorf("%s is in no list: is it a profile?", e.Name())
		}
	}
}

// The programs that people have render what the library does. None of them is
// needed here: the library is what they are made of.
func TestRenderedByPrograms(t *testing.T) {
	for _, line := range [][]string{{"kubectl", "kustomize"}, {"kustomize", "build"}} {
		program, err := exec.LookPath(line[0])
		if errors.Is(err, exec.ErrNotFound) {
			t.Logf("%s is not here, so it is not compared", line[0])
			continue
		}
		for _, profile := range profiles {
			cmd := exec.CommandContext(t.Context(), program, line[1], filepath.Join(manifests, profile))
			var stderr strings.Builder
			cmd.Stderr = &stderr
			got, err := cmd.Output()
			if err != nil {
				t.Errorf("%s %s: %v\n%s", line, profile, err, &stderr)
				continue
			}
			if got, want := sorted(got), sorted(render(t, profile)); got != want {
				t.Errorf("%s renders another %s than the library:\n%s\nand not\n%s", line, profile, got, want)
			}
		}
	}
}

// sorted is a stream with its documents in the order of their text: in which
// one they are printed is an option of each program.
func sorted(stream []byte) string {
	documents := strings.Split("\n"+string(stream), "\n---\n")
	for i := range documents {
		documents[i] = strings.TrimSpace(documents[i])
	}
	slices.Sort(documents)
	return strings.Join(documents, "\n---\n")
}

// The kustomization that deploy/README.md shows renders as it stands there, but
// for where the profile is.
func TestReadmeKustomization(t *testing.T) {
	readme, err := os.ReadFile(root + "/deploy/README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(readme), "```yaml\n")
	text, _, found := strings.Cut(text, "```")
	if !found {
		t.Fatal("deploy/README.md shows no kustomization")
	}
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	text = strings.Replace(text, "../sidegate/deploy/kubernetes", way(t, dir, manifests), 1)
	if err := os.WriteFile(filepath.Join(dir, "kustomization.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	pod := pods(decode(t, render(t, way(t, manifests, dir))))[0]
	checkGate(t, "README.md", &pod.Spec)
	if image := pod.Spec.Containers[0].Image; image != "files:4" {
		t.Errorf("the tool server's image is %s", image)
	}
	if said := forbidden(t, &pod); said != "" {
		t.Error(said)
	}
}

// way leads from one directory to another, as kustomize wants it.
func way(t testing.TB, from, to string) string {
	t.Helper()
	var whole [2]string
	for i, dir := range []string{from, to} {
		absolute, err := filepath.Abs(dir)
		if err == nil {
			whole[i], err = filepath.EvalSymlinks(absolute)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	relative, err := filepath.Rel(whole[0], whole[1])
	if err != nil {
		t.Fatal(err)
	}
	return relative
}
