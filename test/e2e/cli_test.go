package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sidegate/test/e2e/harness"
)

// configFile writes a configuration file and returns its path.
func configFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "sidegate.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestBadUse: exit code 2, and words that say where and what.
func TestBadUse(t *testing.T) {
	t.Parallel()
	unknown := configFile(t, "listen: 127.0.0.1:0\nmax-mesage: 5\n")
	wrong := configFile(t, "max-sessions: many\n")
	broken := configFile(t, "listen: [\n")
	twice := configFile(t, "max-sessions: 1\nmax-sessions: 2\n")
	script := filepath.Join(t.TempDir(), "plain")
	if err := os.WriteFile(script, []byte("no program"), 0o600); err != nil {
		t.Fatal(err)
	}
	fixture := append([]string{"--"}, harness.Fixture()...)
	for name, row := range map[string]struct {
		args  []string
		words string
	}{
		"no command":            {[]string{}, "COMMAND"},
		"command not found":     {[]string{"--", "no-such-program-anywhere"}, "no-such-program-anywhere"},
		"path not found":        {[]string{"--", "./no/such/program"}, "no/such/program"},
		"not executable":        {[]string{"--", script}, script},
		"unknown flag":          {append([]string{"--no-such-flag"}, fixture...), "no-such-flag"},
		"not a number":          {append([]string{"--max-sessions", "many"}, fixture...), "max-sessions"},
		"negative":              {append([]string{"--max-sessions=-1"}, fixture...), "max-sessions"},
		"not a duration":        {append([]string{"--call-timeout", "soon"}, fixture...), "call-timeout"},
		"bad address":           {append([]string{"--listen", "nowhere"}, fixture...), "listen"},
		"bad network":           {append([]string{"--trust-proxy", "10.0.0.0/99"}, fixture...), "trust-proxy"},
		"bad origin":            {append([]string{"--allow-origin", "not an origin/path"}, fixture...), "allow-origin"},
		"any origin":            {append([]string{"--allow-origin", "*"}, fixture...), "allow-origin"},
		"bad log level":         {append([]string{"--log-level", "loud"}, fixture...), "log-level"},
		"token file not there":  {append([]string{"--token-file", "/no/such/file"}, fixture...), "/no/such/file"},
		"token file empty":      {append([]string{"--token-file", os.DevNull}, fixture...), "token-file"},
		"file not there":        {append([]string{"-c", "/no/such/file"}, fixture...), "/no/such/file"},
		"file with unknown key": {append([]string{"-c", unknown}, fixture...), "max-mesage"},
		"file with wrong value": {append([]string{"-c", wrong}, fixture...), "max-sessions"},
		"file that is no YAML":  {append([]string{"-c", broken}, fixture...), broken},
		"file with a key twice": {append([]string{"-c", twice}, fixture...), "max-sessions"},
		"backend of no scheme":  {[]string{"--backend", "gopher://x"}, "backend"},
	} {
		for _, command := range []string{"run", "check"} {
			t.Run(command+" "+name, func(t *testing.T) {
				args := append([]string{command, "--admin", "off"}, row.args...)
				if command == "run" && name != "bad address" {
					args = append([]string{command, "--listen", "127.0.0.1:0", "--admin", "off"}, row.args...)
				}
				result := harness.Exec(t, nil, args...)
				if result.Code != 2 {
					t.Errorf("exit code %d, want 2: %s%s", result.Code, result.Stdout, result.Stderr)
				}
				if !strings.Contains(result.Stderr, row.words) {
					t.Errorf("stderr does not say %q: %s", row.words, result.Stderr)
				}
			})
		}
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	file := configFile(t, fmt.Sprintf("max-sessions: 5\nidle-timeout: 10m\nbackends:\n  tools:\n    command: [%q]\n", harness.Fixture()[0]))
	result := harness.Exec(t, nil, "check", "-c", file)
	if result.Code != 0 {
		t.Errorf("exit code %d: %s%s", result.Code, result.Stdout, result.Stderr)
	}
	result = harness.Exec(t, []string{"SIDEGATE_MAX_SESSIONS=lots"}, "check", "-c", file)
	if result.Code != 2 || !strings.Contains(result.Stderr, "SIDEGATE_MAX_SESSIONS") {
		t.Errorf("exit code %d, want 2 and the variable's name: %s", result.Code, result.Stderr)
	}
}

// TestPrecedence: flags, then environment, then file.
func TestPrecedence(t *testing.T) {
	t.Parallel()
	file := configFile(t, "max-sessions: 11\nmax-links: 22\nmax-message: 33333\n")
	g := harness.Start(t, harness.Setup{
		Flags: []string{"-c", file, "--max-sessions", "99"},
		Env:   []string{"SIDEGATE_MAX_SESSIONS=55", "SIDEGATE_MAX_LINKS=66"},
	})
	if got := g.Metric(t, "sidegate_sessions_limit"); got != 99 {
		t.Errorf("the flag does not win: %v", got)
	}
	if got := g.Metric(t, "sidegate_links_limit"); got != 66 {
		t.Errorf("the environment does not win over the file: %v", got)
	}
	wantTooLarge(t, open(t, g).Do(t, sizedCall("1", 33334)))
}

// TestBackendFromFile: the command stands in the file alone.
func TestBackendFromFile(t *testing.T) {
	t.Parallel()
	file := configFile(t, fmt.Sprintf("backends:\n  tools:\n    command: [%q]\n", harness.Fixture()[0]))
	alive(t, open(t, harness.Start(t, harness.Setup{Flags: []string{"-c", file}, Command: []string{}})))
}

// TestEnvironmentOfTheServer: the minimal environment, and what is named.
func TestEnvironmentOfTheServer(t *testing.T) {
	t.Parallel()
	g := harness.Start(t, harness.Setup{
		Flags: []string{"--env", "PASSED_ON", "--env", "SET=by flag=x", "--env", "NOT_THERE"},
		Env:   []string{"PASSED_ON=yes", "A_SECRET=no", "SIDEGATE_MAX_LINKS=9"},
	})
	var got struct{ Environ []string }
	open(t, g).Call(t, "environ", `{}`).Into(t, &got)
	allowed := map[string]bool{"HOME": true, "LOGNAME": true, "PATH": true, "SHELL": true, "TERM": true, "USER": true, "PASSED_ON": true, "SET": true}
	values := map[string]string{}
	for _, e := range got.Environ {
		name, value, _ := strings.Cut(e, "=")
		values[name] = value
		if !allowed[name] {
			t.Errorf("the server has %s", e)
		}
	}
	if values["PASSED_ON"] != "yes" || values["SET"] != "by flag=x" || values["PATH"] != os.Getenv("PATH") {
		t.Errorf("the server has %v", values)
	}
}

func TestHelpAndVersion(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"--help"}, {"run", "--help"}, {"version"}} {
		result := harness.Exec(t, nil, args...)
		if result.Code != 0 || result.Stdout == "" || result.Stderr != "" {
			t.Errorf("%q: exit code %d, stdout %q, stderr %q", args, result.Code, result.Stdout, result.Stderr)
		}
	}
	help := harness.Exec(t, nil, "run", "--help").Stdout
	for _, flag := range []string{
		"--listen", "--admin", "--config", "--backend", "--env", "--allow-host", "--allow-origin", "--trust-proxy", "--token-file",
		"--rate", "--burst", "--max-message", "--max-header", "--max-bytes-in-flight", "--max-connections", "--max-sessions", "--max-calls", "--max-links", "--warm",
		"--header-timeout", "--body-timeout", "--call-timeout", "--idle-timeout", "--session-lifetime", "--grace", "--drain-delay", "--probe", "--log-level",
	} {
		if !strings.Contains(help, flag) {
			t.Errorf("--help does not mention %s", flag)
		}
	}
}

// TestDemo: the built-in tool server behind the gate.
func TestDemo(t *testing.T) {
	t.Parallel()
	g := harness.Start(t, harness.Setup{Command: []string{harness.Binary(), "demo"}})
	s := open(t, g)
	answer := s.Do(t, harness.RPC("1", "tools/list", "")).Answer(t)
	if !strings.Contains(string(answer.Result), `"echo"`) {
		t.Errorf("got %s", answer.Raw)
	}
	if answer := s.Do(t, harness.RPC("2", "tools/call", `{"name":"echo","arguments":{"text":"hello"}}`)).Answer(t); answer.Error != nil {
		t.Errorf("got %s", answer.Raw)
	}
}
