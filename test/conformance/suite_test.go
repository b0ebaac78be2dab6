package conformance

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// The revisions of the specification whose requirements are run: the last of
// the legacy era, which TestMatrix goes through as well, and the modern one.
const (
	revision       = "2025-11-25"
	modernRevision = "2026-07-28"
)

// requirements are the suite's own frozen list of what a revision asks for.
type requirements struct {
	Scored   []string   `yaml:"server"`
	Unscored []unscored `yaml:"not_scored"`
}

// unscored is a scenario that is run and reported and does not count.
type unscored struct {
	Scenario string `yaml:"scenario"`
	Leg      string `yaml:"leg"` // "server" or "client"
	Reason   string `yaml:"reason"`
}

func parseRequirements(text []byte) (r requirements, err error) {
	err = yaml.Unmarshal(text, &r)
	return r, err
}

// A suite is the conformance suite as npm installed it.
type suite struct {
	node, program string
	revision      string
	requirements  requirements
}

// A verdict is what one scenario came to.
type verdict struct {
	passed, warned     int
	failures, warnings []string // one sentence a check
}

// ok follows the suite's own rule, by which only a failed check fails a
// scenario, and asks for one check that passed: a scenario that checked
// nothing has shown nothing.
func (v verdict) ok() bool { return v.passed > 0 && len(v.failures) == 0 }

// passes is the suite's own rule without ours: for the numbers that others have
// measured by it.
func (v verdict) passes() bool { return v.passed+v.warned > 0 && len(v.failures) == 0 }

// results holds a verdict for each scenario that wrote its checks down.
type results map[string]verdict

// resultFolder is how the suite names the folder of one scenario's results; for
// a client there is no word before.
var resultFolder = regexp.MustCompile(`^(?:server-)?(.+)-\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d-\d{3}Z$`)

// readResults reads what the suite wrote to dir, a folder a scenario. A
// scenario that broke off wrote nothing and is left out.
func readResults(dir string) (results, error) {
	folders, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	found := results{}
	for _, folder := range folders {
		name := resultFolder.FindStringSubmatch(folder.Name())
		if name == nil {
			return nil, fmt.Errorf("%s is not named as the pinned suite names results", folder.Name())
		}
		checks, err := os.ReadFile(filepath.Join(dir, folder.Name(), "checks.json"))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if found[name[1]], err = judge(checks); err != nil {
			return nil, fmt.Errorf("%s: %w", folder.Name(), err)
		}
	}
	return found, nil
}

// judge counts one scenario's checks.
func judge(text []byte) (verdict, error) {
	var checks []struct{ ID, Status, ErrorMessage string }
	if err := json.Unmarshal(text, &checks); err != nil {
		return verdict{}, err
	}
	var v verdict
	for _, check := range checks {
		switch check.Status {
		case "SUCCESS":
			v.passed++
		case "WARNING":
			v.warned++
			v.warnings = append(v.warnings, strings.TrimSuffix(check.ID+": "+check.ErrorMessage, ": "))
		case "FAILURE":
			v.failures = append(v.failures, strings.TrimSuffix(check.ID+": "+check.ErrorMessage, ": "))
		}
	}
	return v, nil
}

// TestReadResults holds the reading of results to what a run of the suite left
// behind: a scenario that passed, one with a warning, one with a failed check,
// one that checked nothing, and one that broke off.
func TestReadResults(t *testing.T) {
	found, err := readResults(filepath.Join("testdata", "results"))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{"ping": true, "server-sse-polling": true, "tools-list": false, "empty": false, "broke-off": false} {
		if got := found[name].ok(); got != want {
			t.Errorf("%s passes: %v, want %v (%v)", name, got, want, found[name])
		}
	}
	if got := found["tools-list"].failures; len(got) != 1 || got[0] != "tools-list: Server did not answer" {
		t.Errorf("failures %q", got)
	}
	if got := found["server-sse-polling"].warned; got != 1 {
		t.Errorf("%d warnings, want 1", got)
	}
}
