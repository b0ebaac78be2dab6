package inject

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write testdata/*.golden anew")

// profileLine in a manifest gives the test's --profile.
var profileLine = regexp.MustCompile(`(?m)^# profile: (\w+)$`)

func options(in []byte) Options {
	o := Options{Image: "sidegate:1.2.3", FenceImage: "sidegate-fence:1.2.3"}
	if m := profileLine.FindSubmatch(in); m != nil {
		o.Profile = Profile(m[1])
	}
	return o
}

func manifests(t testing.TB) []string {
	t.Helper()
	all, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(all) < 12 {
		t.Fatalf("%d manifests in testdata, %v", len(all), err)
	}
	return all
}

func read(t testing.TB, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// The gate is added as the golden files say, a second time changes nothing, and
// taking it out gives back every byte.
func TestGolden(t *testing.T) {
	for _, name := range manifests(t) {
		t.Run(filepath.Base(name), func(t *testing.T) {
			in := read(t, name)
			out, notes, err := Inject(in, options(in))
			if err != nil {
				t.Fatal(err)
			}
			golden := strings.TrimSuffix(name, ".yaml") + ".golden"
			got := append(fmt.Appendf(nil, "%s\n", notes), out...)
			if *update {
				if err := os.WriteFile(golden, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if want := read(t, golden); !bytes.Equal(got, want) {
				t.Errorf("is not %s, from here on (go test ./deploy/inject -update writes it anew):\n%s", golden, from(got, want))
			}
			twice(t, in, out)
		})
	}
}

// twice holds for whatever Inject has written.
func twice(t *testing.T, in, out []byte) {
	t.Helper()
	again, _, err := Inject(out, options(in))
	if err != nil || !bytes.Equal(again, out) {
		t.Errorf("a second run changes it: %v, from here on\n%s", err, from(again, out))
	}
	back, _, err := Remove(out)
	if err != nil || !bytes.Equal(back, in) {
		t.Errorf("remove does not give back what was: %v, from here on\n%s", err, from(back, in))
	}
	back, _, err = Remove(in)
	if err != nil || !bytes.Equal(back, in) {
		t.Errorf("remove changes what has no gate: %v, from here on\n%s", err, from(back, in))
	}
}

// from is got from the line on where it is not want.
func from(got, want []byte) string {
	i := 0
	for i < len(got) && i < len(want) && got[i] == want[i] {
		i++
	}
	line := bytes.LastIndexByte(got[:i], '\n') + 1
	return string(got[line:min(len(got), line+600)])
}

// Another gate takes the place of the one that is there.
func TestUpgrade(t *testing.T) {
	for _, name := range manifests(t) {
		in := read(t, name)
		o := options(in)
		old, _, err := Inject(in, o)
		if err != nil {
			t.Fatal(err)
		}
		o.Image, o.FenceImage = "sidegate:2", "sidegate-fence:2"
		upgraded, _, err := Inject(old, o)
		fresh, _, err2 := Inject(in, o)
		if err != nil || err2 != nil || !bytes.Equal(upgraded, fresh) {
			t.Errorf("%s: %v, %v; an upgrade is not what a new gate is, from here on\n%s", name, err, err2, from(upgraded, fresh))
		}
	}
}

// All manifests in one stream are what they are each by itself.
func TestStream(t *testing.T) {
	var in, want []byte
	for _, name := range manifests(t) {
		one := read(t, name)
		if options(one).Profile != "" || bytes.HasPrefix(one, bom) {
			continue
		}
		one = append(bytes.TrimPrefix(one, []byte("---\n")), '\n')
		out, _, err := Inject(one, options(nil))
		if err != nil {
			t.Fatal(err)
		}
		if bytes.HasPrefix(one, []byte("%")) {
			in, want = append(in, "...\n"...), append(want, "...\n"...)
		} else {
			in, want = append(in, "---\n"...), append(want, "---\n"...)
		}
		in, want = append(in, one...), append(want, out...)
	}
	got, _, err := Inject(in, options(nil))
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%v; other than each by itself, from here on\n%s", err, from(got, want))
	}
	twice(t, in, got)
}

// FuzzInject holds Inject to its word for any text: what it writes can be
// taken out again, and is the same after a second run.
func FuzzInject(f *testing.F) {
	for _, name := range manifests(f) {
		f.Add(read(f, name))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		if bytes.Contains(in, []byte("# sidegate: ")) {
			return // marks of its own are taken for ours
		}
		out, _, err := Inject(in, options(in))
		if err == nil {
			twice(t, in, out)
		}
	})
}
