package stdio

import (
	"io"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"sidegate/proxy/rawio"
)

// output reads one of the child's outputs. It ends when nobody has the other
// end open any more; after the child's death it ends with what the child has
// written, whoever else still holds the other end.
type output struct {
	file     *rawio.File
	finished atomic.Bool
	counted  bool
	left     int // bytes to read once finished
}

// finish is called when the child is dead.
func (o *output) finish() {
	o.finished.Store(true)
	_ = o.file.SetReadDeadline(time.Unix(1, 0)) // ends a Read that waits
}

// Read is that of an io.Reader. It is called by one goroutine.
func (o *output) Read(p []byte) (int, error) {
	if !o.finished.Load() {
		n, err := o.file.Read(p)
		if n > 0 || !o.finished.Load() {
			return n, err
		}
	}
	return o.readLeft(p)
}

// readLeft reads what was in the pipe when the child was found dead, which is
// all that it can have written, and not what others keep writing. The deadline
// has passed, so the descriptor is read itself.
func (o *output) readLeft(p []byte) (n int, err error) {
	raw, err := o.file.SyscallConn()
	if err != nil {
		return 0, err
	}
	controlled := raw.Control(func(fd uintptr) {
		if !o.counted {
			o.counted = true
			o.left, err = unix.IoctlGetInt(int(fd), fionread)
		}
		if o.left == 0 || err != nil {
			return
		}
		n, err = syscall.Read(int(fd), p[:min(len(p), o.left)])
	})
	switch {
	case controlled != nil:
		return 0, controlled
	case err != nil || n <= 0: // nothing there after all
		return 0, io.EOF
	}
	o.left -= n
	return n, nil
}
