//go:build !linux

package poll

import "syscall"

// A Poller is not to be had on this system.
type Poller struct{}

// New fails.
func New() (*Poller, error) { return nil, ErrUnsupported }

// Watch fails.
func (*Poller) Watch(syscall.RawConn, *Watched) error { return ErrUnsupported }

// Forget does nothing.
func (*Poller) Forget(*Watched) {}

// Close does nothing.
func (*Poller) Close() error { return nil }
