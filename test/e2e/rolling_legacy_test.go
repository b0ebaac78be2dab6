package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"

	"sidegate/test/e2e/harness"
)

// legacyRoller is a client with a session, and perhaps an event stream in it.
type legacyRoller struct {
	peer
	watch        // the stream
	asked string // its capabilities: what it may be asked

	mu      sync.Mutex
	session string
}

func (l *legacyRoller) call(n int) error {
	if err := l.failed(); err != nil {
		return err
	}
	name, arguments := l.tool(n)
	body := harness.ToolCallWithToken(strconv.Itoa(n), strconv.Itoa(n), name, arguments)
	for {
		session, err := l.current("")
		if err != nil {
			return err
		}
		resp, messages, err := l.post(body, "Mcp-Session-Id", session, "MCP-Protocol-Version", harness.Latest)
		switch {
		case err != nil:
			return err
		case resp.StatusCode != http.StatusNotFound:
			return l.check(resp, messages, n)
		}
		if err := l.once(&l.unknown, "a call met a session that was unknown"); err != nil {
			return err
		}
		if _, err := l.current(session); err != nil {
			return err
		}
	}
}

// current is the client's session, which is not gone. Where there is none it
// opens one.
func (l *legacyRoller) current(gone string) (string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.session != gone {
		return l.session, nil
	}
	resp, answer, err := l.post(harness.Client{Capabilities: l.asked}.InitializeBody())
	if err != nil {
		return "", err
	}
	if l.session = resp.Header.Get("Mcp-Session-Id"); resp.StatusCode != http.StatusOK || l.session == "" {
		return "", fmt.Errorf("%s: initialize got status %d: %s", l.name, resp.StatusCode, answer)
	}
	if gone != "" {
		if err := l.once(&l.reopened, "a session was opened anew"); err != nil {
			return "", err
		}
	}
	if resp, answer, err = l.post(harness.Notification("notifications/initialized", ""), "Mcp-Session-Id", l.session, "MCP-Protocol-Version", harness.Latest); err != nil {
		return "", err
	}
	if resp.StatusCode != http.StatusAccepted && resp.StatusCode != http.StatusNotFound { // the next call meets that 404 again
		return "", fmt.Errorf("%s: initialized got status %d: %s", l.name, resp.StatusCode, answer)
	}
	return l.session, nil
}

// listen keeps an event stream open, on connections of its own.
func (l *legacyRoller) listen() {
	client := l.client()
	l.begin(func(ctx context.Context) error {
		defer client.CloseIdleConnections()
		return l.follow(ctx, client)
	})
}

// follow opens the stream, and resumes it when it ends, until ctx is done.
func (l *legacyRoller) follow(ctx context.Context, client *http.Client) error {
	session, last := "", ""
	for ctx.Err() == nil {
		now, err := l.current("")
		if err != nil {
			return err
		}
		if now != session {
			session, last = now, ""
		}
		gone, err := l.stream(ctx, client, session, &last)
		if err != nil {
			return err
		}
		if gone {
			if err := l.once(&l.unresumed, "a stream met a session that was unknown"); err != nil {
				return err
			}
			if _, err := l.current(session); err != nil {
				return err
			}
		}
	}
	return nil
}

// stream reads one stream to its end, and waits as it was told to. gone is true
// where the gate does not know the session.
func (l *legacyRoller) stream(ctx context.Context, client *http.Client, session string, last *string) (gone bool, err error) {
	r := l.request(ctx, http.MethodGet, "", "Mcp-Session-Id", session, "MCP-Protocol-Version", harness.Latest)
	if *last != "" {
		r.Header.Set("Last-Event-ID", *last)
	}
	resp, err := client.Do(r)
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(resp.Body)
		if resp.StatusCode == http.StatusNotFound {
			return true, nil
		}
		return false, fmt.Errorf("%s: the stream got status %d: %s", l.name, resp.StatusCode, body)
	}
	err = l.hear(resp, func(e harness.Event) { *last = e.ID })
	if err != nil {
		return false, fmt.Errorf("%s: the stream was cut: %w", l.name, err)
	}
	if *last == "" {
		return false, fmt.Errorf("%s: the stream has ended and did not say where to resume", l.name)
	}
	select {
	case <-time.After(time.Second): // retry, which the gate sets to that
	case <-ctx.Done():
	}
	return false, l.once(&l.streams, "a stream ended")
}

func (l *legacyRoller) close() error {
	l.peer.close()
	return l.end()
}
