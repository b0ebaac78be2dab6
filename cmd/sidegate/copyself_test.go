package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// The copy runs, whatever stood there, and a second one changes nothing.
func TestCopySelf(t *testing.T) {
	dir := t.TempDir()
	copied := filepath.Join(dir, "sidegate")
	if err := os.WriteFile(copied, []byte("an older version"), 0o600); err != nil {
		t.Fatal(err)
	}
	copySelf(t, dir)
	before := whole(t, copied)
	copySelf(t, dir)
	if after := whole(t, copied); !os.SameFile(before, after) || !before.ModTime().Equal(after.ModTime()) {
		t.Error("the second copy was made although it is the same")
	}
	cmd := gateProcess(t, "version")
	cmd.Path = copied
	if out, errs, code := finish(t, cmd); code != exitDone || !strings.HasPrefix(out, "sidegate ") {
		t.Errorf("the copy: exit code %d, %s%s", code, out, errs)
	}
}

func copySelf(t *testing.T, dir string) {
	t.Helper()
	if out, errs, code := finish(t, gateProcess(t, "copy-self", dir)); code != exitDone || errs != "" {
		t.Errorf("exit code %d, %s%s", code, out, errs)
	}
}

// whole fails unless path is this program for everybody, alone in its
// directory.
func whole(t *testing.T, path string) os.FileInfo {
	t.Helper()
	want, err := os.ReadFile(testBinary(t))
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) || info.Mode() != programMode {
		t.Errorf("the copy has %d bytes and mode %o; want %d and %o", len(got), info.Mode(), len(want), programMode)
	}
	if names, _ := os.ReadDir(filepath.Dir(path)); len(names) != 1 {
		t.Errorf("beside the copy: %v", names)
	}
	return info
}

// Neither a strict umask nor a lost mode bit is left in the copy.
func TestCopySelfSetsTheMode(t *testing.T) {
	from, to := filepath.Join(t.TempDir(), "program"), filepath.Join(t.TempDir(), "sidegate")
	if err := os.WriteFile(from, []byte("program"), 0o700); err != nil {
		t.Fatal(err)
	}
	defer syscall.Umask(syscall.Umask(0o077))
	for range 2 {
		if err := copyProgram(from, to); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(to)
		if err != nil || info.Mode() != programMode {
			t.Fatalf("%v %v", info.Mode(), err)
		}
		if err := os.Chmod(to, 0o700); err != nil {
			t.Fatal(err)
		}
	}
}

// Whoever opens the file while it is exchanged gets one that is whole.
func TestCopySelfIsAtomic(t *testing.T) {
	dir := t.TempDir()
	to := filepath.Join(dir, "sidegate")
	var programs [2]string
	for i := range programs {
		programs[i] = filepath.Join(t.TempDir(), "program")
		if err := os.WriteFile(programs[i], bytes.Repeat([]byte{byte('a' + i)}, 1<<20), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := copyProgram(programs[0], to); err != nil {
		t.Fatal(err)
	}
	var copying sync.WaitGroup
	done := make(chan struct{})
	for _, from := range programs {
		copying.Go(func() {
			for range 20 {
				if err := copyProgram(from, to); err != nil {
					t.Error(err)
				}
			}
		})
	}
	go func() {
		copying.Wait()
		close(done)
	}()
	for {
		got, err := os.ReadFile(to)
		if err != nil || len(got) != 1<<20 || bytes.Count(got, got[:1]) != 1<<20 {
			t.Fatalf("%d bytes, %v", len(got), err)
		}
		select {
		case <-done:
			return
		default:
		}
	}
}

func TestCopySelfThatCannot(t *testing.T) {
	there := t.TempDir()
	if err := os.Mkdir(filepath.Join(there, "sidegate"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{nil, exitUsage, "copy-self takes the directory to copy to"},
		{[]string{"a", "b"}, exitUsage, "copy-self takes the directory to copy to"},
		{[]string{"/nowhere"}, exitFailed, "the directory must exist"},
		{[]string{there}, exitFailed, "something that is no file stands there; remove it"},
	} {
		_, errs, code := finish(t, gateProcess(t, append([]string{"copy-self"}, c.args...)...))
		if code != c.code || !strings.Contains(errs, c.want) {
			t.Errorf("%q: exit code %d, %s\nwant %d, %s", c.args, code, errs, c.code, c.want)
		}
	}
}
