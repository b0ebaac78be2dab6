package clients

import (
	"os/exec"
	"path/filepath"
	"testing"

	"sidegate/test/clients/need"
)

// TestTypeScriptEverything drives server-everything with the TypeScript SDK's
// client: what is asserted stands in ts/everything.mjs.
func TestTypeScriptEverything(t *testing.T) {
	r := start(t, everything(t))
	for _, operation := range []string{"list", "call", "progress", "sampling", "elicitation", "roots", "subscribe"} {
		t.Run(operation, func(t *testing.T) {
			runScript(t, drive(t, "everything", operation, r.URL), quiet)
		})
	}
	t.Run("cancel", func(t *testing.T) {
		runScript(t, drive(t, "everything", "cancel", r.URL), func(event) { waitCancelled(t, r) })
	})
	t.Run("resume", func(t *testing.T) {
		c := cutting{relay: newRelay(t, r.URL)}
		runScript(t, drive(t, "everything", "resume", c.relay.URL), func(e event) { c.progress(e.number(t)) })
		c.check(t)
	})
	t.Run("end", func(t *testing.T) {
		var session string
		var server int
		runScript(t, drive(t, "everything", "end", r.URL), func(e event) {
			switch e.Name {
			case "session":
				session = e.text(t)
			case "pid":
				server = e.number(t)
			}
		})
		if server == 0 {
			t.Fatal("the server did not tell its pid")
		}
		waitGone(t, server)
		checkEnded(t, r.URL, session)
	})
}

// TestTypeScriptFilesystem drives server-filesystem with the TypeScript SDK's
// client: what is asserted stands in ts/filesystem.mjs.
func TestTypeScriptFilesystem(t *testing.T) {
	directory := realDir(t)
	r := start(t, filesystem(t, directory))
	for _, operation := range []string{"list", "call", "roots"} {
		t.Run(operation, func(t *testing.T) {
			runScript(t, drive(t, "filesystem", operation, r.URL, directory), quiet)
		})
	}
	t.Run("end", func(t *testing.T) {
		var session string
		runScript(t, drive(t, "filesystem", "end", r.URL), func(e event) { session = e.text(t) })
		checkEnded(t, r.URL, session)
	})
}

// drive is ts/drive.mjs with one operation.
func drive(t *testing.T, server, operation, url string, args ...string) *exec.Cmd {
	node, _ := need.Program(t, "ts", "mcp-server-everything")
	args = append([]string{filepath.Join("ts", "drive.mjs"), server, operation, url}, args...)
	return command(t, node, args...)
}

// realDir is a temporary folder by its real name: servers resolve links before
// they compare, and some systems' temporary folder is one.
func realDir(t *testing.T) string {
	directory, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return directory
}
