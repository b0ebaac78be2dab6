package clients

import (
	"strings"
	"testing"

	"sidegate/test/e2e/harness"
)

// TestWebSocket drives server-everything with npm's ws, which takes frames no
// other way than the specification has them: what is asserted stands in
// ts/websocket.mjs.
func TestWebSocket(t *testing.T) {
	r := start(t, everything(t))
	url := "ws" + strings.TrimSuffix(strings.TrimPrefix(r.URL, "http"), "/mcp") + "/ws"
	for _, operation := range []string{"call", "large", "fragments", "uncompressed", "codes", "resume", "sdk"} {
		t.Run(operation, func(t *testing.T) {
			runScript(t, drive(t, "websocket", operation, url), quiet)
		})
	}
	t.Run("compressed", func(t *testing.T) {
		gate := harness.Start(t, harness.Setup{Flags: []string{"--admin", "off", "--compress"}, Command: everything(t)})
		runScript(t, drive(t, "websocket", "compressed", "ws://"+gate.Addr+"/ws"), quiet)
	})
}
