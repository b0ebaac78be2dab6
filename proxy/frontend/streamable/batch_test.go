package streamable

import (
	"strings"
	"testing"

	"go.uber.org/goleak"

	"sidegate/proxy/refusal"
	"sidegate/proxy/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// scan is what a gate gives for Check, without its limit.
func scan(msg []byte, env *wire.Envelope) *refusal.Refusal {
	if env.Scan(msg) != nil {
		return refusal.Envelope
	}
	return nil
}

// TestElements: each element is judged by itself, and those are counted that
// are to be answered.
func TestElements(t *testing.T) {
	const (
		request      = `{"jsonrpc":"2.0","id":1,"method":"ping"}`
		notification = `{"jsonrpc":"2.0","method":"n"}`
		answer       = `{"jsonrpc":"2.0","id":1,"result":{}}`
	)
	tests := []struct {
		name, body string
		refused    string // one letter an element: r where it is refused
		answers    int
		whole      bool // the whole batch is refused
	}{
		{name: "one of each", body: "[" + request + "," + notification + ",\n" + answer + "]", refused: "---", answers: 1},
		{name: "nothing to answer", body: "[" + notification + "]", refused: "-"},
		{name: "a bad one among good ones", body: "[" + request + `,{"jsonrpc":"1.0"},` + request + "]", refused: "-r-", answers: 3},
		{name: "no message at all", body: `[1]`, refused: "r", answers: 1},
		{name: "initialize", body: `[{"jsonrpc":"2.0","id":1,"method":"initialize"}]`, refused: "r", answers: 1},
		{name: "a batch in a batch", body: "[[" + request + "]]", refused: "r", answers: 1},
		{name: "empty", body: `[]`, whole: true},
		{name: "too many", body: "[" + strings.Repeat(notification+",", mostElements) + notification + "]", whole: true},
	}
	f := New(Options{Check: scan})
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			elements, answers, refused := f.elements([]byte(test.body))
			if (refused != nil) != test.whole {
				t.Fatalf("the whole batch: %v", refused)
			}
			if test.whole {
				return
			}
			got := ""
			for _, e := range elements {
				if e.refused != nil {
					got += "r"
				} else {
					got += "-"
				}
			}
			if got != test.refused || answers != test.answers {
				t.Errorf("%s with %d answers, want %s with %d", got, answers, test.refused, test.answers)
			}
		})
	}
}
