package http

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"sidegate/proxy/backend"
	"sidegate/proxy/wire"
)

// bench is a receiver that lets go of one caller for each message.
type bench struct{ arrived chan struct{} }

func (b *bench) Message(msg *wire.Buffer, _ *wire.Envelope) {
	msg.Release()
	b.arrived <- struct{}{}
}
func (b *bench) TooLong([]byte, int64)        {}
func (b *bench) Garbage([]byte)               {}
func (b *bench) Reply([]byte, *backend.Reply) { panic("a call was refused") }
func (b *bench) Closed(error)                 { close(b.arrived) }

func request(size int) string {
	const frame = `{"jsonrpc":"2.0","id":1,"method":"echo","params":{"text":""}}`
	return frame[:len(frame)-3] + strings.Repeat("x", max(0, size-len(frame))) + frame[len(frame)-3:]
}

func answerOf(size int) string {
	const frame = `{"jsonrpc":"2.0","id":1,"result":{"text":""}}`
	return frame[:len(frame)-3] + strings.Repeat("x", max(0, size-len(frame))) + frame[len(frame)-3:]
}

// canned is a server that costs next to nothing: it reads requests of known
// size and answers each with the same response, without allocating.
func canned(t testing.TB, size int, response string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				buf, response := make([]byte, 64<<10), []byte(response)
				for had := 0; ; {
					n, err := c.Read(buf)
					if err != nil {
						return
					}
					if had += n; had >= size {
						had = 0
						if _, err := c.Write(response); err != nil {
							return
						}
					}
				}
			}()
		}
	}()
	t.Cleanup(func() { l.Close(); <-stopped })
	return "http://" + l.Addr().String() + "/mcp"
}

func jsonResponse(body string) string {
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nDate: Mon, 01 Jan 2024 00:00:00 GMT\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}

// requestSize is how many bytes a request for a message takes on the wire.
func requestSize(t testing.TB, text string) int {
	t.Helper()
	sizes := make(chan int, 1)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		c, err := l.Accept()
		if err != nil {
			sizes <- 0
			return
		}
		defer c.Close()
		buf, n := make([]byte, 1<<20), 0
		for !strings.Contains(string(buf[:n]), text) {
			m, err := c.Read(buf[n:])
			if err != nil {
				break
			}
			n += m
		}
		sizes <- n
	}()
	b := newBackend(t, "http://"+l.Addr().String()+"/mcp")
	c := open(t, b)
	c.say(t, "%s", text)
	size := <-sizes
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	c.Close(ctx)
	return size
}

// BenchmarkCall is a call and its answer. user and sys are of the whole process,
// the server included, in microseconds.
func BenchmarkCall(b *testing.B) {
	sse := "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
	event := "event: message\ndata: " + answerOf(200) + "\n\n"
	sse += fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(event), event)
	text := request(200)
	size := requestSize(b, text)
	for name, header := range map[string]string{"": "", "modern/": ofModern} {
		size := size + len(header)
		b.Run(name+"json", func(b *testing.B) {
			benchmarkCall(b, canned(b, size, jsonResponse(answerOf(200))), header, text, 1)
		})
		b.Run(name+"sse", func(b *testing.B) { benchmarkCall(b, canned(b, size, sse), header, text, 1) })
		b.Run(name+"json/32", func(b *testing.B) {
			benchmarkCall(b, canned(b, size, jsonResponse(answerOf(200))), header, text, 32)
		})
	}
	b.Run("net-http", func(b *testing.B) {
		answer := []byte(answerOf(200))
		benchmarkCall(b, serve(b, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			w.Header().Set("Content-Type", "application/json")
			w.Write(answer)
		})), "", text, 1)
	})
}

func benchmarkCall(b *testing.B, url, header, text string, callers int) {
	server := newBackend(b, url)
	r, lines := &bench{make(chan struct{}, callers)}, []byte(header)
	conn, err := server.Open(context.Background(), r)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.ResetTimer()
	begun := used()
	for range callers {
		r.arrived <- struct{}{}
	}
	for range b.N {
		<-r.arrived
		msg := wire.Acquire(len(text))
		msg.B = append(msg.B, text...)
		if err := conn.(backend.Forwarder).SendWith(msg, lines); err != nil {
			b.Fatal(err)
		}
	}
	for range callers {
		<-r.arrived
	}
	b.StopTimer()
	b.ReportMetric(float64((used()-begun).Microseconds())/float64(b.N), "cpu-µs/op")
	conn.Close(context.Background())
}

// used is the processor time of this process.
func used() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
