//go:build linux

package chaos

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// A disk holds a log and little else. Where none may be mounted it is the
// device that is always full.
type disk struct {
	t    *testing.T
	file *os.File
	dir  string // empty: it is the device
}

// newDisk mounts a file system of a mebibyte and makes a log there.
func newDisk(t *testing.T) *disk {
	t.Helper()
	d := &disk{t: t, dir: t.TempDir()}
	name := filepath.Join(d.dir, "log")
	if err := unix.Mount("sidegate-log", d.dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Logf("no file system can be mounted here (%v): the log goes to /dev/full, which is full all the time", err)
		d.dir, name = "", "/dev/full"
	} else {
		// After the gate has ended, whose log it is.
		t.Cleanup(func() { unix.Unmount(d.dir, unix.MNT_DETACH) })
	}
	var err error
	if d.file, err = os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.file.Close() })
	return d
}

// fill takes what room there is.
func (d *disk) fill() {
	d.t.Helper()
	if d.dir == "" {
		return
	}
	filler, err := os.Create(filepath.Join(d.dir, "filler"))
	if err != nil {
		d.t.Fatal(err)
	}
	defer filler.Close()
	for err == nil {
		_, err = filler.Write(make([]byte, 4096))
	}
	if !errors.Is(err, unix.ENOSPC) {
		d.t.Fatal(err)
	}
	if _, err := d.file.Write(make([]byte, 1<<20)); !errors.Is(err, unix.ENOSPC) {
		d.t.Fatalf("there is room for the log on a full disk (%v)", err)
	}
}

// free gives the room back, and that of the log, which nobody rotates here.
func (d *disk) free() {
	d.t.Helper()
	if d.dir == "" {
		return
	}
	if err := os.Remove(filepath.Join(d.dir, "filler")); err != nil {
		d.t.Fatal(err)
	}
	if err := d.file.Truncate(0); err != nil {
		d.t.Fatal(err)
	}
}

// grows tells whether the log has been written to since the room was freed.
func (d *disk) grows() bool {
	if d.dir == "" {
		return true
	}
	info, err := d.file.Stat()
	return err == nil && info.Size() > 0
}
