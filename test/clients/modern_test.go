package clients

import "testing"

// TestTypeScriptModern drives server-everything, which is legacy, with the
// second major version of the TypeScript SDK's client, as a modern client: what
// is asserted stands in ts/modern.mjs.
func TestTypeScriptModern(t *testing.T) {
	r := start(t, everything(t))
	for _, operation := range []string{"list", "call", "read", "progress", "sampling", "elicitation", "roots", "listen", "eras"} {
		t.Run(operation, func(t *testing.T) {
			runScript(t, drive(t, "modern", operation, r.URL), quiet)
		})
	}
	t.Run("cancel", func(t *testing.T) {
		runScript(t, drive(t, "modern", "cancel", r.URL), func(event) { waitCancelled(t, r) })
	})
}
