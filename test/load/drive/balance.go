package drive

import (
	"fmt"
	"strings"
)

// A Verdict is what became of a call.
type Verdict int

// Every call ends as one of these.
const (
	Right   Verdict = iota // its own answer, with its own token
	Wrong                  // an answer that is not its own
	Refused                // an HTTP status or a JSON-RPC error
	Lost                   // no answer: a cut, a time-out
	verdicts
)

// A Balance says what became of all calls that were sent.
type Balance struct {
	Sent    int64
	Ended   [verdicts]int64
	Twice   int64  // answers to calls that had theirs
	Late    int64  // calls of a schedule that were not sent at all, since its callers were busy
	Example string // the first thing that went wrong
}

// count notes the end of a call.
func (b *Balance) count(v Verdict, reason string) {
	b.Ended[v]++
	if v != Right {
		b.note(reason)
	}
}

func (b *Balance) note(reason string) {
	if b.Example == "" {
		b.Example = reason
	}
}

// Add joins two balances.
func (b *Balance) Add(other Balance) {
	b.Sent += other.Sent
	for v, n := range other.Ended {
		b.Ended[v] += n
	}
	b.Twice += other.Twice
	b.Late += other.Late
	b.note(other.Example)
}

// Even tells whether every call that was sent has ended in one way.
func (b *Balance) Even() bool {
	var ended int64
	for _, n := range b.Ended {
		ended += n
	}
	return ended == b.Sent
}

// Good tells whether every call got its own answer, once.
func (b *Balance) Good() bool {
	return b.Even() && b.Ended[Right] == b.Sent && b.Twice == 0 && b.Late == 0
}

func (b *Balance) String() string {
	var s strings.Builder
	fmt.Fprintf(&s, "sent %d = right %d + wrong %d + refused %d + lost %d; twice %d, late %d",
		b.Sent, b.Ended[Right], b.Ended[Wrong], b.Ended[Refused], b.Ended[Lost], b.Twice, b.Late)
	if b.Example != "" {
		fmt.Fprintf(&s, "; first: %s", b.Example)
	}
	return s.String()
}
