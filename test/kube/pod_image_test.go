//go:build linux

package kube

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// An image is what a container starts from, but for what the manifest says.
type image struct {
	files   map[string]string // where a program of this repository's stands in it, and which
	uid     int64             // its USER
	machine []string          // what it has of this machine's own system
}

// images is all that the pods of these tests have from elsewhere than from
// their manifests: what is behind the names of the images. No registry is
// asked. The gate's is as the Dockerfile makes it; for the fence's, Debian with
// iptables, this machine stands in; and the tool server's is the fixture, which
// speaks stdio, with a gate of its own where it has to listen. The profiles of
// deploy/kubernetes name the gate's image as the tool server's.
var images = map[string]image{
	"sidegate":       {files: map[string]string{"/bin/sidegate": "sidegate"}, uid: 1337},
	"sidegate-fence": {files: map[string]string{"/bin/sidegate": "sidegate"}, machine: []string{"/usr", "/etc/alternatives"}},
	"tools":          {files: map[string]string{"/bin/sidegate": "sidegate", "/fixture": "fixture"}},
}

// mergedDirs are those that Debian keeps in /usr.
var mergedDirs = []string{"sbin", "lib", "lib64"}

// imageOf is the image behind a name, of whatever version.
func imageOf(t testing.TB, name string) image {
	t.Helper()
	name, _, _ = strings.Cut(name, ":")
	i, known := images[name]
	if !known {
		t.Fatalf("there is no image %q here: say in images what is in it", name)
	}
	return i
}

// unpack makes the root of a container, one of its own for each.
func (i image) unpack(t testing.TB, rootfs string) {
	t.Helper()
	try := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	try(os.MkdirAll(rootfs, 0o755))
	for at, name := range i.files {
		try(os.MkdirAll(filepath.Join(rootfs, filepath.Dir(at)), 0o755))
		try(os.Link(program(t, name), filepath.Join(rootfs, at)))
	}
	if len(i.machine) > 0 {
		for _, dir := range mergedDirs {
			try(os.Symlink("usr/"+dir, filepath.Join(rootfs, dir)))
		}
	}
}
