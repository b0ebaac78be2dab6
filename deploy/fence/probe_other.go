//go:build !linux

package fence

import (
	"errors"
	"net/netip"
)

// Elsewhere there is no Verify, which lacks stops: these stand for what it would
// use.

var errTaken = errors.New("somebody listens there")

type standIn struct{ port int }

func (*standIn) close() {}

func listenAs(uint32, int) (*standIn, error) { return nil, errors.ErrUnsupported }

func (*verifier) connect(uint32, netip.AddrPort) (string, error) { return "", errors.ErrUnsupported }

func (*verifier) datagram(uint32, netip.AddrPort, *standIn) (string, error) {
	return "", errors.ErrUnsupported
}
