//go:build linux

package netns

import (
	"context"
	"fmt"
	"net"
	"runtime"

	"golang.org/x/sys/unix"
)

// DialContext connects from where p lives, for a client in the test's own
// process: a connection stays in the namespace in which it was begun. The
// address must be an IP's: names are looked up by threads of the runtime's.
func (p *Person) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	type result struct {
		conn net.Conn
		err  error
	}
	dialled := make(chan result, 1)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with this goroutine, and never serves another
		if err := p.enter(); err != nil {
			dialled <- result{err: err}
			return
		}
		conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
		dialled <- result{conn, err}
	}()
	r := <-dialled
	return r.conn, r.err
}

// enter brings the calling thread to where p lives.
func (p *Person) enter() error {
	fd, err := unix.Open(p.Namespace(), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("the namespace of %s: %w", p.Name, err)
	}
	defer unix.Close(fd)
	if err := unix.Setns(fd, unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("the namespace of %s: %w", p.Name, err)
	}
	return nil
}
