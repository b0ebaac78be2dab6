package conformance

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"sidegate/test/clients/need"
	"sidegate/test/e2e/harness"
)

// timeLimit bounds one run of the suite, and one build.
const timeLimit = 5 * time.Minute

func TestMain(m *testing.M) { os.Exit(harness.Main(m)) }

// bounded returns a context for one step of the test.
func bounded(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), timeLimit)
	t.Cleanup(cancel)
	return ctx
}

// everythingServer is the package of the Go SDK's server.
const everythingServer = "github.com/modelcontextprotocol/go-sdk/conformance/everything-server"

// buildServer compiles the everything-server that everything/go.mod pins.
func buildServer(t *testing.T) string {
	t.Helper()
	return build(t, "everything", everythingServer)
}

// build compiles a program as the module in dir pins it.
func build(t *testing.T, dir, program string) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), filepath.Base(program))
	cmd := exec.CommandContext(bounded(t), "go", "build", "-o", binary, program)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", program, err, out)
	}
	return binary
}

// loadSuite finds the suite that npm installed here, for the legacy era.
func loadSuite(t *testing.T) *suite {
	t.Helper()
	return loadRevision(t, revision)
}

// loadRevision finds the suite, and what it asks for of one revision.
func loadRevision(t *testing.T, revision string) *suite {
	t.Helper()
	node, program := need.Program(t, ".", "conformance")
	s := &suite{node: node, program: program, revision: revision}
	list, err := os.ReadFile(filepath.Join("node_modules", "@modelcontextprotocol", "conformance", "requirements", revision+".yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if s.requirements, err = parseRequirements(list); err != nil {
		t.Fatal(err)
	}
	return s
}

// run puts the server at url through the revision's requirements. The suite's
// own exit code is not asked: it tells of failed checks, and the table is to
// show them all.
func (s *suite) run(t *testing.T, url string) results {
	t.Helper()
	out := filepath.Join(t.TempDir(), "results")
	cmd := exec.CommandContext(bounded(t), s.node, s.program,
		"server", "--requirements", s.revision, "--url", url, "--output-dir", out)
	said, failed := cmd.CombinedOutput()
	found, err := readResults(out)
	if err != nil {
		t.Fatalf("the suite left no results: %v\n%v\n%s", err, failed, said)
	}
	return found
}

// String says what is wrong with a verdict.
func (v verdict) String() string {
	if v.passed == 0 && len(v.failures) == 0 {
		return "no check applied, or the scenario broke off"
	}
	return fmt.Sprintf("%d checks passed, %d failed: %q", v.passed, len(v.failures), v.failures)
}
