package framing

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"sidegate/test/e2e/harness"
)

// A column is one of those who stand in front of the server, each with a
// server of its own.
type column struct {
	name          string
	network, addr string
	session       string // the session that the probes of /mcp are sent in
	direct        bool   // nobody stands in front: what the server cannot read was forwarded by nobody
	server        *server
	probes        []*probe
	outcomes      []outcome

	findings []finding
	strange  []string
}

// atOnce is how many probes are under way at a time.
const atOnce = 12

// run sends every probe, does what comes last, and judges all that the server
// saw.
func (c *column) run(t *testing.T, last func()) {
	t.Helper()
	c.outcomes = make([]outcome, len(c.probes))
	next := make(chan int)
	var running sync.WaitGroup
	for range atOnce {
		running.Go(func() {
			for i := range next {
				c.outcomes[i] = c.send(t, c.probes[i])
			}
		})
	}
	for i := range c.probes {
		next <- i
	}
	close(next)
	running.Wait()
	last()
	c.server.settle(t)
	c.findings, c.strange = c.judge()
}

// alone is the server with nobody in front.
func alone(t *testing.T) *column {
	s := newServer(t)
	return &column{name: "alone", direct: true, network: "tcp", addr: s.addr, server: s, probes: probes(site{s.addr, "of-nobody"})}
}

// behindGate is the server behind the gate, with a session opened.
func behindGate(t *testing.T) (*column, *harness.Session) {
	s := newServer(t)
	g := harness.Start(t, harness.Setup{Command: []string{}, Flags: []string{"--backend", "http://" + s.addr + "/mcp", "--pass", "/open/"}})
	session := g.Open(t, harness.Client{})
	return &column{
		name: "gate", network: "tcp", addr: g.Addr, session: session.ID, server: s, probes: probes(site{g.Host(), session.ID}),
	}, session
}

// nginx and HAProxy as plain reverse proxies, which keep connections to the
// server open: %[1]s is a folder for their files, %[2]s the server.
const (
	nginxFile = `daemon off;
master_process off;
pid %[1]s/pid;
error_log %[1]s/log;
events { worker_connections 512; }
http {
	access_log off;
	client_body_temp_path %[1]s/body;
	proxy_temp_path %[1]s/proxy;
	fastcgi_temp_path %[1]s/fastcgi;
	uwsgi_temp_path %[1]s/uwsgi;
	scgi_temp_path %[1]s/scgi;
	upstream server {
		server %[2]s;
		keepalive 8;
	}
	server {
		listen unix:%[1]s/socket;
		location / {
			proxy_pass http://server;
			proxy_http_version 1.1;
			proxy_set_header Connection "";
		}
	}
}
`
	haproxyFile = `global
	maxconn 256
defaults
	mode http
	timeout connect 60s
	timeout client 60s
	timeout server 60s
frontend clients
	bind unix@%[1]s/socket
	default_backend server
backend server
	server server %[2]s
`
)

// behindProxy is the server behind another proxy, whose program is run with
// its file.
func behindProxy(t *testing.T, name, program, text string, flags ...string) *column {
	t.Helper()
	s := newServer(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, fmt.Appendf(nil, text, dir, s.addr), 0o600); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	cmd := exec.Command(program, append(flags, file)...)
	cmd.Stdout, cmd.Stderr = &said, &said
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
		if t.Failed() {
			t.Logf("%s said:\n%s", name, said.String())
		}
	})
	socket := filepath.Join(dir, "socket")
	await(t, "unix", socket)
	return &column{name: name, network: "unix", addr: socket, server: s, probes: probes(site{"gate.example", "of-nobody"})}
}

// find is a program of Debian's packages, in PATH or where those put it. The
// test skips with the reason where it is missing, or fails under TEST_STRICT=1.
func find(t *testing.T, program, packages string) string {
	t.Helper()
	for _, p := range []string{program, "/usr/sbin/" + program} {
		if found, err := exec.LookPath(p); err == nil {
			return found
		}
	}
	reason := program + " is not installed: apt-get install " + packages
	if os.Getenv(strict) == "1" {
		t.Fatalf("%s (%s=1 lets nothing be missing)", reason, strict)
	}
	t.Skip(reason)
	return ""
}
