package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"sidegate/proxy"
)

// resolved is what run would be given for a command line without its first
// word, an environment and a file.
func resolved(t *testing.T, args, environ []string, file string) (*settings, error) {
	t.Helper()
	s := defaults()
	flags := flagSet(s.groups())
	flags.SetInterspersed(false)
	if file != "" {
		args = append([]string{"-c", writeFile(t, file)}, args...)
	}
	if err := flags.Parse(args); err != nil {
		t.Fatal(err)
	}
	r := &resolver{settings: s, flags: flags}
	return s, r.resolve(environ, flags.Args())
}

// command stands for a tool server that is there.
var command = []string{"--", "sh", "-c", "true"}

func TestPrecedence(t *testing.T) {
	const (
		flag = "--idle-timeout=1m"
		env  = "SIDEGATE_IDLE_TIMEOUT=2m"
		file = "idle-timeout: 3m\n"
	)
	for _, c := range []struct {
		name           string
		flag, env, txt string
		want           time.Duration
	}{
		{"nothing", "", "", "", 30 * time.Minute},
		{"file", "", "", file, 3 * time.Minute},
		{"environment", "", env, "", 2 * time.Minute},
		{"environment before file", "", env, file, 2 * time.Minute},
		{"flag", flag, "", "", time.Minute},
		{"flag before file", flag, "", file, time.Minute},
		{"flag before environment", flag, env, "", time.Minute},
		{"flag before both", flag, env, file, time.Minute},
		{"the default, as a flag, before both", "--idle-timeout=30m", env, file, 30 * time.Minute},
		{"an empty variable is none", "", "SIDEGATE_IDLE_TIMEOUT=", file, 3 * time.Minute},
	} {
		args := command
		if c.flag != "" {
			args = append([]string{c.flag}, command...)
		}
		s, err := resolved(t, args, []string{"HOME=/", c.env}, c.txt)
		if err != nil || s.gate.IdleTimeout != c.want {
			t.Errorf("%s: %v, %v; want %v", c.name, s.gate.IdleTimeout, err, c.want)
		}
	}
}

// A list of a higher place replaces one of a lower place.
func TestPrecedenceOfLists(t *testing.T) {
	const file = "allow-host: [file-a, file-b]\nenv: [A=1, 'B=2,3']\n"
	for _, c := range []struct {
		name      string
		args, env []string
		want      string
	}{
		{"file", nil, nil, "file-a file-b | A=1 B=2,3"},
		{"environment", nil, []string{"SIDEGATE_ALLOW_HOST=env-a,env-b", "SIDEGATE_ENV=C=1,D"}, "env-a env-b | C=1 D"},
		{"flags", []string{"--allow-host=x,y", "--allow-host=z", "--env=E=1"}, []string{"SIDEGATE_ALLOW_HOST=env-a"}, "x y z | E=1"},
	} {
		s, err := resolved(t, append(c.args, command...), c.env, file)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if got := strings.Join(s.gate.AllowHosts, " ") + " | " + strings.Join(s.gate.Backends[0].Env, " "); got != c.want {
			t.Errorf("%s: %s; want %s", c.name, got, c.want)
		}
	}
}

// The variable that names the file is read before the file.
func TestConfigFromEnvironment(t *testing.T) {
	path := writeFile(t, "max-calls: 7\n")
	s, err := resolved(t, command, []string{"SIDEGATE_CONFIG=" + path}, "")
	if err != nil || s.gate.Backends[0].MaxCalls != 7 {
		t.Errorf("max-calls is %+v, %v; want 7", s.gate.Backends, err)
	}
}

// In the file a backend's own value goes before the one for all; a flag or a
// variable goes before both, and a list is replaced in each case.
func TestBackendsOwnValues(t *testing.T) {
	const file = `
warm: 3
max-links: 30
env: ALL=1
backends:
  web:
    command: [sh, -c, "true", ""]
    warm: 0
    max-links: 50
    env: OWN=1
    call-timeout: 5s
`
	type values struct {
		warm, maxLinks int
		callTimeout    time.Duration
		env            string
	}
	for _, c := range []struct {
		name      string
		args, env []string
		want      values
	}{
		{"file", nil, nil, values{0, 50, 5 * time.Second, "OWN=1"}},
		{"flags", []string{"--max-links=5", "--env=A=1", "--env=B=1"}, nil, values{0, 5, 5 * time.Second, "A=1 B=1"}},
		{"environment", nil, []string{"SIDEGATE_MAX_LINKS=6", "SIDEGATE_ENV=A=1", "SIDEGATE_CALL_TIMEOUT=7s"}, values{0, 6, 7 * time.Second, "A=1"}},
		{"flag and environment", []string{"--max-links=5", "--warm=1"}, []string{"SIDEGATE_MAX_LINKS=6"}, values{1, 5, 5 * time.Second, "OWN=1"}},
		{"the default, as a flag", []string{"--max-links=256"}, nil, values{0, 256, 5 * time.Second, "OWN=1"}},
	} {
		s, err := resolved(t, c.args, c.env, file)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		b := s.gate.Backends[0]
		if got := (values{b.Warm, b.MaxLinks, b.CallTimeout, strings.Join(b.Env, " ")}); got != c.want {
			t.Errorf("%s: %+v; want %+v", c.name, got, c.want)
		}
		if got := strings.Join(b.Command, "|"); b.Name != "web" || b.LinkWait != 10*time.Second || got != "sh|-c|true|" {
			t.Errorf("%s: backend is %+v", c.name, b)
		}
	}
}

// What is said for all in the file holds where a backend says nothing.
func TestBackendWithoutOwnValues(t *testing.T) {
	s, err := resolved(t, nil, nil, "warm: 3\nenv: ALL=1\nbackends: {web: {command: [sh]}}\n")
	if err != nil {
		t.Fatal(err)
	}
	if b := s.gate.Backends[0]; b.Warm != 3 || strings.Join(b.Env, " ") != "ALL=1" {
		t.Errorf("backend is %+v", b)
	}
}

func TestProblemsOfEnvironment(t *testing.T) {
	for _, c := range []struct {
		args []string
		env  []string
		file string
		want string
	}{
		{nil, []string{"SIDEGATE_MAX_MESSAGE=16MB"}, "", `SIDEGATE_MAX_MESSAGE: must be bytes, as in 16777216 or 16MiB (KiB, MiB, GiB); it is "16MB"`},
		{nil, []string{"SIDEGATE_TOKEN_FLIE=x"}, "", `SIDEGATE_TOKEN_FLIE: unknown variable; did you mean "SIDEGATE_TOKEN_FILE"?`},
		{nil, []string{"SIDEGATE_ELSEWHERE=x"}, "", `SIDEGATE_ELSEWHERE: unknown variable`},
		{nil, []string{"SIDEGATE_MAX_CALLS=0"}, "", `SIDEGATE_MAX_CALLS: must be at least 1 and at most 1073741824; it is 0`},
		{nil, []string{"SIDEGATE_TRUST_PROXY=::1,x"}, "", `SIDEGATE_TRUST_PROXY: must be an address or a network such as 10.0.0.0/8; it is "x"`},
		{nil, []string{"SIDEGATE_CONFIG=/nowhere/gate.yaml"}, "", `SIDEGATE_CONFIG: open /nowhere/gate.yaml: no such file or directory`},
		// Also what is not used is looked at.
		{[]string{"--grace=1s"}, []string{"SIDEGATE_GRACE=2"}, "", `SIDEGATE_GRACE: must be a time with its unit, such as 30s, 5m or 1h30m; it is "2"`},
		{[]string{"--grace=1s"}, nil, "grace: 2\n", `FILE:1:8: grace: must be a time with its unit, such as 30s, 5m or 1h30m; it is "2"`},
		// Two at once, each with its place.
		{nil, []string{"SIDEGATE_MAX_LINKS=x"}, "warm: x\n", "SIDEGATE_MAX_LINKS: must be a whole number; it is \"x\"\nFILE:1:7: warm: must be a whole number; it is \"x\""},
	} {
		_, err := resolved(t, append(c.args, command...), c.env, c.file)
		if got := forgetDir(err); got != c.want {
			t.Errorf("%q %q:\ngot  %s\nwant %s", c.env, c.file, got, c.want)
		}
	}
}

// In a namespace with Services named sidegate, sidegate-files and sidegate-gate,
// Kubernetes sets these. What only looks like them is a mistake.
func TestServiceLinksAreNoSettings(t *testing.T) {
	env := []string{
		"SIDEGATE_SERVICE_HOST=10.0.0.1", "SIDEGATE_SERVICE_PORT=8080", "SIDEGATE_SERVICE_PORT_HTTP=8080", "SIDEGATE_PORT=tcp://10.0.0.1:8080",
		"SIDEGATE_PORT_8080_TCP=tcp://10.0.0.1:8080", "SIDEGATE_PORT_8080_TCP_PROTO=tcp",
		"SIDEGATE_FILES_SERVICE_HOST=10.0.0.2", "SIDEGATE_FILES_SERVICE_PORT=53", "SIDEGATE_FILES_SERVICE_PORT_DNS=53", "SIDEGATE_FILES_PORT=udp://10.0.0.2:53",
		"SIDEGATE_FILES_PORT_53_UDP=udp://10.0.0.2:53", "SIDEGATE_FILES_PORT_53_UDP_PORT=53", "SIDEGATE_FILES_PORT_53_UDP_ADDR=10.0.0.2",
		"SIDEGATE_GATE_PORT=tcp://10.0.0.3:80",
	}
	if _, err := resolved(t, command, env, ""); err != nil {
		t.Error(err)
	}
	for _, e := range []string{"SIDEGATE_FILES_PORT=8080", "SIDEGATE_LISTEN_PORT=127.0.0.1:8080", "SIDEGATE_SERVICE=tcp://10.0.0.1:80"} {
		if _, err := resolved(t, command, []string{e}, ""); err == nil || !strings.Contains(err.Error(), "unknown variable") {
			t.Errorf("%s: %v", e, err)
		}
	}
}

func TestProblemsOfBackends(t *testing.T) {
	for _, c := range []struct {
		args []string
		file string
		want string
	}{
		{nil, "", `COMMAND: is missing: name the tool server, as in: sidegate run -- npx -y @modelcontextprotocol/server-filesystem "$PWD"`},
		{[]string{"--", "sh", "a\x00b"}, "", `COMMAND after --: must not hold a NUL character`},
		{[]string{"--", ""}, "", `COMMAND after --: must start with the program's name; it starts with an empty argument`},
		{[]string{"--backend=http://x/mcp", "--", "sh"}, "", `COMMAND after -- and --backend: name the tool server in one place only`},
		{[]string{"--", "sh"}, "backends: {web: {command: [sh]}}", `COMMAND after -- and FILE:1:12: backends.web: name the tool server in one place only`},
		{[]string{"--backend=ftp://x"}, "", `--backend: must be a URL that starts with http://, https://, http+unix://, unix://, tcp://, ws://, wss://; it is "ftp://x"`},
		{[]string{"--backend=http://me:secret@x"}, "", `--backend: must not hold a user or a password: they would end up in logs`},
		{[]string{"--backend=Web=http://x"}, "", `--backend: must have a name of 1 to 63 characters a-z, 0-9 and -; it is "Web"`},
		{[]string{"--backend=a=http://x", "--backend=a=http://y"}, "", `--backend: stands for two backends named "a"; write --backend NAME=URL, with a name of its own for each`},
		{[]string{"--backend=http://x", "--backend=http://y"}, "", `--backend: stands for two backends named "default"; write --backend NAME=URL, with a name of its own for each`},
		{nil, "backends:\n  Web_1: {command: [sh]}\n", `FILE:2:3: backends.Web_1: must have a name of 1 to 63 characters a-z, 0-9 and -; it is "Web_1"`},
		{nil, "backends:\n  web: {command: [sh], url: 'http://x'}\n", `FILE:2:29: backends.web.url: cannot stand beside command: give one of the two`},
		{nil, "backends:\n  web: {warm: 1}\n", `FILE:2:3: backends.web: must have a command or a url`},
		{nil, "backends:\n  web: {command: [sh], warm: 9, max-links: 3}\n", `FILE:2:30: backends.web.warm: must be at most --max-links, 3; it is 9`},
		{nil, "warm: 9\nbackends:\n  web: {command: [sh], max-links: 3}\n", `FILE:1:7: warm: must be at most --max-links, 3; it is 9`},
		// The place is that of the value that is used; the other one is looked at too.
		{[]string{"--max-links=0"}, "backends:\n  web: {command: [sh], max-links: 3}\n", `--max-links: must be at least 1 and at most 1073741824; it is 0`},
		{[]string{"--max-links=2"}, "backends:\n  web: {command: [sh], max-links: x}\n", `FILE:2:35: backends.web.max-links: must be a whole number; it is "x"`},
		{[]string{"--backend=web=http+unix:///run/x.sock"}, "", `--backend: must be http+unix://SOCKET/PATH, where each / of SOCKET is written %2F, as in http+unix://%2Frun%2Ftool.sock/mcp; it is "http+unix:///run/x.sock"`},
		{nil, "backends: {web: {url: 'tcp://x'}}", `FILE:1:23: backends.web.url: must be tcp://HOST:PORT; it is "tcp://x"`},
		{[]string{"--isolation=principal", "--", "sh"}, "", `--isolation: principal needs --token-file: without it callers cannot be told apart`},
		{nil, "isolation: alone\nbackends: {web: {command: [sh]}}", `FILE:1:12: isolation: must be session, principal, shared; it is "alone"`},
		{[]string{"--links=2", "--", "sh"}, "", `--links: means something with --isolation shared only; it is 2, and the isolation session`},
		{nil, "backends: {web: {command: [sh], isolation: shared, links: 300}}", `FILE:1:59: backends.web.links: must be less than --max-links, 256, since a call that may be asked something back has a link to itself; it is 300`},
		{[]string{"--pass=/x", "--", "sh"}, "", `--pass: means something for a URL only that starts with http://, https://, http+unix://: other servers have no paths`},
		{[]string{"--pass=/mcp", "--backend=http://x"}, "", `--pass: must leave /mcp to the gate itself; it is "/mcp"`},
		{nil, "backends: {web: {url: 'http://x', pass: [/a, 'b']}}", `FILE:1:41: backends.web.pass: must be a path that starts with / and is plain, without %, ?, ; and *; one that ends with / lets all below it through; it is "b"`},
		{[]string{"--env=A=1", "--backend=http://x"}, "", `--env: means nothing for a URL: it is a command that is given variables`},
		{nil, "backends: {web: {url: 'http://x', env: [A=1]}, sh: {command: [sh]}}", `FILE:1:40: backends.web.env: means nothing for a URL: it is a command that is given variables`},
		{[]string{"--public-url=example.com", "--", "sh"}, "", `--public-url: must be http://HOST[:PORT][/PATH] or https://…, without a query; it is "example.com"`},
		{nil, "no-sse: perhaps\nbackends: {web: {command: [sh]}}", `FILE:1:9: no-sse: must be true or false; it is "perhaps"`},
		{[]string{"--env==x", "--", "sh"}, "", `--env: must be NAME=VALUE, or NAME to pass on the gate's own value; its name is ""`},
	} {
		_, err := resolved(t, c.args, nil, c.file)
		if got := forgetDir(err); got != c.want {
			t.Errorf("%q %q:\ngot  %s\nwant %s", c.args, c.file, got, c.want)
		}
		if code := exitCode(err); code != exitUsage {
			t.Errorf("%q %q: exit code %d; want %d", c.args, c.file, code, exitUsage)
		}
	}
}

// forgetDir exchanges the path that writeFile made for FILE.
func forgetDir(err error) string {
	if err == nil {
		return ""
	}
	lines := strings.Split(err.Error(), "\n")
	for i, line := range lines {
		if before, after, ok := strings.Cut(line, "/gate.yaml:"); ok && !strings.Contains(line, "/nowhere") {
			before = before[:strings.LastIndexByte(before, ' ')+1]
			lines[i] = before + "FILE:" + after
		}
	}
	return strings.Join(lines, "\n")
}

func TestURLNames(t *testing.T) {
	r := &resolver{settings: defaults(), where: map[string]string{}}
	r.backends = []string{"http://x/?a=b", "web=unix:///s", "=http://x"}
	want := []proxy.BackendConfig{{Name: "default", URL: "http://x/?a=b"}, {Name: "web", URL: "unix:///s"}, {Name: "", URL: "http://x"}}
	for i, b := range r.urlBackends() {
		if b.Name != want[i].Name || b.URL != want[i].URL {
			t.Errorf("%s is %q at %q; want %q at %q", r.backends[i], b.Name, b.URL, want[i].Name, want[i].URL)
		}
	}
}

// What is said for all backends holds for those it means something for.
func TestSaidForAllKinds(t *testing.T) {
	const file = `
env: [A=1]
pass: [/.well-known/x]
no-sse: true
compress: true
public-url: https://example.com/gate
max-calls: 5
backends:
  sh: {command: [sh]}
  web: {url: "http://x/mcp", isolation: shared, links: 3, max-sessions: 7}
  sock: {url: "unix:///run/tool.sock", max-calls: 6}
`
	s, err := resolved(t, nil, nil, file)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, b := range s.gate.Backends {
		got = append(got, fmt.Sprintf("%s %v %v %s %d %d %d", b.Name, b.Env, b.Pass, b.Isolation, b.Links, b.MaxSessions, b.MaxCalls))
	}
	want := []string{"sh [A=1] [] session 1 10000 5", "web [] [/.well-known/x] shared 3 7 5", "sock [] [] session 1 10000 6"}
	if !slices.Equal(got, want) {
		t.Errorf("backends\n%q\nwant\n%q", got, want)
	}
	if g := s.gate; g.SSE || !g.Compress || g.PublicURL != "https://example.com/gate" {
		t.Errorf("SSE %t, compress %t, public URL %q", g.SSE, g.Compress, g.PublicURL)
	}
}

func TestSSEIsOnUnlessSaid(t *testing.T) {
	for text, want := range map[string]bool{"": true, "--no-sse": false, "--no-sse=false": true, "SIDEGATE_NO_SSE=true": false} {
		args, environ := command, []string(nil)
		if strings.HasPrefix(text, "--") {
			args = append([]string{text}, command...)
		} else {
			environ = []string{text}
		}
		if s, err := resolved(t, args, environ, ""); err != nil || s.gate.SSE != want {
			t.Errorf("%q: SSE %t, %v", text, s.gate.SSE, err)
		}
	}
}

func TestSeveralBackends(t *testing.T) {
	s, err := resolved(t, []string{"--backend=a=http://x/mcp", "--backend=b=wss://y", "--max-links=9"}, nil, "")
	if err != nil || len(s.gate.Backends) != 2 {
		t.Fatalf("%+v, %v", s.gate.Backends, err)
	}
	if a, b := s.gate.Backends[0], s.gate.Backends[1]; a.Name != "a" || b.URL != "wss://y" || a.MaxLinks != 9 || b.MaxLinks != 9 {
		t.Errorf("backends %+v", s.gate.Backends)
	}
}

func TestDidYouMean(t *testing.T) {
	names := []string{"max-message", "max-header", "rate", "url", "command"}
	for got, want := range map[string]string{
		"max-mesage": "max-message", "comand": "command", "uri": "url", "rates": "rate", "something": "", "x": "", "": "", "command": "command",
	} {
		hint := didYouMean(got, names)
		if want == "" && hint != "" || want != "" && hint != `; did you mean "`+want+`"?` {
			t.Errorf("didYouMean(%q) is %q; want %q", got, hint, want)
		}
	}
}
