package main

import (
	"strings"
	"testing"
)

// check in a process of its own: what it prints where, and how it exits.
func TestCheck(t *testing.T) {
	good := writeFile(t, "max-message: 1MiB\nbackends:\n  web:\n    command: [sh, -c, secret]\n")
	bad := writeFile(t, "max-mesage: 1MiB\ngrace: soon\n")
	for _, c := range []struct {
		name string
		args []string
		env  string
		code int
		out  string
		errs []string
	}{
		{"command", []string{"check", "--", "sh", "-c", "secret"}, "", exitDone, `ok
  clients  http://127.0.0.1:8080/mcp
  clients  http://127.0.0.1:8080/sse (SSE)
  clients  ws://127.0.0.1:8080/ws (WebSocket)
  admin    http://127.0.0.1:8081
  backend  default: sh with 2 arguments, isolation session
`, nil},
		{"file", []string{"check", "-c", good, "--listen=:9000", "--admin=off"}, "", exitDone, `ok
  clients  http://127.0.0.1:9000/mcp
  clients  http://127.0.0.1:9000/sse (SSE)
  clients  ws://127.0.0.1:9000/ws (WebSocket)
  admin    off
  backend  web: sh with 2 arguments, isolation session
  warning  whoever reaches :9000 may call the tool server, since no token is asked for: give --token-file, or --listen on 127.0.0.1
`, nil},
		{"open admin", []string{"check", "--admin=:9001", "--", "sh"}, "", exitDone, `ok
  clients  http://127.0.0.1:8080/mcp
  clients  http://127.0.0.1:8080/sse (SSE)
  clients  ws://127.0.0.1:8080/ws (WebSocket)
  admin    http://127.0.0.1:9001
  backend  default: sh with 0 arguments, isolation session
  warning  whoever reaches :9001 may read the metrics, since the admin listener asks for no token: give --admin on 127.0.0.1, or let only your monitoring reach it
`, nil},
		{"several backends", []string{"check", "--no-sse", "--isolation=shared", "--backend=a=https://x/mcp?key=secret", "--backend=b=unix:///run/tool.sock"}, "", exitDone, `ok
  clients  http://127.0.0.1:8080/mcp
  clients  ws://127.0.0.1:8080/ws (WebSocket)
  clients  http://127.0.0.1:8080/servers/a/mcp (backend a)
  clients  http://127.0.0.1:8080/servers/b/mcp (backend b)
  admin    http://127.0.0.1:8081
  backend  a: https://x/mcp, isolation shared
  backend  b: unix:///run/tool.sock, isolation shared
`, nil},
		{"one port", []string{"check", "--listen=:9000", "--admin=127.0.0.1:9000", "--", "sh"}, "", exitUsage, "", []string{
			`--admin: must have another port than --listen, since one of them takes it on all addresses; they are "127.0.0.1:9000" and ":9000"`,
		}},
		{"environment", []string{"check", "--", "sh"}, "SIDEGATE_LISTEN=unix:///run/gate.sock", exitDone, `ok
  clients  unix:///run/gate.sock
  clients  unix:///run/gate.sock with the path /sse (SSE)
  clients  unix:///run/gate.sock with the path /ws (WebSocket)
  admin    http://127.0.0.1:8081
  backend  default: sh with 0 arguments, isolation session
`, nil},
		{"no backend", []string{"check"}, "", exitUsage, "", []string{
			`COMMAND: is missing: name the tool server, as in: sidegate run -- npx -y @modelcontextprotocol/server-filesystem "$PWD"`,
		}},
		{"no such command", []string{"check", "--", "no-such-program-here"}, "", exitUsage, "", []string{
			`cannot run "no-such-program-here": there is no such program in PATH; install it, correct its name, or give its full path`,
		}},
		{"no such token file", []string{"check", "--token-file=/nowhere/tokens", "--", "sh"}, "", exitUsage, "", []string{
			`--token-file: open /nowhere/tokens: no such file or directory`,
		}},
		{"all that is wrong", []string{"check", "-c", bad, "--", "sh"}, "SIDEGATE_WARM=few", exitUsage, "", []string{
			`SIDEGATE_WARM: must be a whole number; it is "few"`,
			bad + `:1:1: max-mesage: unknown key; did you mean "max-message"?`,
			bad + `:2:8: grace: must be a time with its unit, such as 30s, 5m or 1h30m; it is "soon"`,
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			cmd := gateProcess(t, c.args...)
			cmd.Env = append(cmd.Env, c.env)
			out, errs, code := finish(t, cmd)
			if code != c.code || out != c.out {
				t.Errorf("exit code %d, %s\nwant %d, %s", code, out, c.code, c.out)
			}
			want := ""
			for _, line := range c.errs {
				want += "sidegate: " + line + "\n"
			}
			if want != "" {
				want += "Run 'sidegate check --help' for what there is.\n"
			}
			if errs != want {
				t.Errorf("standard error has\n%s\nwant\n%s", errs, want)
			}
			if strings.Contains(out+errs, "secret") {
				t.Errorf("an argument was shown: %s%s", out, errs)
			}
		})
	}
}
