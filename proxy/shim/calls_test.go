package shim

import (
	"fmt"
	"testing"
)

func TestCalls(t *testing.T) {
	var c calls
	c.init()
	if !c.none() {
		t.Error("there are calls before there was one")
	}
	c.begin([]byte("1"))
	c.begin([]byte(`"1"`)) // another id
	c.end([]byte("1"))
	if c.none() {
		t.Error("a call that has not ended is not there")
	}
	select {
	case <-c.idle:
		t.Error("told to be idle with a call")
	default:
	}
	c.end([]byte(`"1"`))
	c.end([]byte(`"1"`)) // a late one changes nothing
	if !c.none() {
		t.Error("a call that has ended is still there")
	}
	<-c.idle
}

// TestCallsAreBounded: who never answers costs no more than so much.
func TestCallsAreBounded(t *testing.T) {
	var c calls
	c.init()
	for n := range 2 * maxCalls {
		c.begin(fmt.Append(nil, n))
	}
	if len(c.open) != maxCalls {
		t.Errorf("%d calls are noted, want %d", len(c.open), maxCalls)
	}
}
