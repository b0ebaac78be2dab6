//go:build linux && !race

package rawio

import (
	"syscall"
	"unsafe"
)

func sysRead(fd uintptr, p []byte) (int, error)  { return raw(syscall.SYS_READ, fd, p, 0) }
func sysWrite(fd uintptr, p []byte) (int, error) { return raw(syscall.SYS_WRITE, fd, p, 0) }
func sysPeek(fd uintptr, p []byte) (int, error) {
	return raw(syscall.SYS_RECVFROM, fd, p, syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
}

func raw(trap, fd uintptr, p []byte, flags uintptr) (int, error) {
	n, _, failed := syscall.RawSyscall6(trap, fd, uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), flags, 0, 0)
	if failed != 0 {
		return 0, failed
	}
	return int(n), nil
}
