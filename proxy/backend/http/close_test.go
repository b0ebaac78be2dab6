package http

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// TestCloseIsBounded: neither a call nor the session's end is waited for for
// ever, and nothing at all where there is no time.
func TestCloseIsBounded(t *testing.T) {
	for name, hurry := range map[string]bool{"in good order": false, "in a hurry": true} {
		t.Run(name, func(t *testing.T) {
			never := make(chan bool)
			defer close(never)
			s := newScript(t, func(r *http.Request, body string) text {
				if strings.Contains(body, "initialize") {
					return reply(200, jsonType+"Mcp-Session-Id: s\r\n", okBody)
				}
				<-never
				return text{}
			})
			l := open(t, newBackend(t, s.URL))
			l.say(t, `{"jsonrpc":"2.0","id":1,"method":"initialize"}`)
			l.Want(t, okBody)
			l.say(t, `{"jsonrpc":"2.0","id":2,"method":"x"}`)
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			if hurry {
				cancel()
			}
			l.Close(ctx)
			if err := l.End(t); err != nil {
				t.Errorf("Closed: %v", err)
			}
			if asked := slices.Contains(s.requests(), "DELETE /mcp"); asked == hurry {
				t.Errorf("the server saw %q", s.requests())
			}
			if len(l.Events) > 0 {
				t.Errorf("got %s", l.Next(t))
			}
		})
	}
}

// TestDeafToNotifications: what a server does not accept holds up what comes
// after it for a while only.
func TestDeafToNotifications(t *testing.T) {
	t.Parallel()
	never := make(chan bool)
	defer close(never)
	s := newScript(t, func(r *http.Request, body string) text {
		if strings.Contains(body, "note") {
			<-never
			return text{}
		}
		return answering(r, body)
	})
	l := open(t, newBackend(t, s.URL))
	l.say(t, `{"jsonrpc":"2.0","method":"note"}`)
	l.say(t, `{"jsonrpc":"2.0","id":1,"method":"x"}`)
	l.Want(t, `"id":1`)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	l.Close(ctx)
}
