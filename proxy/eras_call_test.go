package proxy

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"runtime"
	"testing"
)

// A joint is a pair of eras, with the most that a call may allocate there. The
// bridges make a second call with its own leg and rewrite the message; where the
// eras are the same nothing of that happens.
type joint struct {
	name           string
	modern         bool   // the client
	server         string // its era
	maxAllocations float64
}

var joints = []joint{
	{"legacy client, legacy server", false, EraLegacy, maxAllocations},
	{"modern client, modern server", true, EraModern, 5},
	{"modern client, legacy server", true, EraLegacy, 13},
	{"legacy client, modern server", false, EraModern, 8},
}

// caller is a client of the joint's era, in front of a server of the other.
func (j joint) caller(tb testing.TB, arguments string) *caller {
	tb.Helper()
	c := testConfig()
	c.Backends[0].Era = j.server
	address := startGate(tb, c)
	if !j.modern {
		return newCaller(tb, address, arguments)
	}
	return newModernCaller(tb, address, arguments)
}

func newModernCaller(tb testing.TB, address, arguments string) *caller {
	tb.Helper()
	body := `{"jsonrpc":"2.0","id":9007199254740993,"method":"tools/call","params":{"name":"echo","arguments":` + arguments +
		`,"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}`
	conn, err := net.Dial("tcp", address)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { conn.Close() })
	return &caller{
		conn: conn, reader: bufio.NewReaderSize(conn, 64<<10), answer: make([]byte, 64<<10),
		request: fmt.Appendf(nil, "POST /mcp HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nAccept: application/json, text/event-stream\r\n"+
			"MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name: echo\r\nContent-Length: %d\r\n\r\n%s", address, len(body), body),
	}
}

// TestAllocationsOfEras pins what each pair of eras costs.
func TestAllocationsOfEras(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	for _, j := range joints {
		t.Run(j.name, func(t *testing.T) {
			c := j.caller(t, `{"text":"hello"}`)
			for range 200 {
				if answer := c.call(t); !bytes.Contains(answer, []byte(`"text":"hello"`)) || !bytes.Contains(answer, []byte(`"id":9007199254740993`)) {
					t.Fatalf("the answer is %s", answer)
				}
			}
			const calls = 2000
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			for range calls {
				c.call(t)
			}
			runtime.ReadMemStats(&after)
			each := float64(after.Mallocs-before.Mallocs) / calls
			t.Logf("%.2f allocations and %.0f bytes a call", each, float64(after.TotalAlloc-before.TotalAlloc)/calls)
			if each > j.maxAllocations {
				t.Errorf("%.2f allocations a call, want at most %.0f", each, j.maxAllocations)
			}
		})
	}
}

func BenchmarkEras(b *testing.B) {
	for _, j := range joints {
		b.Run(j.name, func(b *testing.B) {
			c := j.caller(b, `{"text":"hello"}`)
			b.ReportAllocs()
			for b.Loop() {
				c.call(b)
			}
		})
	}
}
