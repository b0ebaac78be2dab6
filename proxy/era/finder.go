// Package era finds out whether a tool server is legacy, modern or both, once
// and for the life of the process, and leads each client to the room that
// serves its kind with such a server: directly where they share an era, over a
// bridge where they do not.
// (2026-07-28, basic/versioning, "Backward Compatibility with
// Initialization-Based Versions")
//
// The package knows links and the interfaces of share; it knows no bridge, no
// session and no stream.
package era

import (
	"bytes"
	"context"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"sidegate/proxy/link"
	"sidegate/proxy/mcp"
	"sidegate/proxy/refusal"
	"sidegate/proxy/share"
)

// The modes of a finder: what the configuration says of the server's era.
const (
	Auto   = "auto"
	Legacy = "legacy"
	Modern = "modern"
)

// A Server is what is known of a tool server. Both are true of a dual-era one,
// and at least one is. It never changes.
type Server struct {
	Modern, Legacy bool
	Revision       string // the modern revision to speak with it, "" where it is not modern
}

// FinderOptions never change.
type FinderOptions struct {
	Mode    string           // Auto, Legacy or Modern
	Pool    share.Pool       // for the link of the probe
	Version string           // of the gate, which is the client of the probe
	HTTP    bool             // the server is spoken to over HTTP
	Found   func(*link.Link) // takes over a probed link of a modern server; nil: it ends
	Log     *zap.Logger
}

// doubtEvery is how often a server's era may be forgotten. Clients can make it
// doubtful, and each probe costs a link.
const doubtEvery = 5 * time.Second

// A Finder finds a server's era by a probe, which is made when somebody first
// asks.
type Finder struct {
	options FinderOptions
	known   atomic.Pointer[Server]
	open    context.Context // done when the finder is closed
	close   context.CancelFunc
	work    sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	flight  *flight // the probe that is under way, nil without one
	doubted time.Time
}

// A flight is a probe that any number of callers wait for.
type flight struct {
	header string // of the client that caused it
	done   chan struct{}
	server *Server
	failed *link.Failure
}

// NewFinder makes a finder that has not asked yet.
func NewFinder(o FinderOptions) *Finder {
	f := &Finder{options: o}
	f.open, f.close = context.WithCancel(context.Background())
	switch o.Mode {
	case Legacy:
		f.known.Store(&Server{Legacy: true})
	case Modern:
		f.known.Store(&Server{Modern: true, Revision: mcp.Revision20260728})
	}
	return f
}

// Known is what has been found, nil before that.
func (f *Finder) Known() *Server { return f.known.Load() }

// Find returns what is known of the server, and asks it where that is nothing.
// header is what causes returns for the client that wants to know. Where the
// server could not be asked it says why, and the next call asks again. ctx bounds
// the wait, not the probe.
func (f *Finder) Find(ctx context.Context, header []byte) (*Server, *link.Failure) {
	for {
		if s := f.known.Load(); s != nil {
			return s, nil
		}
		p := f.join(string(header))
		if p == nil {
			return nil, &link.Failure{Refused: refusal.Draining}
		}
		select {
		case <-p.done:
		case <-ctx.Done():
			return nil, &link.Failure{Refused: refusal.Cancelled}
		}
		// What the server says to one client's token is not said to others.
		if p.failed == nil || p.failed.Reply == nil || p.header == string(header) {
			return p.server, p.failed
		}
	}
}

// join finds the probe that is under way, or starts one; nil where the finder
// is closed.
func (f *Finder) join(header string) *flight {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil
	}
	if f.flight != nil {
		return f.flight
	}
	p := &flight{header: header, done: make(chan struct{})}
	if s := f.known.Load(); s != nil { // found meanwhile
		p.server = s
		close(p.done)
		return p
	}
	f.flight = p
	f.work.Go(func() { f.fly(p) })
	return p
}

// fly makes a probe and remembers what it finds.
func (f *Finder) fly(p *flight) {
	var how string
	p.server, how, p.failed = f.probe(f.open, []byte(p.header))
	f.mu.Lock()
	f.flight = nil
	if p.server != nil {
		f.known.Store(p.server)
	}
	f.mu.Unlock()
	if s := p.server; s != nil {
		f.options.Log.Info("found the tool server's era", zap.Bool("modern", s.Modern), zap.Bool("legacy", s.Legacy), zap.String("by", how))
	}
	close(p.done)
}

// Doubt forgets what was found, since the server does not behave like it: the
// next one who wants to know asks again. What the configuration says stays, and
// doubts that come soon after each other count once.
func (f *Finder) Doubt() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.options.Mode != Auto || !f.doubted.IsZero() && time.Since(f.doubted) < doubtEvery {
		return
	}
	f.doubted = time.Now()
	f.known.Store(nil)
}

// Run waits for ctx; then nobody waits for a probe any more.
func (f *Finder) Run(ctx context.Context) {
	<-ctx.Done()
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	f.close()
	f.work.Wait()
}

// causes are the lines of a client's header that go along with what the gate
// asks for it: that which an HTTP server lets it in with, and those that name the
// gates it came through, or two gates before each other would each wait for what
// the other one finds.
func causes(header []byte) (lines []byte) {
	for line := range bytes.Lines(header) {
		if bytes.HasPrefix(line, []byte("Authorization: ")) || bytes.HasPrefix(line, []byte("Via: ")) {
			lines = append(lines, line...)
		}
	}
	return lines
}
