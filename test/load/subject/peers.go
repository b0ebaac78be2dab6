package subject

import (
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"sidegate/test/load/drive"
)

// modules is where `npm ci` has put what the lock file pins, below the
// directory in which the harness is started.
var modules = filepath.Join("test", "load", "npm", "node_modules")

// Supergateway starts npm's supergateway in front of a stdio server, a child
// for each session.
func Supergateway(command ...string) (*Subject, error) {
	return node("supergateway", func(_, port string) []string {
		return []string{"--stdio", strings.Join(command, " "), "--outputTransport", "streamableHttp", "--stateful",
			"--port", port, "--logLevel", "none"}
	})
}

// MCPProxy starts npm's mcp-proxy in front of a stdio server, one child for
// all.
func MCPProxy(command ...string) (*Subject, error) {
	return node("mcp-proxy", func(host, port string) []string {
		return append([]string{"--server", "stream", "--host", host, "--port", port, "--"}, command...)
	})
}

// node starts a program that npm has installed. Its children, the servers, do
// not count as it.
func node(name string, args func(host, port string) []string) (*Subject, error) {
	script := filepath.Join(modules, ".bin", name)
	if _, err := os.Stat(script); err != nil {
		return nil, &Missing{name, "it is not installed: make node"}
	}
	interpreter, err := nodeJS()
	if err != nil {
		return nil, &Missing{name, "there is no Node.js"}
	}
	addr := FreeAddr()
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	p, err := launch(interpreter, append([]string{script}, args(host, port)...)...)
	if err != nil {
		return nil, err
	}
	if err := p.listens(addr); err != nil {
		p.stop()
		return nil, err
	}
	version := packageVersion(name) + ", Node.js " + firstLine(interpreter, "--version")
	return &Subject{Name: name, Version: version, Door: drive.Door{Addr: addr}, processes: []*process{p}}, nil
}

// nodeJS is the Node.js that the lock file pins, else, on platforms for which
// npm has none, the one in PATH.
func nodeJS() (string, error) {
	pinned := filepath.Join(modules, ".bin", "node")
	if _, err := os.Stat(pinned); err == nil {
		return pinned, nil
	}
	return exec.LookPath("node")
}

func packageVersion(name string) string {
	var p struct{ Version string }
	b, err := os.ReadFile(filepath.Join(modules, name, "package.json"))
	if err != nil || json.Unmarshal(b, &p) != nil {
		return "unknown"
	}
	return p.Version
}
