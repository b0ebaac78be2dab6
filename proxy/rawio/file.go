package rawio

import (
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// File is a pipe, or another file that need not block.
type File struct {
	*os.File
	calls
	quick bool
}

// NewFile returns f with calls that are quick, if f does not block: a call that
// did would stop others as well.
func NewFile(f *os.File) *File {
	q := &File{File: f}
	raw, err := f.SyscallConn()
	if err != nil {
		return q
	}
	failed := raw.Control(func(fd uintptr) {
		flags, err := unix.FcntlInt(fd, unix.F_GETFL, 0)
		q.quick = err == nil && flags&unix.O_NONBLOCK != 0
	})
	q.quick = q.quick && failed == nil
	q.init(raw, f)
	return q
}

// Read is that of an os.File.
func (f *File) Read(p []byte) (int, error) {
	if !f.quick {
		return f.File.Read(p)
	}
	n, err := f.calls.Read(p)
	return n, f.named("read", err)
}

// Write is that of an os.File.
func (f *File) Write(p []byte) (int, error) {
	if !f.quick {
		return f.File.Write(p)
	}
	n, err := f.calls.Write(p)
	return n, f.named("write", err)
}

// named gives what the system says the form in which package os has it.
func (f *File) named(op string, err error) error {
	number, ok := err.(syscall.Errno) //nolint:errorlint // it is bare, or package os has named it
	if !ok {
		return err
	}
	return &fs.PathError{Op: op, Path: f.Name(), Err: number}
}
