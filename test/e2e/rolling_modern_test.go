package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"sidegate/test/e2e/harness"
)

// modernRoller is a client without sessions, which perhaps listens.
type modernRoller struct {
	peer
	watch // the listen
}

func (m *modernRoller) call(n int) error {
	if err := m.failed(); err != nil {
		return err
	}
	c := modernTool(m.tool(n))
	c.id = strconv.Itoa(n)
	c.meta = fmt.Sprintf(`,"progressToken":%d`, n)
	resp, messages, err := m.post(c.body(), "MCP-Protocol-Version", modern, "Mcp-Method", c.method, "Mcp-Name", c.name)
	if err != nil {
		return err
	}
	return m.check(resp, messages, n)
}

// listen keeps a subscriptions/listen open, on connections of its own.
func (m *modernRoller) listen() {
	client := m.client()
	m.begin(func(ctx context.Context) error {
		defer client.CloseIdleConnections()
		for ctx.Err() == nil {
			if err := m.hearOut(ctx, client); err != nil {
				return err
			}
		}
		return nil
	})
}

// hearOut listens until the gate ends that, which it does by the result.
func (m *modernRoller) hearOut(ctx context.Context, client *http.Client) error {
	c := listen(`"heard"`, `{"toolsListChanged":true}`)
	resp, err := client.Do(m.request(ctx, http.MethodPost, c.body(), "MCP-Protocol-Version", modern, "Mcp-Method", c.method))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(resp.Body)
		return fmt.Errorf("%s: a listen got status %d: %s", m.name, resp.StatusCode, body)
	}
	last := ""
	if err := m.hear(resp, func(e harness.Event) { last = e.Data }); err != nil {
		return fmt.Errorf("%s: a listen was cut: %w", m.name, err)
	}
	if !strings.Contains(last, `"id":"heard"`) || !strings.Contains(last, `"resultType":"complete"`) {
		return fmt.Errorf("%s: a listen ended with %s", m.name, harness.Short(last))
	}
	return m.once(&m.listens, "a listen ended")
}

func (m *modernRoller) close() error {
	m.peer.close()
	return m.end()
}
