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

// TestConformance wants every scenario that the revision scores, and prints
// the table.
func TestConformance(t *testing.T) {
	suite := loadSuite(t)
	server := buildServer(t)

	gate := harness.Start(t, harness.Setup{Flags: []string{"--admin", "off"}, Command: []string{server}})
	behind := suite.run(t, "http://"+gate.Addr+"/mcp")
	direct := suite.run(t, startServer(t, server))

	writeTable(os.Stdout, suite.requirements, behind, direct)
	if n := len(suite.requirements.Scored); n != scoredScenarios {
		t.Errorf("the suite scores %d scenarios, want %d: is it the pinned one?", n, scoredScenarios)
	}
	for _, column := range []struct {
		where string
		results
	}{{"behind the gate", behind}, {"over its own HTTP", direct}} {
		for _, name := range suite.requirements.Scored {
			if v := column.results[name]; !v.ok() {
				t.Errorf("%s, %s: %v", name, column.where, v)
			}
		}
	}
}

// bounded returns a context for one step of the test.
func bounded(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), timeLimit)
	t.Cleanup(cancel)
	return ctx
}

// buildServer compiles the everything-server that everything/go.mod pins.
func buildServer(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "everything-server")
	cmd := exec.CommandContext(bounded(t), "go", "build", "-o", binary,
		"github.com/modelcontextprotocol/go-sdk/conformance/everything-server")
	cmd.Dir = "everything"
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the everything-server: %v\n%s", err, out)
	}
	return binary
}

// loadSuite finds the suite that npm installed here.
func loadSuite(t *testing.T) *suite {
	t.Helper()
	node, program := need.Program(t, ".", "conformance")
	s := &suite{node: node, program: program}
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
		"server", "--requirements", revision, "--url", url, "--output-dir", out)
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
