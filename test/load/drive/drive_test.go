package drive

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sidegate/test/load/rpc"
	"sidegate/test/load/serve"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake serves with a twist: it is given the right answer to each call, and
// writes what it likes.
func fake(t *testing.T, twist func(w http.ResponseWriter, call int64, right []byte)) Door {
	t.Helper()
	var calls atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		answer := bytes.TrimSuffix(serve.Tools{}.Answer(nil, body), []byte("\n"))
		w.Header().Set("Content-Type", "application/json")
		switch {
		case answer == nil:
			w.WriteHeader(http.StatusAccepted)
		case bytes.Contains(body, []byte("tools/call")):
			twist(w, calls.Add(1), answer)
		default:
			w.Header().Set("Mcp-Session-Id", "s")
			w.Write(answer)
		}
	}))
	t.Cleanup(server.Close)
	return Door{Addr: strings.TrimPrefix(server.URL, "http://")}
}

// ten makes ten calls and returns the balance.
func ten(t *testing.T, d Door, w Work) *Balance {
	t.Helper()
	c, err := Open(d, w)
	if err != nil {
		t.Fatal(err)
	}
	defer c.End()
	for range 10 {
		c.Call()
	}
	if !c.balance.Even() {
		t.Errorf("not even: %s", &c.balance)
	}
	return &c.balance
}

// TestBalance wants everything that a server can do to an answer to be seen.
func TestBalance(t *testing.T) {
	var kept []byte
	events := func(w http.ResponseWriter, messages ...[]byte) {
		w.Header().Set("Content-Type", "text/event-stream")
		for i, m := range messages {
			fmt.Fprintf(w, "id: %d\ndata: %s\n\n", i, m)
		}
	}
	third := func(call int64) bool { return call == 3 }
	for _, test := range []struct {
		name  string
		twist func(w http.ResponseWriter, call int64, right []byte)
		want  Balance
	}{
		{"right", func(w http.ResponseWriter, _ int64, right []byte) { w.Write(right) },
			Balance{Ended: [verdicts]int64{Right: 10}}},
		{"right, as events after a notification", func(w http.ResponseWriter, _ int64, right []byte) {
			events(w, []byte(`{"jsonrpc":"2.0","method":"notifications/progress"}`), right)
		}, Balance{Ended: [verdicts]int64{Right: 10}}},
		{"twice", func(w http.ResponseWriter, call int64, right []byte) {
			if third(call) {
				events(w, right, right)
				return
			}
			events(w, right)
		}, Balance{Ended: [verdicts]int64{Right: 10}, Twice: 1}},
		{"cut", func(w http.ResponseWriter, call int64, right []byte) {
			if third(call) {
				panic(http.ErrAbortHandler)
			}
			w.Write(right)
		}, Balance{Ended: [verdicts]int64{Right: 9, Lost: 1}}},
		{"a stream without the answer", func(w http.ResponseWriter, call int64, right []byte) {
			if third(call) {
				events(w)
				return
			}
			events(w, right)
		}, Balance{Ended: [verdicts]int64{Right: 9, Lost: 1}}},
		{"the answer of another call", func(w http.ResponseWriter, call int64, right []byte) {
			if third(call) {
				right = kept
			}
			kept = bytes.Clone(right)
			w.Write(right)
		}, Balance{Ended: [verdicts]int64{Right: 9, Wrong: 1}}},
		{"the result of another call", func(w http.ResponseWriter, call int64, right []byte) {
			_, result, _ := bytes.Cut(right, []byte(`,"result":`))
			if third(call) {
				right = append(bytes.Clone(right[:len(right)-len(result)]), kept...)
			}
			kept = bytes.Clone(result)
			w.Write(right)
		}, Balance{Ended: [verdicts]int64{Right: 9, Wrong: 1}}},
		{"a text that has changed", func(w http.ResponseWriter, call int64, right []byte) {
			if third(call) {
				right = bytes.Replace(right, []byte("xxxx"), []byte("xxx"), 1)
			}
			w.Write(right)
		}, Balance{Ended: [verdicts]int64{Right: 9, Wrong: 1}}},
		{"an error", func(w http.ResponseWriter, call int64, right []byte) {
			if third(call) {
				right = bytes.Replace(right, []byte(`"result"`), []byte(`"error"`), 1)
			}
			w.Write(right)
		}, Balance{Ended: [verdicts]int64{Right: 9, Refused: 1}}},
		{"a status", func(w http.ResponseWriter, call int64, right []byte) {
			if third(call) {
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			w.Write(right)
		}, Balance{Ended: [verdicts]int64{Right: 9, Refused: 1}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := ten(t, fake(t, test.twist), Work{Size: 300})
			if got.Ended != test.want.Ended || got.Twice != test.want.Twice {
				t.Errorf("the balance is %s, want %s", got, &test.want)
			}
			if good := test.want.Ended[Right] == 10 && test.want.Twice == 0; got.Good() != good {
				t.Errorf("good is %v for %s", got.Good(), got)
			}
		})
	}
}

// TestJoin wants callers in one session never to use an id twice.
func TestJoin(t *testing.T) {
	var ids sync.Map
	d := fake(t, func(w http.ResponseWriter, _ int64, right []byte) {
		if _, twice := ids.LoadOrStore(string(rpc.Member(right, "id")), true); twice {
			t.Errorf("an id comes twice: %.60s", right)
		}
		w.Write(right)
	})
	first, err := Open(d, Work{Size: 200})
	if err != nil {
		t.Fatal(err)
	}
	defer first.End()
	second, err := first.Join(Work{Size: 200})
	if err != nil {
		t.Fatal(err)
	}
	defer second.Leave()
	report := Load{Callers: []*Caller{first, second}, For: 20 * time.Millisecond}.Run(context.Background())
	if second.session != "s" || !report.Balance.Good() || report.Latency.TotalCount() != report.Balance.Sent {
		t.Errorf("session %q, %s, %d latencies", second.session, &report.Balance, report.Latency.TotalCount())
	}
}

// TestSizes wants results of the size that was asked for, and messages to be
// as large as they are said to be.
func TestSizes(t *testing.T) {
	d := fake(t, func(w http.ResponseWriter, _ int64, right []byte) { w.Write(right) })
	if got := ten(t, d, Work{Tool: "big", Args: `{"bytes":100000}`, Want: 100_000}); !got.Good() {
		t.Error(got)
	}
	if got := ten(t, d, Work{Tool: "big", Args: `{"bytes":1000}`, Want: 100_000}); got.Ended[Wrong] != 10 {
		t.Errorf("results that are too short: %s", got)
	}
	for _, size := range []int{200, 1 << 20} {
		if got := len(echo(false, size)); got != size {
			t.Errorf("a message of %d bytes has %d", size, got)
		}
	}
}

// TestScheduleCountsTheWait stalls a server once. Each call that became due in
// the meantime has waited, although only one was under way.
func TestScheduleCountsTheWait(t *testing.T) {
	const stall = 400 * time.Millisecond
	d := fake(t, func(w http.ResponseWriter, call int64, right []byte) {
		if call == 20 {
			time.Sleep(stall)
		}
		w.Write(right)
	})
	c, err := Open(d, Work{Size: 200})
	if err != nil {
		t.Fatal(err)
	}
	defer c.End()
	report := Load{Callers: []*Caller{c}, For: time.Second, Rate: 200}.Run(context.Background())
	if !report.Balance.Good() || report.Balance.Sent != 200 {
		t.Errorf("the schedule was for 200 calls, and the balance is %s", &report.Balance)
	}
	slow := 0
	for _, bar := range report.Latency.Distribution() {
		if bar.From > int64(stall/4) {
			slow += int(bar.Count)
		}
	}
	if slow < 50 {
		t.Errorf("%d calls waited for a quarter of the stall or longer; 60 were due by then", slow)
	}
}

// TestReportsJoin wants joined reports to be what one report of both would be.
func TestReportsJoin(t *testing.T) {
	var parts [2]Report
	whole := Report{Latency: histogram()}
	for i := range parts {
		parts[i].Latency = histogram()
		parts[i].Elapsed = time.Second
		parts[i].Balance = Balance{Sent: 500, Ended: [verdicts]int64{Right: 500}}
		for n := range 500 {
			latency := time.Duration(n*(i+1)) * time.Microsecond
			parts[i].record(latency)
			whole.record(latency)
		}
	}
	parts[0].Add(&parts[1])
	for _, q := range []float64{0, 50, 99, 99.9, 100} {
		if got, want := parts[0].Millis(q), whole.Millis(q); got != want {
			t.Errorf("quantile %v is %v, want %v", q, got, want)
		}
	}
	if parts[0].Balance.Sent != 1000 || parts[0].Elapsed != 2*time.Second || !parts[0].Balance.Good() {
		t.Errorf("joined: %+v", parts[0])
	}
	whole.record(time.Hour) // beyond its range, and counted
	if got := whole.Latency.TotalCount(); got != 1001 {
		t.Errorf("%d latencies, want 1001", got)
	}
}

// TestReadsEveryFraming reads responses in each framing, in pieces.
func TestReadsEveryFraming(t *testing.T) {
	for _, raw := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
		"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\n\r\n",
		"HTTP/1.0 200 OK\r\nConnection: close\r\n\r\nhello",
	} {
		for piece := 1; piece <= len(raw); piece++ {
			client, server := net.Pipe()
			go func() {
				for rest := raw; rest != ""; {
					n := min(piece, len(rest))
					io.WriteString(server, rest[:n])
					rest = rest[n:]
				}
				server.Close()
			}()
			c := &conn{Conn: client, buf: make([]byte, 16)}
			var resp response
			if err := c.read(&resp); err != nil || string(resp.body) != "hello" || resp.status != 200 {
				t.Errorf("%q in pieces of %d: %q, %v", raw, piece, resp.body, err)
			}
			client.Close()
		}
	}
}
