package main

import (
	"fmt"
	"net"
	"net/netip"
	"strings"

	"sidegate/proxy"
)

// Where clients are served: by the default backend, and by each below
// serversPath and its name.
const (
	mcpPath     = "/mcp"
	ssePath     = "/sse"
	wsPath      = "/ws"
	serversPath = "/servers/"
)

// A door is one way in for clients, to be printed.
type door struct {
	name string
	at   string
}

// doors are all ways in at address but the first, which is MCP's own.
func doors(c *proxy.Config, address string) []door {
	var all []door
	if c.SSE {
		all = append(all, door{"SSE", below(address, "http://", ssePath)})
	}
	all = append(all, door{"WebSocket", below(address, "ws://", wsPath)})
	if len(c.Backends) > 1 {
		for _, b := range c.Backends {
			all = append(all, door{"backend " + b.Name, below(address, "http://", serversPath+b.Name+mcpPath)})
		}
	}
	return all
}

// below is a path at an address. On a socket it stands apart: there is no form
// of URL for it that clients agree on.
func below(address, scheme, path string) string {
	if isSocket(address) {
		return address + " with the path " + path
	}
	return scheme + reachable(address) + path
}

// endpoint is an address to listen on as something to point a client at.
func endpoint(address, path string) string {
	if isSocket(address) || address == "off" {
		return address
	}
	return "http://" + reachable(address) + path
}

// isSocket tells an address that is a path, or a socket's name, from HOST:PORT.
func isSocket(address string) bool {
	return strings.HasPrefix(address, "unix://") || strings.HasPrefix(address, "fd://")
}

// reachable exchanges "all addresses" for the one that always works from here.
func reachable(address string) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}

// curlLine initializes a session when it is pasted into a shell.
func curlLine(address string, withToken bool) string {
	return fmt.Sprintf(`curl -sS -i %s -H 'Content-Type: application/json' -H 'Accept: application/json, text/event-stream' -d '%s'`,
		curlTarget(address, mcpPath, withToken), initializeBody)
}

// curlSSELine opens an event stream of HTTP+SSE, whose first event says where
// to send messages.
func curlSSELine(address string, withToken bool) string {
	return fmt.Sprintf(`curl -sS -N %s -H 'Accept: text/event-stream'`, curlTarget(address, ssePath, withToken))
}

// curlTarget is a URL as curl takes it, and the token where one is asked for.
func curlTarget(address, path string, withToken bool) string {
	target := endpoint(address, path)
	if socket, ok := strings.CutPrefix(address, "unix://"); ok {
		target = "--unix-socket " + shellQuote(socket) + " http://localhost" + path
	}
	if withToken {
		target += ` -H "Authorization: Bearer $TOKEN"`
	}
	return target
}

const initializeBody = `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"curl","version":"0"}}}`

// shellQuote makes s one word of a POSIX shell.
func shellQuote(s string) string {
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// openWarning is one sentence where others than this host can call the tool
// server at address without a token, or "".
func openWarning(address, tokenFile string) string {
	if tokenFile != "" || isSocket(address) || isLoopback(address) {
		return ""
	}
	return fmt.Sprintf("whoever reaches %s may call the tool server, since no token is asked for: give --token-file, or --listen on 127.0.0.1", address)
}

// adminWarning is one sentence where others than this host can use the admin
// listener, which never asks for a token, or "".
func adminWarning(address string) string {
	if address == "off" || isSocket(address) || isLoopback(address) {
		return ""
	}
	return fmt.Sprintf("whoever reaches %s may read the metrics, since the admin listener asks for no token: give --admin on 127.0.0.1, or let only your monitoring reach it", address)
}

// isLoopback is false for a name other than localhost: what it stands for
// may change.
func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}
