package main

import (
	"bytes"
	"errors"
	"runtime"
	"strings"
	"testing"
)

// What is wrong with a command line is said in one line, with exit code 2 and
// a hint.
func TestWrongCommandLines(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
		hint string
	}{
		{[]string{"rum"}, `unknown command "rum" for "sidegate"`, "sidegate"},
		{[]string{"--verbose"}, `--verbose: unknown flag`, "sidegate"},
		{[]string{"run", "--max-mesage=1"}, `--max-mesage: unknown flag; did you mean "max-message"?`, "sidegate run"},
		{[]string{"run", "-x"}, `unknown shorthand flag: 'x' in -x`, "sidegate run"},
		{[]string{"run", "--max-message"}, `flag needs an argument: --max-message`, "sidegate run"},
		{[]string{"run", "--max-message=1MB"}, `--max-message: must be bytes, as in 16777216 or 16MiB (KiB, MiB, GiB); it is "1MB"`, "sidegate run"},
		{[]string{"run", "npx", "-y", "server"}, `"npx": the tool server's command stands after --, as in: sidegate run -- npx ...`, "sidegate run"},
		{[]string{"run", "npx", "--", "server"}, `"npx": the tool server's command stands after --, as in: sidegate run -- npx ...`, "sidegate run"},
		{[]string{"check", "npx"}, `"npx": the tool server's command stands after --, as in: sidegate check -- npx ...`, "sidegate check"},
		{[]string{"demo", "x"}, `unknown command "x" for "sidegate demo"`, "sidegate demo"},
		{[]string{"version", "--json"}, `--json: unknown flag`, "sidegate version"},
	} {
		var out, errs bytes.Buffer
		code := execute(c.args, &out, &errs)
		first, rest, _ := strings.Cut(errs.String(), "\n")
		if code != exitUsage || first != "sidegate: "+c.want || out.Len() > 0 {
			t.Errorf("%q: exit code %d, %s%s\nwant %d, %s", c.args, code, out.String(), first, exitUsage, c.want)
		}
		if want := "Run '" + c.hint + " --help' for what there is.\n"; !strings.HasSuffix(rest, want) {
			t.Errorf("%q: hint is %q; want %q", c.args, rest, want)
		}
	}
}

func TestExitCodes(t *testing.T) {
	plain := errors.New("plain")
	for _, c := range []struct {
		err  error
		want int
	}{
		{nil, exitDone},
		{plain, exitUsage}, // only the command line's parser returns such a one
		{withCode(exitFailed, plain), exitFailed},
		{withCode(exitFailed, withCode(exitListen, plain)), exitListen},
		{usageErrorf("x: %w", plain), exitUsage},
	} {
		if got := exitCode(c.err); got != c.want {
			t.Errorf("exitCode(%v) = %d; want %d", c.err, got, c.want)
		}
	}
	if withCode(exitFailed, nil) != nil {
		t.Error("withCode made an error of none")
	}
	if err := withCode(exitFailed, plain); !errors.Is(err, plain) || err.Error() != "plain" {
		t.Errorf("withCode hid the error: %v", err)
	}
}

func TestVersion(t *testing.T) {
	defer func(v, c string) { version, commit = v, c }(version, commit)
	version, commit = "1.2.3", "abc"
	want := "sidegate 1.2.3 (commit abc, " + runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH + ")\n"
	for _, args := range [][]string{{"version"}, {"--version"}} {
		var out bytes.Buffer
		if code := execute(args, &out, &out); code != exitDone || out.String() != want {
			t.Errorf("%q: exit code %d and %q; want %q", args, code, out.String(), want)
		}
	}
	version, commit = "", ""
	if buildVersion() == "" || buildCommit() == "" {
		t.Errorf("without a linker's help the version is %q and the commit %q", buildVersion(), buildCommit())
	}
}

func TestCompletionIsThere(t *testing.T) {
	var out bytes.Buffer
	if code := execute([]string{"__complete", "run", "--max-m"}, &out, &bytes.Buffer{}); code != exitDone || !strings.Contains(out.String(), "--max-message") {
		t.Errorf("exit code %d and %s", code, out.String())
	}
}
