package main

import (
	"strings"

	"go.uber.org/zap"

	"sidegate/proxy"
	"sidegate/proxy/backend"
	"sidegate/proxy/backend/http"
	"sidegate/proxy/backend/socket"
	"sidegate/proxy/backend/stdio"
	"sidegate/proxy/backend/websocket"
	"sidegate/proxy/wire"
)

// newBackend builds the tool server that b names, by the kind that its URL
// says. It starts nothing and connects to nothing.
func newBackend(b *proxy.BackendConfig, c *proxy.Config, budget wire.Budget, log *zap.Logger) (backend.Backend, error) {
	scheme, _, _ := strings.Cut(b.URL, "://")
	switch scheme {
	case "unix", "tcp":
		return socket.New(socket.Config{Name: b.Name, URL: b.URL, MaxMessage: c.MaxMessage, Budget: budget, StopTimeout: b.StopTimeout, Log: log})
	case "ws", "wss":
		return websocket.New(websocket.Config{Name: b.Name, URL: b.URL, Via: b.Via, MaxMessage: c.MaxMessage, Budget: budget, StopTimeout: b.StopTimeout, Log: log})
	case "http", "https", "http+unix":
		return http.New(http.Config{Name: b.Name, URL: b.URL, Via: b.Via, MaxMessage: c.MaxMessage, Budget: budget, StopTimeout: b.StopTimeout, Log: log})
	}
	return stdio.New(stdio.Config{
		Name: b.Name, Command: b.Command, Env: b.Env,
		MaxMessage: c.MaxMessage, Budget: budget, StopTimeout: b.StopTimeout, Log: log,
	})
}
