package main

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
)

// mcpPath is where clients are served.
const mcpPath = "/mcp"

// endpoint is an address to listen on as something to point a client at.
func endpoint(address, path string) string {
	if isSocket(address) || address == "off" {
		return address
	}
	return "http://" + reachable(address) + path
}

func isSocket(address string) bool { return strings.HasPrefix(address, "unix://") }

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
	target := endpoint(address, mcpPath)
	if path, ok := strings.CutPrefix(address, "unix://"); ok {
		target = "--unix-socket " + shellQuote(path) + " http://localhost" + mcpPath
	}
	token := ""
	if withToken {
		token = ` -H "Authorization: Bearer $TOKEN"`
	}
	return fmt.Sprintf(`curl -sS -i %s%s -H 'Content-Type: application/json' -H 'Accept: application/json, text/event-stream' -d '%s'`,
		target, token, initializeBody)
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
