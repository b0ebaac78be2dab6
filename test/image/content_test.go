//go:build image

package image

import (
	"debug/elf"
	"encoding/json"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// maxSize bounds the image: a node pulls it before the first pod starts.
const maxSize = 20 << 20

// The image holds one program, static and stripped, its licence, and the
// certificates that it knows servers by. There is no shell, and nothing that
// anybody but root could change.
func TestContent(t *testing.T) {
	p := bed(t)
	container := p.do(t, "create", "--pull=never", gate)
	defer p.do(t, "rm", "--force", container)
	tree := p.do(t, "mount", container)
	modes := map[string]fs.FileMode{}
	err := filepath.WalkDir(tree, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		modes[strings.TrimPrefix(path, tree)] = info.Mode()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]fs.FileMode{"/bin/sidegate": 0o755, "/LICENSE": 0o644, "/etc/ssl/certs/ca-certificates.crt": 0o644}
	if !maps.Equal(modes, want) {
		t.Errorf("the image holds %v; want %v", modes, want)
	}
	wantStatic(t, filepath.Join(tree, "bin/sidegate"))
}

// wantStatic fails unless the program needs no loader and no library, and has
// no symbols.
func wantStatic(t *testing.T, path string) {
	t.Helper()
	program, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer program.Close()
	for _, part := range program.Progs {
		if part.Type == elf.PT_INTERP || part.Type == elf.PT_DYNAMIC {
			t.Errorf("the program is not static: it has a %v", part.Type)
		}
	}
	for _, name := range []string{".symtab", ".debug_info", ".zdebug_info"} {
		if program.Section(name) != nil {
			t.Errorf("the program is not stripped: it has %s", name)
		}
	}
	if program.Section(".text") == nil {
		t.Error("the program has no .text, so its sections tell nothing")
	}
}

// What the image says of itself.
func TestConfiguration(t *testing.T) {
	p := bed(t)
	out, err := p.try(patience, nil, "image", "inspect", gate)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var images []struct {
		Size   int64
		User   string
		Config struct {
			Entrypoint []string
			StopSignal string
			Labels     map[string]string
		}
		HealthCheck struct{ Test []string }
	}
	if err := json.Unmarshal([]byte(out), &images); err != nil || len(images) != 1 {
		t.Fatalf("%v in %s", err, out)
	}
	image := images[0]
	if image.Size > maxSize {
		t.Errorf("the image has %d bytes; want at most %d", image.Size, maxSize)
	}
	t.Logf("the image has %.2f MiB of %d", float64(image.Size)/(1<<20), maxSize>>20)
	if image.User != "1337:1337" {
		t.Errorf("the user is %q; want a number, so that Kubernetes knows that it is not root", image.User)
	}
	if got := image.Config.Entrypoint; !slices.Equal(got, []string{"/bin/sidegate"}) {
		t.Errorf("the entry point is %q", got)
	}
	if got := image.HealthCheck.Test; !slices.Equal(got, []string{"CMD", "/bin/sidegate", "healthcheck"}) {
		t.Errorf("the healthcheck is %q", got)
	}
	if image.Config.StopSignal != "SIGTERM" {
		t.Errorf("it is stopped by %q", image.Config.StopSignal)
	}
	for name, want := range map[string]string{"title": "Sidegate", "version": version, "revision": revision, "licenses": "Apache-2.0"} {
		if got := image.Config.Labels["org.opencontainers.image."+name]; got != want {
			t.Errorf("the label %s is %q; want %q", name, got, want)
		}
	}
	if image.Config.Labels["org.opencontainers.image.description"] == "" {
		t.Error("the image has no description")
	}
}

// The version is the one that the build was told.
func TestVersion(t *testing.T) {
	p := bed(t)
	got := p.do(t, slices.Concat([]string{"run", "--rm", "--network=none"}, hardened, []string{gate, "version"})...)
	if want := "sidegate " + version + " (commit " + revision + ", go"; !strings.HasPrefix(got, want) {
		t.Errorf("the gate says %q; want %q…", got, want)
	}
}
