package shim

import (
	"errors"
	"net"

	"golang.org/x/sys/unix"
)

// peek waits for the first byte that the peer says, and leaves it to be read. It
// is false where the peer has ended, or with the error of the wait.
func peek(c *net.UnixConn) (spoken bool, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return false, err
	}
	var first [1]byte
	waited := raw.Read(func(fd uintptr) bool {
		var n int
		n, _, err = unix.Recvfrom(int(fd), first[:], unix.MSG_PEEK)
		spoken = n > 0
		return !errors.Is(err, unix.EAGAIN)
	})
	if waited != nil {
		return false, waited
	}
	return spoken, err
}
