//go:build !linux || race

package rawio

import "syscall"

// On macOS a system call goes through the C library, which package syscall alone
// can call. The race detector sees by the ordinary calls what a connection puts
// in order.

func sysRead(fd uintptr, p []byte) (int, error)  { return syscall.Read(int(fd), p) }
func sysWrite(fd uintptr, p []byte) (int, error) { return syscall.Write(int(fd), p) }
func sysPeek(fd uintptr, p []byte) (int, error) {
	n, _, err := syscall.Recvfrom(int(fd), p, syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	return n, err
}
