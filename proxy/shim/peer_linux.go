package shim

import (
	"net"

	"golang.org/x/sys/unix"
)

// peerUID is the user who connected. Users of another namespace that have no
// number here all show as the overflow one, 65534.
func peerUID(c *net.UnixConn) (uid uint32, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, err
	}
	var cred *unix.Ucred
	controlled := raw.Control(func(fd uintptr) {
		cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	if controlled != nil {
		return 0, controlled
	}
	if err != nil {
		return 0, err
	}
	return cred.Uid, nil
}
