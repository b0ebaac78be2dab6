package main

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestHelp(t *testing.T) {
	for name, args := range map[string][]string{
		"help.golden":        {"--help"},
		"help-run.golden":    {"run", "--help"},
		"help-check.golden":  {"help", "check"},
		"help-shim.golden":   {"shim", "--help"},
		"help-inject.golden": {"inject", "--help"},
		"help-fence.golden":  {"fence", "--help"},
		"help-apply.golden":  {"fence", "apply", "--help"},
		"help-remove.golden": {"fence", "remove", "--help"},
		"help-drain.golden":  {"drain", "--help"},
	} {
		var out, errs bytes.Buffer
		if code := execute(args, &out, &errs); code != exitDone || errs.Len() > 0 {
			t.Errorf("%q: exit code %d and %s", args, code, errs.String())
		}
		compareGolden(t, name, out.String())
		for line := range strings.Lines(out.String()) {
			if len(line) > helpWidth+1 {
				t.Errorf("%q: longer than %d characters: %s", args, helpWidth, line)
			}
		}
	}
}

func compareGolden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs; look at the change, then run: go test ./cmd/sidegate -update\n%s", name, got)
	}
}

// The help names every flag, and no flag is without an explanation.
func TestHelpIsWhole(t *testing.T) {
	var out bytes.Buffer
	execute([]string{"run", "--help"}, &out, &out)
	flags := flagSet(defaults().groups())
	for _, name := range flagNames(flags) {
		if !strings.Contains(out.String(), "--"+name) || flags.Lookup(name).Usage == "" {
			t.Errorf("--%s is not explained", name)
		}
	}
}
