package proxy

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"

	"sidegate/limits"
	"sidegate/proxy/backend"
	"sidegate/proxy/backend/stdio"
	"sidegate/proxy/wire"
)

// echoVariable makes the test binary a tool server, when it runs as a child.
const echoVariable = "SIDEGATE_TEST_ECHO"

func TestMain(m *testing.M) {
	if os.Getenv(echoVariable) != "" {
		echo(os.Stdin, os.Stdout)
		return
	}
	goleak.VerifyTestMain(m,
		// The HTTP server's clock lives as long as the process; the cleaner of
		// its workers sleeps for up to ten seconds before it sees its end.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"))
}

// echo answers each request with its own params.
func echo(in io.Reader, out io.Writer) {
	lines := wire.NewLineReader(in, 32<<20, nil)
	var env wire.Envelope
	for {
		line, err := lines.Next()
		if err != nil {
			return
		}
		if env.Scan(line.B) == nil && env.Kind == wire.Request {
			answer := wire.Acquire(len(line.B) + 64)
			answer.B = append(answer.B, `{"jsonrpc":"2.0","id":`...)
			answer.B = append(answer.B, env.ID.Of(line.B)...)
			answer.B = append(answer.B, `,"result":{"protocolVersion":"2025-06-18","echo":`...)
			answer.B = append(answer.B, env.Params.Of(line.B)...)
			answer.B = append(answer.B, "}}\n"...)
			_, _ = out.Write(answer.B)
			answer.Release()
		}
		line.Release()
	}
}

// testConfig is what the command line's defaults amount to.
func testConfig() *Config {
	return &Config{
		Listen: "127.0.0.1:0", Admin: "off",
		MaxMessage: 16 << 20, MaxHeader: 16 << 10, MaxBytesInFlight: 256 << 20, MaxConnections: 1000,
		HeaderTimeout: 10 * time.Second, BodyTimeout: 30 * time.Second, WriteTimeout: 30 * time.Second,
		IdleTimeout: time.Minute, SessionLifetime: time.Hour, KeepAlive: 15 * time.Second,
		ReplayEvents: 1000, ReplayBytes: 4 << 20, Grace: 10 * time.Second,
		Backends: []BackendConfig{{
			Name: "default", Command: []string{os.Args[0]}, Env: []string{echoVariable + "=1"},
			Isolation: IsolationSession, Links: 1, MaxSessions: 1000, MaxCalls: 64, Warm: 1, MaxLinks: 10, LinkWait: 10 * time.Second, CallTimeout: time.Hour, StopTimeout: 5 * time.Second,
			Era: EraLegacy, Cache: true, MaxParked: 1000, ParkTimeout: 5 * time.Minute,
		}},
	}
}

// startGate runs a gate in front of echo and returns its address.
func startGate(tb testing.TB, c *Config) string {
	tb.Helper()
	budget := limits.NewBytes(c.MaxBytesInFlight)
	b := c.Backends[0]
	server, err := stdio.New(stdio.Config{Command: b.Command, Env: b.Env, MaxMessage: c.MaxMessage, Budget: budget, StopTimeout: b.StopTimeout, Log: zap.NewNop()})
	if err != nil {
		tb.Fatal(err)
	}
	g, err := New(c, []backend.Backend{server}, budget, zap.NewNop())
	if err != nil {
		tb.Fatal(err)
	}
	if err := g.Listen(nil); err != nil {
		tb.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- g.Run(ctx) }()
	tb.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			tb.Errorf("the gate ended with %v", err)
		}
		if n := budget.InUse(); n != 0 {
			tb.Errorf("%d bytes are still in flight", n)
		}
	})
	return g.Address()
}

// A caller is a client that allocates nothing for a call.
type caller struct {
	conn    net.Conn
	reader  *bufio.Reader
	request []byte
	answer  []byte
}

func newCaller(tb testing.TB, address string, arguments string) *caller {
	tb.Helper()
	c := &caller{answer: make([]byte, 64<<10)}
	initialize := `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"t","version":"0"}}}`
	request, err := http.NewRequest("POST", "http://"+address+"/mcp", strings.NewReader(initialize))
	if err != nil {
		tb.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Accept", "application/json, text/event-stream")
	response, err := http.DefaultTransport.(*http.Transport).Clone().RoundTrip(request)
	if err != nil {
		tb.Fatal(err)
	}
	response.Body.Close()
	id := response.Header.Get("Mcp-Session-Id")
	if response.StatusCode != 200 || id == "" {
		tb.Fatalf("initialize: %v", response.Status)
	}
	body := `{"jsonrpc":"2.0","id":9007199254740993,"method":"tools/call","params":{"name":"echo","arguments":` + arguments + `}}`
	c.request = fmt.Appendf(nil, "POST /mcp HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nAccept: application/json, text/event-stream\r\n"+
		"Mcp-Session-Id: %s\r\nMcp-Protocol-Version: 2025-06-18\r\nContent-Length: %d\r\n\r\n%s", address, id, len(body), body)
	if c.conn, err = net.Dial("tcp", address); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { c.conn.Close() })
	c.reader = bufio.NewReaderSize(c.conn, 64<<10)
	return c
}

// call sends the request and reads the answer's head and body.
func (c *caller) call(tb testing.TB) []byte {
	if _, err := c.conn.Write(c.request); err != nil {
		tb.Fatal(err)
	}
	length := 0
	for {
		line, err := c.reader.ReadSlice('\n')
		if err != nil {
			tb.Fatal(err)
		}
		if len(line) == 2 {
			break
		}
		if value, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
			for _, d := range bytes.TrimSpace(value) {
				length = length*10 + int(d-'0')
			}
		}
	}
	if _, err := io.ReadFull(c.reader, c.answer[:length]); err != nil {
		tb.Fatal(err)
	}
	return c.answer[:length]
}

const smallArguments = `{"text":"the quick brown fox jumps over the lazy dog","n":[1,2,3]}`

func TestCall(t *testing.T) {
	c := newCaller(t, startGate(t, testConfig()), smallArguments)
	want := `{"jsonrpc":"2.0","id":9007199254740993,"result":{"protocolVersion":"2025-06-18","echo":{"name":"echo","arguments":` + smallArguments + `}}}`
	if got := string(c.call(t)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// maxAllocations is what one call through HTTP, gate and pipes may allocate,
// everything in the gate's process counted.
const maxAllocations = 4

func TestCallAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	c := newCaller(t, startGate(t, testConfig()), smallArguments)
	for range 100 {
		c.call(t)
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
	if each > maxAllocations {
		t.Errorf("%.2f allocations a call, want at most %d", each, maxAllocations)
	}
}

func BenchmarkCall(b *testing.B) {
	for _, size := range []int{100, 5 << 10, 30 << 10} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			c := newCaller(b, startGate(b, testConfig()), `{"text":"`+strings.Repeat("x", size)+`"}`)
			b.SetBytes(int64(len(c.request)))
			b.ReportAllocs()
			for b.Loop() {
				c.call(b)
			}
		})
	}
}
