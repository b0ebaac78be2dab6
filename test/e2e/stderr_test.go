package e2e

import (
	"fmt"
	"strings"
	"testing"

	"sidegate/test/e2e/harness"
)

// TestStderrIsRelayed: with its own field, in lines of the gate's own form.
func TestStderrIsRelayed(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"json", "console"} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			g := gate(t, "--log-format", format)
			s := open(t, g)
			s.Call(t, "stderr", `{"text":"a warning of the tool server \u001b[31mred\u0007"}`)
			harness.Eventually(t, "the words are in the log", func() bool {
				return strings.Contains(g.Log(), "a warning of the tool server")
			})
			if strings.ContainsAny(g.Log(), "\x1b\x07") {
				t.Error("control characters reach the log")
			}
		})
	}
}

// TestStderrCannotForgeLines: a carriage return or newline of the server's does
// not make a line of the log that the gate did not write.
func TestStderrCannotForgeLines(t *testing.T) {
	t.Parallel()
	g := gate(t)
	s := open(t, g)
	s.Call(t, "stderr", `{"text":"first\r{\"level\":\"error\",\"msg\":\"forged\"}\u2028x"}`)
	harness.Eventually(t, "the words are in the log", func() bool { return strings.Contains(g.Log(), "forged") })
	for line := range strings.Lines(g.Log()) {
		if strings.HasPrefix(line, `{"level":"error","msg":"forged"`) {
			t.Errorf("a forged line: %s", line)
		}
	}
	if strings.Contains(g.Log(), "\r{") {
		t.Error("a carriage return reaches the log")
	}
}

// TestFloodOnStderr: it blocks nobody, the server included, and does not fill
// the disk.
func TestFloodOnStderr(t *testing.T) {
	t.Parallel()
	g := gate(t)
	flooded, other := open(t, g), open(t, g)
	stop := pingMeanwhile(t, other)
	const flood = 64 << 20
	if answer := flooded.Call(t, "stderr", fmt.Sprintf(`{"text":"%s","bytes":%d}`, strings.Repeat("flood ", 20), flood)); answer.Error != nil {
		t.Errorf("got %s", answer.Raw)
	}
	t.Logf("the slowest call of another session meanwhile: %v", stop())
	alive(t, flooded)
	if size := len(g.Log()); size > flood/8 {
		t.Errorf("%d MiB of the %d MiB reached the log", size>>20, flood>>20)
	}
	if !strings.Contains(g.Log(), "flood") {
		t.Error("nothing of it reached the log")
	}
}

// TestEndlessStderrLine: a line on stderr without end is no reason to grow.
func TestEndlessStderrLine(t *testing.T) {
	t.Parallel()
	harness.NeedProc(t)
	g := gate(t)
	s := open(t, g)
	before := g.Resident()
	if answer := s.Call(t, "stderr", fmt.Sprintf(`{"text":"%s"}`, strings.Repeat("x", 15<<20))); answer.Error != nil {
		t.Errorf("got %s", answer.Raw)
	}
	alive(t, s)
	// The call itself is 15 MiB, and may still be in a pool.
	g.WantNoGrowth(t, before, 160<<20)
	for line := range strings.Lines(g.Log()) {
		if len(line) > 1<<20 {
			t.Errorf("a line of %d bytes in the log", len(line))
		}
	}
}
