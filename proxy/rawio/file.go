package rawio

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// File is a pipe, or another file that need not block. It has no more of an os.File
// than is here: the rest would wait by itself.
type File struct {
	file *os.File
	calls
	quick bool
}

// NewFile returns f with calls that are quick, if f does not block: a call that
// did would stop others as well.
func NewFile(f *os.File) *File {
	q := &File{file: f}
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
		return f.file.Read(p)
	}
	n, err := f.calls.Read(p)
	return n, f.named("read", err)
}

// Write is that of an os.File.
func (f *File) Write(p []byte) (int, error) {
	if !f.quick {
		return f.file.Write(p)
	}
	n, err := f.calls.Write(p)
	return n, f.named("write", err)
}

// WriteNow is that of a Conn; it writes nothing to a file that may block.
func (f *File) WriteNow(p []byte) int {
	if !f.quick {
		return 0
	}
	return f.calls.WriteNow(p)
}

// Close is that of an os.File.
func (f *File) Close() error { return f.file.Close() }

// Name is that of an os.File.
func (f *File) Name() string { return f.file.Name() }

// SyscallConn gives the descriptor to look at, as a Conn's.
func (f *File) SyscallConn() (syscall.RawConn, error) { return f.file.SyscallConn() }

// SetReadDeadline is that of an os.File.
func (f *File) SetReadDeadline(t time.Time) error {
	if !f.quick {
		return f.file.SetReadDeadline(t)
	}
	return f.in.due.set(t)
}

// SetWriteDeadline is that of an os.File.
func (f *File) SetWriteDeadline(t time.Time) error {
	if !f.quick {
		return f.file.SetWriteDeadline(t)
	}
	return f.out.due.set(t)
}

// SetDeadline is both.
func (f *File) SetDeadline(t time.Time) error {
	return errors.Join(f.SetReadDeadline(t), f.SetWriteDeadline(t))
}

// named gives what the system says the form in which package os has it.
func (f *File) named(op string, err error) error {
	number, ok := err.(syscall.Errno) //nolint:errorlint // it is bare, or package os has named it
	if !ok {
		return err
	}
	return &fs.PathError{Op: op, Path: f.Name(), Err: number}
}
