package stdio

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

// TestFloodOnStderr: 100 MB of standard error neither block the child nor are
// held, a few lines are logged with the count of the others.
func TestFloodOnStderr(t *testing.T) {
	core, logs := observer.New(zapcore.InfoLevel)
	c, r := open(t, newBackend(t, "flood", func(c *Config) { c.Log = zap.New(core) }))
	before := allocated()
	r.Next(t) // the child is through
	if grown := allocated() - before; grown > 10<<20 {
		t.Errorf("a flood of %d MB took %d MB of memory", floodSize>>20, grown>>20)
	}
	c.Close(context.Background())
	logged, dropped := 0, int64(0)
	for _, entry := range logs.All() {
		fields := entry.ContextMap()
		if _, ok := fields["stderr"]; ok {
			logged++
		}
		if n, ok := fields["dropped_lines"].(int64); ok {
			dropped += n
		}
	}
	if total := int64(logged) + dropped; total != floodLines {
		t.Errorf("%d lines were logged and %d dropped, of %d", logged, dropped, floodLines)
	}
	if logged == 0 || logged > floodLines/100 {
		t.Errorf("%d lines were logged", logged)
	}
}

// TestStderrIsLogged as readable lines with a field of their own.
func TestStderrIsLogged(t *testing.T) {
	var log lockedBuffer
	encoder := zapcore.NewJSONEncoder(zapcore.EncoderConfig{MessageKey: "msg"})
	logger := zap.New(zapcore.NewCore(encoder, &log, zapcore.InfoLevel))
	c, r := open(t, newBackend(t, "colours", func(c *Config) { c.Log = logger }))
	r.End(t)
	c.Close(context.Background())
	want := ""
	for _, line := range []string{"red alert", "10%", "ready", strings.Repeat("l", maxStderrLine) + "…", "no newline"} {
		want += fmt.Sprintf(`{"msg":"the tool server says","backend":"test","pid":%d,"stderr":%q}`, c.process.pid, line) + "\n"
	}
	if got := log.String(); got != want {
		t.Errorf("log:\n%s\nwant\n%s", got, want)
	}
}

// TestGarbageIsNotQuoted when it may be a user's data.
func TestGarbageIsNotQuoted(t *testing.T) {
	core, logs := observer.New(zapcore.InfoLevel)
	c, r := open(t, newBackend(t, "garbage", func(c *Config) { c.Log = zap.New(core) }))
	r.End(t)
	c.Close(context.Background())
	entries := logs.FilterMessageSnippet("no message").All()
	if len(entries) != 5 {
		t.Fatalf("%d entries, want the burst of 5", len(entries))
	}
	if text := fmt.Sprint(entries[0].ContextMap()["begins"]); text != "Server ready on stdio" {
		t.Errorf("begins: %q", text)
	}
	for _, entry := range entries[1:] {
		if strings.Contains(fmt.Sprint(entry.ContextMap()), "secret") {
			t.Errorf("a message was logged: %v", entry.ContextMap())
		}
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}
func (l *lockedBuffer) Sync() error { return nil }
func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
