package main

import (
	"context"
	"crypto/rand"
	"log"
	"net/http"
	"os"
	"os/exec"
	"sync"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// An sse serves a command over HTTP+SSE.
type sse struct {
	command []string

	mu       sync.Mutex
	sessions map[string]*mcp.SSEServerTransport
}

func newSSE(command []string) *sse {
	return &sse{command: command, sessions: map[string]*mcp.SSEServerTransport{}}
}

func (s *sse) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost {
		s.mu.Lock()
		t := s.sessions[r.URL.Query().Get("session")]
		s.mu.Unlock()
		if t == nil {
			http.NotFound(w, r)
			return
		}
		t.ServeHTTP(w, r)
		return
	}
	if r.Method != http.MethodGet || r.URL.Path != "/sse" { // Streamable HTTP is not served
		http.Error(w, "only GET /sse", http.StatusMethodNotAllowed)
		return
	}
	s.open(w, r)
}

// open serves one stream, and ends its process with it.
func (s *sse) open(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	cmd := exec.Command(s.command[0], s.command[1:]...)
	cmd.Stderr = os.Stderr
	child, err := (&mcp.CommandTransport{Command: cmd}).Connect(ctx)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer child.Close()
	name := rand.Text()
	t := &mcp.SSEServerTransport{Endpoint: "/message?session=" + name, Response: w}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-cache")
	s.mu.Lock()
	conn, err := t.Connect(ctx) // before it is found: it is no use without
	s.sessions[name] = t
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.sessions, name)
		s.mu.Unlock()
	}()
	if err != nil {
		log.Print(err)
		return
	}
	defer conn.Close()
	go relay(ctx, cancel, conn, child)
	relay(ctx, cancel, child, conn)
}

// relay passes messages on until one of the two has left.
func relay(ctx context.Context, cancel context.CancelFunc, from, to mcp.Connection) {
	defer cancel()
	for {
		msg, err := from.Read(ctx)
		if err != nil || to.Write(ctx, msg) != nil {
			return
		}
	}
}
