package fence

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"strconv"
	"strings"
)

// otherEnds are the local ports of the sockets in this network namespace whose
// peer is self.
func otherEnds(self netip.AddrPort) ([]int, error) {
	var ports []int
	for _, file := range []string{"/proc/self/net/tcp", "/proc/self/net/tcp6"} {
		f, err := os.Open(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue // there is no IPv6
		}
		if err != nil {
			return nil, fmt.Errorf("cannot tell who answers: %w", err)
		}
		found, err := peersOf(f, self)
		f.Close()
		if err != nil {
			return nil, fmt.Errorf("cannot tell who answers: %s: %w", file, err)
		}
		ports = append(ports, found...)
	}
	return ports, nil
}

// peersOf reads one table of the kernel's.
func peersOf(table io.Reader, self netip.AddrPort) ([]int, error) {
	var ports []int
	lines := bufio.NewScanner(table)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 3 {
			continue
		}
		local, ok := parseSocket(fields[1])
		remote, too := parseSocket(fields[2])
		if ok && too && remote == self {
			ports = append(ports, int(local.Port()))
		}
	}
	return ports, lines.Err()
}

// parseSocket reads 0100007F:1F90: words of the address as this machine keeps
// them, and the port.
func parseSocket(s string) (netip.AddrPort, bool) {
	address, port, ok := strings.Cut(s, ":")
	raw, err := hex.DecodeString(address)
	number, bad := strconv.ParseUint(port, 16, 16)
	if !ok || err != nil || bad != nil || len(raw)%4 != 0 {
		return netip.AddrPort{}, false
	}
	for i := 0; i < len(raw); i += 4 {
		binary.NativeEndian.PutUint32(raw[i:], binary.BigEndian.Uint32(raw[i:]))
	}
	a, ok := netip.AddrFromSlice(raw)
	return netip.AddrPortFrom(a.Unmap(), uint16(number)), ok
}
