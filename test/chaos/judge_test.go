//go:build linux

package chaos

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"sidegate/test/load/drive"
	"sidegate/test/load/serve"
)

// TestCallerTells has a caller note what becomes of a call, by servers that do
// what the gate must not.
func TestCallerTells(t *testing.T) {
	own := func(call string) string { return string(serve.Tools{Modern: true}.Answer(nil, []byte(call))) }
	events := func(w http.ResponseWriter, messages ...string) {
		w.Header().Set("Content-Type", "text/event-stream")
		for _, m := range messages {
			fmt.Fprintf(w, "data: %s\n\n", strings.TrimSpace(m))
		}
	}
	hangUp := func(w http.ResponseWriter) {
		conn, _, _ := w.(http.Hijacker).Hijack()
		conn.(*net.TCPConn).SetLinger(0)
		conn.Close()
	}
	for _, c := range []struct {
		name   string
		answer func(w http.ResponseWriter, call string)
		want   map[entry]int64
	}{
		{"its own answer", func(w http.ResponseWriter, call string) { fmt.Fprint(w, own(call)) }, map[entry]int64{right: 1}},
		{"its own answer, twice", func(w http.ResponseWriter, call string) { events(w, own(call), own(call)) }, map[entry]int64{right: 1, twice: 1}},
		{"another call's answer", func(w http.ResponseWriter, call string) {
			fmt.Fprint(w, own(strings.Replace(call, `"id":1`, `"id":2`, 1)))
		}, map[entry]int64{wrong: 1}},
		{"another client's answer", func(w http.ResponseWriter, call string) {
			fmt.Fprint(w, own(strings.Replace(call, "xx", "xxx", 1)))
		}, map[entry]int64{wrong: 1}},
		{"a stream without an answer", func(w http.ResponseWriter, _ string) { events(w) }, map[entry]int64{lost: 1}},
		{"a refusal", func(w http.ResponseWriter, _ string) {
			w.WriteHeader(503)
			fmt.Fprint(w, `{"jsonrpc":"2.0","id":null,"error":{"code":503,"message":"try again"}}`)
		}, map[entry]int64{refused: 1}},
		{"a refusal without words", func(w http.ResponseWriter, _ string) { w.WriteHeader(503) }, map[entry]int64{mute: 1}},
		{"the connection's end", func(w http.ResponseWriter, _ string) { hangUp(w) }, map[entry]int64{cut: 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				call, err := io.ReadAll(r.Body)
				if err != nil {
					t.Error(err)
				}
				c.answer(w, string(call))
			}))
			defer server.Close()
			l, err := openLedger(filepath.Join(t.TempDir(), "ledger"))
			if err != nil {
				t.Fatal(err)
			}
			caller := &httpCaller{
				clients: &clients{Orders: Orders{Size: 2 * smallest}, ledger: l, reasons: map[string]int{}},
				door:    drive.Door{Addr: server.Listener.Addr().String(), Modern: true},
			}
			caller.call()
			caller.leave()
			got := l.read()
			for e := range got {
				want := c.want[entry(e)]
				if entry(e) == sent {
					want = 1
				}
				if got[e] != want {
					t.Errorf("entry %d of the ledger is %d, want %d: %v", e, got[e], want, &got)
				}
			}
		})
	}
}

// TestBalanceTells has every entry that must be nought found out.
func TestBalanceTells(t *testing.T) {
	good := tally{sent: 10, right: 8, refused: 2}
	for _, c := range []struct {
		name  string
		entry entry
		cuts  int64
		bad   bool
	}{
		{"good", refused, 0, false},
		{"another's answer", wrong, 0, true},
		{"twice", twice, 0, true},
		{"lost", lost, 0, true},
		{"without a reason", mute, 0, true},
		{"cut where nothing was", cut, 0, true},
		{"cut where a connection was", cut, 1, false},
		{"not connected where nothing was cut", unsent, 0, true},
		{"not connected where connections were cut", unsent, 1, false},
	} {
		s := &balance{all: good}
		s.all[sent]++
		s.all[c.entry]++
		if wrongs := s.wrongs(c.cuts); len(wrongs) > 0 != c.bad {
			t.Errorf("%s: %v has wrongs %q", c.name, &s.all, wrongs)
		}
	}
	if n := (&tally{sent: 10, right: 8}); n.open() != 2 {
		t.Errorf("of %v %d calls are open, want 2", n, n.open())
	}
	if len((&balance{}).wrongs(0)) == 0 {
		t.Error("a run without an answer is good")
	}
}
