package proxy

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"testing"
	"time"
)

// roomyConfig is that of a gate whose sessions share one server.
func roomyConfig() *Config {
	c := testConfig()
	c.MaxConnections = 10_000
	c.SSE = true
	b := &c.Backends[0]
	b.Isolation, b.MaxSessions = IsolationShared, 100_000
	return c
}

// A visitor is a client on one connection.
type visitor struct {
	tb      testing.TB
	address string
	conn    net.Conn
}

func visit(tb testing.TB, address string) *visitor {
	tb.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { conn.Close() })
	return &visitor{tb, address, conn}
}

// ask sends a request and reads the answer's head; the body, too, where it has
// a length.
func (v *visitor) ask(method, path, head, body string) *http.Response {
	v.tb.Helper()
	fmt.Fprintf(v.conn, "%s %s HTTP/1.1\r\nHost: %s\r\nAccept: application/json, text/event-stream\r\n%s", method, path, v.address, head)
	if body != "" {
		fmt.Fprintf(v.conn, "Content-Type: application/json\r\nContent-Length: %d\r\n", len(body))
	}
	fmt.Fprintf(v.conn, "\r\n%s", body)
	v.conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	r, err := http.ReadResponse(bufio.NewReader(v.conn), nil)
	if err != nil {
		v.tb.Fatal(err)
	}
	if r.ContentLength > 0 {
		io.Copy(io.Discard, r.Body)
	}
	return r
}

const initialize = `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"t","version":"0"}}}`

// open opens a session and returns its id.
func (v *visitor) open() string {
	v.tb.Helper()
	r := v.ask("POST", "/mcp", "", initialize)
	id := r.Header.Get("Mcp-Session-Id")
	if r.StatusCode != 200 || id == "" {
		v.tb.Fatalf("initialize: %v", r.Status)
	}
	session := "Mcp-Session-Id: " + id + "\r\nMcp-Protocol-Version: 2025-06-18\r\n"
	if r := v.ask("POST", "/mcp", session, `{"jsonrpc":"2.0","method":"notifications/initialized"}`); r.StatusCode != 202 {
		v.tb.Fatalf("initialized: %v", r.Status)
	}
	return id
}

// weigh tells what each of n things that fill makes takes of the heap, in bytes.
// Stacks are not weighed: how many pages those hold that have ended is a matter of
// luck. Goroutines can be counted.
func weigh(n int, fill func()) float64 {
	before := inUse()
	fill()
	return float64(inUse()-before) / float64(n)
}

func inUse() int64 {
	runtime.GC()
	runtime.GC() // what pools hold goes with the second
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	println("heap", m.HeapAlloc, "stack", m.StackInuse, "sys", m.GCSys)
	return int64(m.HeapAlloc)
}

// TestIdleSession: a session without a stream is small.
func TestIdleSession(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	const most = 900 // bytes
	const n = 2000
	v := visit(t, startGate(t, roomyConfig()))
	v.open()
	bytes := weigh(n, func() {
		for range n {
			v.open()
		}
	})
	t.Logf("%.0f bytes a session", bytes)
	if bytes > most {
		t.Errorf("%.0f bytes a session, want at most %d", bytes, most)
	}
}

// TestIdleStream: a stream on which nothing comes has no goroutine, and is
// small. The client's end of its connection counts, too.
func TestIdleStream(t *testing.T) {
	const n, few = 500, 20
	for _, c := range []struct {
		name string
		most float64 // bytes
		open func(v *visitor)
	}{
		{"get", 3500, func(v *visitor) {
			v.ask("GET", "/mcp", "Mcp-Session-Id: "+v.open()+"\r\n", "")
		}},
		{"sse", 3500, func(v *visitor) { v.ask("GET", "/sse", "", "") }},
		{"websocket", 6000, func(v *visitor) {
			v.ask("GET", "/ws", "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mcp\r\n"+
				"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", "")
			frame := append([]byte{0x81, 0x80 | 126, byte(len(initialize) >> 8), byte(len(initialize)), 0, 0, 0, 0}, initialize...) // masked with zeros
			v.conn.Write(frame)
			io.ReadAtLeast(v.conn, make([]byte, 1<<10), 100)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := startGate(t, roomyConfig())
			c.open(visit(t, g))
			before, goroutines := runtime.NumGoroutine(), n
			bytes := weigh(n, func() {
				for range n {
					c.open(visit(t, g))
				}
				for deadline := time.Now().Add(20 * time.Second); goroutines >= few && time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
					goroutines = runtime.NumGoroutine() - before
				}
			})
			t.Logf("%.0f bytes a stream, %d goroutines", bytes, goroutines)
			if runtime.GOOS == "linux" && goroutines >= few {
				t.Errorf("%d streams have %d goroutines", n, goroutines)
			}
			if bytes > c.most && !raceEnabled {
				t.Errorf("%.0f bytes a stream, want at most %.0f", bytes, c.most)
			}
		})
	}
}
