package clients

import (
	"path/filepath"
	"testing"

	"sidegate/test/clients/need"
)

// TestPython drives server-everything with the Python SDK's client, in both of
// its ways to find a revision: what is asserted stands in python/drive.py.
func TestPython(t *testing.T) {
	python := need.Python(t, filepath.Join("python", ".venv"))
	r := start(t, everything(t))
	for _, mode := range []string{"auto", "legacy"} {
		drive := func(t *testing.T, operation string, hear func(event)) {
			runScript(t, command(t, python, filepath.Join("python", "drive.py"), operation, mode, r.URL), hear)
		}
		t.Run(mode, func(t *testing.T) {
			for _, operation := range []string{"list", "call", "progress"} {
				t.Run(operation, func(t *testing.T) { drive(t, operation, quiet) })
			}
			server := func(t *testing.T) (pid int) {
				drive(t, "server", func(e event) { pid = e.number(t) })
				if pid == 0 {
					t.Fatal("the server did not tell its pid")
				}
				return pid
			}
			if mode == "legacy" {
				t.Run("end", func(t *testing.T) { waitGone(t, server(t)) })
				return
			}
			// A modern client ends no session: it finds the server that it left.
			t.Run("stay", func(t *testing.T) {
				if first, second := server(t), server(t); first != second {
					t.Errorf("the calls reached the processes %d and %d, want one", first, second)
				}
			})
		})
	}
}
