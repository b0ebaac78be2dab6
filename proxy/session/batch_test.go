package session

import (
	"strings"
	"testing"

	"sidegate/proxy/metrics"
	"sidegate/proxy/refusal"
	"sidegate/proxy/wire"
)

// scan is what a gate gives for Check, without its limit.
func scan(msg []byte, env *wire.Envelope) *refusal.Refusal {
	if env.Scan(msg) != nil {
		return refusal.Envelope
	}
	return nil
}

// TestBatchElements: each element is judged by itself, and those are counted
// that are to be answered.
func TestBatchElements(t *testing.T) {
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
	s := newBench(t).open("2025-03-26")
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			body := wire.Acquire(len(test.body))
			defer body.Release()
			body.B = append(body.B, test.body...)
			b, refused := s.Batch(body, BatchRules{Check: scan})
			if (refused != nil) != test.whole {
				t.Fatalf("the whole batch: %v", refused)
			}
			if test.whole {
				return
			}
			got := ""
			for _, e := range b.elements {
				if e.refused != nil {
					got += "r"
				} else {
					got += "-"
				}
			}
			if got != test.refused || b.Answers != test.answers {
				t.Errorf("%s with %d answers, want %s with %d", got, b.Answers, test.refused, test.answers)
			}
		})
	}
}

// TestBatchIsOfOneRevision: no other revision knows batches.
func TestBatchIsOfOneRevision(t *testing.T) {
	s := newBench(t).open("2025-06-18")
	body := wire.Acquire(64)
	defer body.Release()
	body.B = append(body.B, `[{"jsonrpc":"2.0","method":"n"}]`...)
	if _, refused := s.Batch(body, BatchRules{Check: scan}); refused == nil || refused.Reason != refusal.Envelope.Reason {
		t.Errorf("a batch in a session of 2025-06-18: %v", refused)
	}
}

// TestBatchServes: elements pass one by one, the one that is refused is
// answered, and the client's HTTP header goes with each.
func TestBatchServes(t *testing.T) {
	b := newBench(t)
	s := b.open("2025-03-26")
	body := wire.Acquire(256)
	defer body.Release()
	body.B = append(body.B, `[{"jsonrpc":"2.0","id":"a",`+"\n"+`"method":"ping"},{"jsonrpc":"1.0","id":"b"},{"jsonrpc":"2.0","method":"n"}]`...)
	counted := 0
	batch, refused := s.Batch(body, BatchRules{Budget: b.budget, Check: scan, Refused: func(*refusal.Refusal) { counted++ }})
	if refused != nil || batch.Answers != 2 {
		t.Fatalf("%v, %d answers", refused, batch.Answers)
	}
	st := s.Outbox().Open(batch.Answers)
	if refused := batch.Serve(st); refused != nil || counted != 1 {
		t.Errorf("%v, %d refusals counted", refused, counted)
	}
	if want := `{"jsonrpc":"2.0","method":"n"}`; b.last() != want {
		t.Errorf("sent %s, want %s", b.last(), want)
	}
	for _, sent := range b.sent {
		if strings.Contains(sent, "\n") {
			t.Errorf("%q is more than one line", sent)
		}
	}
	b.says(`{"jsonrpc":"2.0","id":2,"result":{}}`)
	if b.outcome[metrics.OK] != 2 { // initialize is the other
		t.Errorf("outcomes %v", b.outcome)
	}
	st.Abandon() // two answers need a connection
}
