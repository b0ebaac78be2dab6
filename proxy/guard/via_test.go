package guard

import (
	"strings"
	"testing"

	"sidegate/proxy/refusal"
)

// TestLoop: a request that has been sent to the room's tool server before is
// refused, wherever its name stands in Via, by whatever method, and before
// anything is asked of it that a request of the gate's own has not: a token.
func TestLoop(t *testing.T) {
	g := mustNew(t, Config{TokenFile: tokenFile(t, "ann=s3cret")})
	own, other := NewVia(), NewVia()
	room := *endpoint
	room.Via = own
	for via, loops := range map[string]bool{
		"Via: 1.1 " + own: true,
		"via: 1.1 " + other + ", 1.1 " + own + ", 1.0 edge": true,
		"Via: 1.0 edge (a, b)\r\nVia: HTTP/1.1  " + own:     false, // two spaces: no name
		"Via: 1.0 edge (a, b)\r\nVia: HTTP/1.1 " + own:      true,
		"Via: 1.1 " + other:               false,
		"Via: 1.1 " + own + "x":           false,
		"Via: 1.1 " + own[:len(own)-1]:    false,
		"Via: " + own:                     false,
		"Via: 1.1 edge (1.1 " + own + ")": false,
		"Via: ,, ,":                       false,
		"Via:":                            false,
	} {
		for _, line := range []string{"POST /mcp HTTP/1.1", "GET /mcp HTTP/1.1", "OPTIONS /mcp HTTP/1.1", "PUT /mcp HTTP/1.1"} {
			head := append([]string{hostField, typeField, acceptField}, strings.Split(via, "\r\n")...)
			_, got := g.Door(request(t, loopback, line, head...), &room)
			if (got == refusal.Loop) != loops {
				t.Errorf("%s with %q: got %v", line, via, got)
			}
		}
	}
	if _, got := g.Door(request(t, loopback, "POST /mcp HTTP/1.1", hostField, typeField, acceptField, "Via: 1.1 "+own), endpoint); got == refusal.Loop {
		t.Error("a room whose server hears no name refuses a request for one")
	}
	if own == other {
		t.Error("two names are one")
	}
}

// TestForwardedVia: of Via a tool server hears the names of gates and nothing
// else, also where the client would have them belong to the connection.
func TestForwardedVia(t *testing.T) {
	one, two := NewVia(), NewVia()
	g := mustNew(t, Config{})
	h := &request(t, loopback, "POST /x HTTP/1.1", hostField, "Connection: Via", "Via: 1.0 inside.example:80 (secret), 1.1 "+one, "Via: 2 "+two+" (what)").Request.Header
	want := "Via: 1.1 " + one + "\r\n"
	if got := string(g.AppendForwarded(nil, h, &Visitor{})); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestNoViaCostsNothing: the look for what nearly no request has.
func TestNoViaCostsNothing(t *testing.T) {
	h := &request(t, loopback, "POST /mcp HTTP/1.1", hostField, typeField, acceptField).Request.Header
	via := NewVia()
	if n := testing.AllocsPerRun(100, func() {
		if returns(h, via) {
			t.Error("it returns")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
