package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sidegate/test/e2e/harness"
)

// A legacy server of a few lines of shell: it answers initialize and echoes
// the method of every other request. before is what it does with a request
// that comes before initialize; each process notes in a file what it has read.
const shellServer = `
notes=%q; opened=
while IFS= read -r line; do
	printf '%%s %%s\n' "$$" "$line" >> "$notes"
	id=$(printf '%%s' "$line" | sed -n 's/.*"id":\([0-9]*\).*/\1/p')
	case $line in
	*'"initialize"'*) opened=1
		printf '{"jsonrpc":"2.0","id":%%s,"result":{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"sh","version":"1"}}}\n' "$id" ;;
	*'"notifications/'*) ;;
	*) if [ -z "$opened" ]; then
			%s
		else
			printf '{"jsonrpc":"2.0","id":%%s,"result":{"structuredContent":{"pid":%%s},"content":[]}}\n' "$id" "$$"
		fi ;;
	esac
done`

// TestOddLegacyServers: whatever a legacy server does with the question for its
// era, it is found to be legacy, serves both kinds of client, and the process
// that was asked serves none.
func TestOddLegacyServers(t *testing.T) {
	t.Parallel()
	for name, before := range map[string]string{
		"an error":           `printf '{"jsonrpc":"2.0","id":%s,"error":{"code":-32600,"message":"not initialized"}}\n' "$id"`,
		"silence":            `:`,
		"its death":          `exit 3`,
		"no JSON":            `echo 'what?'`,
		"a result of no use": `printf '{"jsonrpc":"2.0","id":%s,"result":{}}\n' "$id"`,
		"it goes mad":        `while IFS= read -r line; do printf '{"jsonrpc":"2.0","id":%s,"error":{"code":-32600,"message":"mad"}}\n' "$(printf '%s' "$line" | sed -n 's/.*"id":\([0-9]*\).*/\1/p')"; done`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			notes := filepath.Join(t.TempDir(), "notes")
			g := harness.Start(t, harness.Setup{Command: []string{"sh", "-c", fmt.Sprintf(shellServer, notes, before)}})
			var was, is struct{ PID int }
			decode(t, modernTool("x", `{}`).ask(t, g).Structured, &is)
			s := open(t, g)
			decode(t, []byte(s.Call(t, "x", `{}`).Structured(t)), &was)
			text, err := os.ReadFile(notes)
			if err != nil {
				t.Fatal(err)
			}
			asked := 0
			for line := range strings.Lines(string(text)) {
				pid, rest, _ := strings.Cut(line, " ")
				if strings.Contains(rest, `"server/discover"`) {
					asked++
					if pid == fmt.Sprint(is.PID) || pid == fmt.Sprint(was.PID) {
						t.Errorf("the process that was asked serves a client")
					}
				}
			}
			if asked != 1 {
				t.Errorf("the server was asked %d times", asked)
			}
		})
	}
}

// TestEraIsSaid: a server whose era is said is not asked for it.
func TestEraIsSaid(t *testing.T) {
	t.Parallel()
	g := gate(t, "--era", "legacy")
	modernTool("echo", `{}`).ask(t, g)
	alive(t, open(t, g))
	if seen := modernTool("seen", `{"method":"server/discover"}`).ask(t, g); !strings.Contains(seen.Raw, `"messages":[]`) {
		t.Errorf("the server was asked: %s", seen.Raw)
	}
}

// TestLateServer: a server that takes its time to start, as npx does when it
// fetches, is served all the same.
func TestLateServer(t *testing.T) {
	t.Parallel()
	g := broken(t, []string{"-start-delay", "3s"})
	if r := modernTool("echo", `{"x":1}`).ask(t, g); string(r.Structured) != `{"x":1}` {
		t.Errorf("got %s", r.Raw)
	}
	alive(t, open(t, g))
}

// TestModernWebSocket: a modern client speaks as on stdio, beside others on
// other connections.
func TestModernWebSocket(t *testing.T) {
	t.Parallel()
	g := gate(t)
	c := rawSocket(t, g)
	c.say(modernCall{id: `"l"`, method: "subscriptions/listen", params: `"notifications":{"toolsListChanged":true}`}.body())
	c.want("notifications/subscriptions/acknowledged", `"io.modelcontextprotocol/subscriptionId":"l"`)
	c.say(modernTool("echo", `{"x":1}`).body())
	c.want(`"id":1`, `"structuredContent":{"x":1}`, `"resultType":"complete"`)
	sleeping := modernTool("sleep", `{"ms":60000,"label":"ws"}`)
	sleeping.id = `"s"`
	c.say(sleeping.body())
	harness.Eventually(t, "the call is in flight", func() bool { return g.Metric(t, "sidegate_calls_in_flight") == 1 })
	c.say(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"s"}}`)
	harness.Eventually(t, "the call is over", func() bool { return g.Metric(t, "sidegate_calls_in_flight") == 0 })
	c.say(modernTool("notify", `{"method":"notifications/tools/list_changed"}`).body())
	c.want("notifications/tools/list_changed", `"io.modelcontextprotocol/subscriptionId":"l"`)
	c.want(`"id":1`)
	c.say(strings.Replace(listing(metaOf("1999-01-01")), `"q"`, `"v"`, 1))
	c.want(`"id":"v"`, "-32022")
	c.say(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"l"}}`)
	time.Sleep(50 * time.Millisecond)
	c.say(modernTool("notify", `{"method":"notifications/tools/list_changed"}`).body())
	c.want(`"id":1`) // and nothing before it
}

// rawSocket is a connection on which no session is opened.
func rawSocket(t *testing.T, g *harness.Gate) *socket {
	t.Helper()
	conn, resp, err := dialSocket(g, "/ws", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	t.Cleanup(func() { conn.Close() })
	return &socket{t: t, Conn: conn}
}

// want wants the next message to have these parts.
func (s *socket) want(parts ...string) {
	s.t.Helper()
	m := s.next()
	for _, part := range parts {
		if !strings.Contains(m.Raw, part) {
			s.t.Errorf("got %s, want %q", harness.Short(m.Raw), parts)
		}
	}
}
