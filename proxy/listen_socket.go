package proxy

import (
	"fmt"
	"io/fs"
	"net"
	"os"
	"syscall"
)

// ListenSocket listens on a unix socket at path whose file has that mode from
// the first moment on that anybody could connect. A stale file is removed
// before; the file goes when the listener is closed. The umask is the process's
// own while this runs, so it belongs at the start. flag is named in errors.
func ListenSocket(flag, path string, mode fs.FileMode) (*net.UnixListener, error) {
	failed := func(err error) error { return fmt.Errorf("--%s: cannot listen on unix://%s: %w", flag, path, err) }
	if err := removeStale(path); err != nil {
		return nil, failed(err)
	}
	umask := syscall.Umask(0o177) // the owner alone, until the mode is set
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	syscall.Umask(umask)
	if err != nil {
		return nil, failed(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		_ = ln.Close()
		return nil, failed(err)
	}
	return ln, nil
}
