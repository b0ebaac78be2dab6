//go:build image

package image

import (
	"archive/tar"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

const (
	root     = "../.." // of the repository
	gate     = "sidegate"
	tool     = "tool"
	version  = "9.8.7"
	revision = "0123456789abcdef0123456789abcdef01234567"
)

// buildImages makes the image of the gate by its Dockerfile, and one of a tool
// server: /fixture, and nothing else.
func buildImages(p *podman) error {
	from, err := buildBase()
	if err != nil {
		return err
	}
	toolchain, err := goEnv("GOROOT", "GOMODCACHE", "GOCACHE", "GOPROXY", "GOSUMDB")
	if err != nil {
		return err
	}
	if err := p.importBase(from, toolchain); err != nil {
		return err
	}
	args := []string{"build", "--format=docker", "--layers=false", "--pull=never", "--network=host",
		"--build-arg=VERSION=" + version, "--build-arg=COMMIT=" + revision, "--tag=" + gate}
	for _, m := range mounts(toolchain) {
		args = append(args, "--volume="+m)
	}
	if out, err := p.try(buildPatience, nil, append(args, root)...); err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	return p.importTool()
}

// buildBase is the image that the Dockerfile's first stage stands on.
func buildBase() (string, error) {
	text, err := os.ReadFile(filepath.Join(root, "Dockerfile"))
	if err != nil {
		return "", err
	}
	found := regexp.MustCompile(`(?m)^FROM (golang:\S+) AS build$`).FindSubmatch(text)
	if found == nil {
		return "", fmt.Errorf("the Dockerfile has no stage FROM golang:… AS build")
	}
	return string(found[1]), nil
}

// goEnv asks this machine's Go.
func goEnv(names ...string) (map[string]string, error) {
	out, err := exec.Command("go", append([]string{"env"}, names...)...).Output()
	if err != nil {
		return nil, fmt.Errorf("go env: %w", err)
	}
	values := map[string]string{}
	for i, line := range strings.Split(strings.TrimSuffix(string(out), "\n"), "\n") {
		values[names[i]] = line
	}
	return values, nil
}

// mounts are what the build stage finds in its tree: programs, Go, modules.
func mounts(toolchain map[string]string) []string {
	all := []string{
		toolchain["GOROOT"] + ":/usr/local/go:ro",
		toolchain["GOMODCACHE"] + ":/go/pkg/mod",
		toolchain["GOCACHE"] + ":/root/.cache/go-build",
		"/etc/ssl/certs:/etc/ssl/certs:ro",
	}
	for _, dir := range userland {
		if info, err := os.Stat(dir); err == nil && info.IsDir() {
			all = append(all, dir+":"+dir+":ro")
		}
	}
	return all
}

// userland is where this machine's programs are, which the build stage's
// commands need: a shell, mkdir, cp.
var userland = []string{"/usr/bin", "/usr/lib", "/usr/lib64", "/usr/share/ca-certificates"}

// importBase makes the base image: directories to mount at, and the links that
// lead to them. What is set is what the image of that name sets.
func (p *podman) importBase(name string, toolchain map[string]string) error {
	var tree archive
	for _, dir := range []string{"etc/ssl/certs", "go/pkg/mod", "root/.cache/go-build", "usr/bin", "usr/lib", "usr/lib64", "usr/local/go", "usr/share/ca-certificates"} {
		tree.directory(dir)
	}
	for _, link := range []string{"bin", "lib", "lib64"} {
		tree.add(tar.Header{Typeflag: tar.TypeSymlink, Name: link, Linkname: "usr/" + link, Mode: 0o777}, nil)
	}
	tree.add(tar.Header{Typeflag: tar.TypeDir, Name: "tmp/", Mode: 0o1777}, nil)
	tree.add(tar.Header{Typeflag: tar.TypeReg, Name: "etc/passwd", Mode: 0o644}, []byte("root:x:0:0:root:/root:/bin/sh\n"))
	return p.importTree(name, &tree,
		"ENV PATH=/go/bin:/usr/local/go/bin:/usr/bin:/bin", "ENV GOPATH=/go",
		"ENV GOPROXY="+toolchain["GOPROXY"], "ENV GOSUMDB="+toolchain["GOSUMDB"])
}

// importTool makes the image of a tool server.
func (p *podman) importTool() error {
	path := filepath.Join(p.dir, "fixture")
	cmd := exec.Command("go", "build", "-o", path, "./test/fixture")
	cmd.Dir, cmd.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("cannot build the fixture: %w\n%s", err, out)
	}
	program, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var tree archive
	tree.add(tar.Header{Typeflag: tar.TypeReg, Name: "fixture", Mode: 0o755}, program)
	return p.importTree(tool, &tree)
}

// importTree makes an image of one layer.
func (p *podman) importTree(name string, tree *archive, changes ...string) error {
	args := []string{"import"}
	for _, change := range changes {
		args = append(args, "--change="+change)
	}
	if out, err := p.try(patience, tree.bytes(), append(args, "-", name)...); err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	return nil
}

// An archive is a tar file in memory, which cannot fail to be written.
type archive struct {
	buf bytes.Buffer
	w   *tar.Writer
}

func (a *archive) add(h tar.Header, content []byte) {
	if a.w == nil {
		a.w = tar.NewWriter(&a.buf)
	}
	h.Size = int64(len(content))
	if err := a.w.WriteHeader(&h); err != nil {
		panic("BUG: " + err.Error())
	}
	if _, err := a.w.Write(content); err != nil {
		panic("BUG: " + err.Error())
	}
}

func (a *archive) directory(name string) {
	a.add(tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: 0o755}, nil)
}

func (a *archive) bytes() []byte {
	_ = a.w.Close()
	return a.buf.Bytes()
}
