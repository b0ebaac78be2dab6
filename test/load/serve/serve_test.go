package serve

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	// What looks after the workers of fasthttp's server sleeps for ten seconds
	// before it sees that the server has ended.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"))
}

// message is what a test looks at in an answer.
type message struct {
	ID     json.RawMessage
	Method string
	Result struct {
		ProtocolVersion string
		ResultType      string
		Content         []struct{ Text string }
		Tools           []struct{ Name string }
	}
	Error *struct{ Code int }
}

func call(id int, tool, arguments string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":%q,"arguments":%s}}`, id, tool, arguments)
}

// talk sends lines and returns the messages that come back.
func talk(t *testing.T, tools Tools, in io.Reader) []message {
	t.Helper()
	var out bytes.Buffer
	if err := tools.Stdio(in, &out); err != nil {
		t.Fatal(err)
	}
	var list []message
	for line := range strings.Lines(out.String()) {
		var m message
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		list = append(list, m)
	}
	return list
}

// TestStdio talks to the server, in whole and in single bytes.
func TestStdio(t *testing.T) {
	large := strings.Repeat("y", 200_000)
	lines := strings.Join([]string{
		`{"jsonrpc":"2.0","id":"a","method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{}}}`,
		`{"jsonrpc":"2.0","method":"notifications/initialized"}`,
		`{"jsonrpc":"2.0","id":1,"method":"ping"}`,
		`{"jsonrpc":"2.0","id":2,"method":"tools/list"}`,
		call(3, "echo", `{"text":"a \" b"}`),
		call(4, "echo", `{"text":"`+large+`"}`),
		call(5, "big", `{"bytes":100000}`),
		call(6, "notify", `{}`),
		`{"jsonrpc":"2.0","id":7,"method":"server/discover"}`,
	}, "\n") + "\n"
	for name, in := range map[string]io.Reader{"whole": strings.NewReader(lines), "bytes": iotest.OneByteReader(strings.NewReader(lines))} {
		t.Run(name, func(t *testing.T) {
			got := talk(t, Tools{}, in)
			ids := ""
			for _, m := range got {
				ids += string(m.ID) + m.Method + " "
			}
			const changed = "notifications/tools/list_changed"
			if want := `"a" 1 2 3 4 ` + changed + " 5 " + changed + " 6 7 "; ids != want {
				t.Fatalf("answers to %s, want %s", ids, want)
			}
			if v := got[0].Result.ProtocolVersion; v != "2025-11-25" {
				t.Errorf("negotiated %q", v)
			}
			if n := len(got[2].Result.Tools); n != 4 {
				t.Errorf("%d tools", n)
			}
			for at, want := range map[int]string{3: `a " b`, 4: large, 6: strings.Repeat("x", 100_000)} {
				if text := got[at].Result.Content[0].Text; text != want {
					t.Errorf("answer %d has %d bytes: %.40q", at, len(text), text)
				}
			}
			if e := got[9].Error; e == nil || e.Code != -32601 {
				t.Errorf("server/discover at a legacy server: %+v", got[9])
			}
		})
	}
}

// TestModern wants modern results, and no sessions.
func TestModern(t *testing.T) {
	got := talk(t, Tools{Modern: true}, strings.NewReader(call(1, "echo", `{"text":"z"}`)+"\n"+
		`{"jsonrpc":"2.0","id":2,"method":"server/discover"}`+"\n"+`{"jsonrpc":"2.0","id":3,"method":"initialize","params":{}}`+"\n"))
	if len(got) != 3 || got[0].Result.ResultType != "complete" || got[1].Result.ResultType != "complete" || got[2].Error == nil {
		t.Errorf("%+v", got)
	}
}

// TestHTTP asks both servers of HTTP, and both through the relay.
func TestHTTP(t *testing.T) {
	for name, server := range map[string]func(Tools, net.Listener) error{"fast": Tools.Fast, "plain": Tools.Plain} {
		t.Run(name, func(t *testing.T) {
			addr := serveAt(t, func(l net.Listener) error { return server(Tools{}, l) })
			through := serveAt(t, func(l net.Listener) error { return Relay(l, addr) })
			for _, at := range []string{addr, through} {
				client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
				resp, err := client.Post("http://"+at+"/mcp", "application/json", strings.NewReader(call(9, "big", `{"bytes":70000}`)))
				if err != nil {
					t.Fatal(err)
				}
				var m message
				if err := json.NewDecoder(resp.Body).Decode(&m); err != nil || len(m.Result.Content[0].Text) != 70_000 {
					t.Errorf("%v: %.100v", err, m)
				}
				resp.Body.Close()
			}
		})
	}
}

// serveAt serves until the end of the test.
func serveAt(t *testing.T, serve func(net.Listener) error) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		serve(l)
		close(ended)
	}()
	t.Cleanup(func() {
		l.Close()
		<-ended
	})
	return l.Addr().String()
}
