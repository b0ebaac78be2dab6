package fence

import (
	"net"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// The kernel's table as x86 writes it: an IPv4 connection by a socket of either
// family, and an IPv6 one.
const socketTable = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:3A9E 0100007F:D431 01 00000000:00000000 00:00000000 00000000  1337        0 1 1 0 20 4 30 10 -1
   1: 0000000000000000FFFF00000100007F:1F90 0000000000000000FFFF00000100007F:D432 01 00000000:00000000 00:00000000 00000000  1337        0 1 1 0 20 4 30 10 -1
   2: 00000000000000000000000001000000:1F91 00000000000000000000000001000000:D431 01 00000000:00000000 00:00000000 00000000  1337        0 1 1 0 20 4 30 10 -1
   3: nonsense
`

func TestPeersOf(t *testing.T) {
	if runtime.GOARCH != "amd64" && runtime.GOARCH != "arm64" {
		t.Skipf("the table is written as a little-endian machine writes it; this is %s", runtime.GOARCH)
	}
	for _, c := range []struct {
		self string
		want []int
	}{
		{"127.0.0.1:54321", []int{15006}},
		{"127.0.0.1:54322", []int{8080}},
		{"[::1]:54321", []int{8081}},
		{"127.0.0.2:54321", nil},
	} {
		got, err := peersOf(strings.NewReader(socketTable), netip.MustParseAddrPort(c.self))
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, %v; want %v", c.self, got, err, c.want)
		}
	}
}

// This kernel's own table is read as it is.
func TestOtherEnds(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the table is Linux's")
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	conn, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	accepted, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer accepted.Close()
	ports, err := otherEnds(conn.LocalAddr().(*net.TCPAddr).AddrPort())
	if want := ln.Addr().(*net.TCPAddr).Port; err != nil || !slices.Contains(ports, want) { // others may have the same peer port
		t.Errorf("%v, %v; want %d", ports, err, want)
	}
}
