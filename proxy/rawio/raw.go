//go:build linux && !race

package rawio

import (
	"syscall"
	"unsafe"
)

func sysRead(fd uintptr, p []byte) (int, error)  { return raw(syscall.SYS_READ, fd, p) }
func sysWrite(fd uintptr, p []byte) (int, error) { return raw(syscall.SYS_WRITE, fd, p) }

func raw(trap, fd uintptr, p []byte) (int, error) {
	n, _, failed := syscall.RawSyscall(trap, fd, uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)))
	if failed != 0 {
		return 0, failed
	}
	return int(n), nil
}
