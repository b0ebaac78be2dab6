package shim

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"time"

	"go.uber.org/zap"

	"sidegate/proxy/backend"
	"sidegate/proxy/backend/lines"
	"sidegate/proxy/refusal"
	"sidegate/proxy/wire"
)

// A child is a connection of the backend whose sender can be made to wait.
type child interface {
	backend.Conn
	SendWait(msg *wire.Buffer) error
}

// half is the sending direction of a connection. It ends by itself, so that
// what the peer still says is read.
type half struct{ *net.UnixConn }

// Close ends the sending direction.
func (h half) Close() error { return h.CloseWrite() }

// A pair is a connection and its child: the end of the one is the end of the
// other. Its goroutines are run, read (from the peer to the child), the
// writer's (to the peer), and those of the child's own connection, one of which
// reads from the child.
type pair struct {
	server *Server
	log    *zap.Logger
	peer   *net.UnixConn
	child  child
	out    lines.Writer // to the peer
	work   sync.WaitGroup
	calls  calls

	peerOver  chan struct{} // nothing more is read from the peer
	childOver chan struct{} // nothing more is read from the child
}

func newPair(s *Server, c *net.UnixConn) *pair {
	p := &pair{server: s, log: s.log, peer: c, peerOver: make(chan struct{}), childOver: make(chan struct{})}
	p.calls.init()
	p.out.Init(half{c}, s.options.MaxQueue, &p.work, func(err error) {
		p.log.Debug("the peer takes no more", zap.Error(err))
		_ = c.SetReadDeadline(past) // it is gone, or as good as that
	})
	return p
}

// past is a deadline that ends what waits.
var past = time.Unix(1, 0)

// hush is how long a peer that says nothing has no child yet. A gate that only
// looks whether it is let in is gone by then; one that keeps a connection for
// its next client gets the child ahead of need.
const hush = 500 * time.Millisecond

// stays waits for the first byte, and tells whether the peer needs a child: not
// where it has ended without a word.
func (p *pair) stays() bool {
	_ = p.peer.SetReadDeadline(time.Now().Add(hush))
	spoken, err := peek(p.peer)
	_ = p.peer.SetReadDeadline(time.Time{})
	return spoken || errors.Is(err, os.ErrDeadlineExceeded) && !p.server.isDraining()
}

// run serves the connection from its start to its end. Its place is free before
// the peer hears of the end: who comes again at once is not to find it taken.
func (p *pair) run() {
	if !p.stays() {
		p.server.slots.Release()
		_ = p.peer.Close()
		return
	}
	conn, err := p.server.options.Backend.Open(p.server.killed, fromChild{p})
	if err != nil {
		p.server.slots.Release()
		const why = "a connection was closed, since its tool server could not be started"
		turnAway(p.peer, why+"; the shim's log says more")
		p.log.Error(why, zap.Error(err))
		return
	}
	p.child = conn.(child) // which Options asks for
	go p.read()
	p.wait()
	p.end()
}

// wait returns when the pair has to end.
func (p *pair) wait() {
	draining, idle := p.server.draining, (<-chan struct{})(nil)
	for {
		select {
		case <-p.peerOver:
			return
		case <-p.childOver:
			return
		case <-draining:
			draining, idle = nil, p.calls.idle
		case <-idle:
		case <-p.server.killed.Done():
			if !p.calls.none() {
				p.server.hasCut()
			}
			return
		}
		if idle != nil && p.calls.none() {
			return
		}
	}
}

// end ends the child in good order and then the connection: what the child
// still says is passed on. Each step is bounded: the child's by its three
// times StopTimeout, and a peer that does not read by one more.
func (p *pair) end() {
	bound := time.AfterFunc(4*p.server.options.StopTimeout, p.cut)
	defer bound.Stop()
	release := context.AfterFunc(p.server.killed, p.cut)
	defer release()
	p.child.Close(p.server.killed)
	p.server.slots.Release()
	p.out.Finish()
	p.work.Wait()
	p.cut()
	<-p.peerOver
}

// cut ends the connection now.
func (p *pair) cut() {
	p.out.Close()
	_ = p.peer.Close()
}

// added is how many bytes the gate may add to a client's message, which was
// within the limit as it came: its own number for an id that was shorter, and
// what a modern server is told of a client that says it once.
const added = 64 << 10

// read hands the peer's messages to the child until the peer ends.
func (p *pair) read() {
	defer close(p.peerOver)
	err := lines.NewReader(p.peer, fromPeer{p}, lines.Options{
		MaxMessage: p.server.options.MaxMessage + added, Log: zap.NewNop(), // fromPeer says what there is to say
	}).Run()
	p.log.Debug("the peer has ended", zap.Error(err))
}

// fromPeer takes what the peer says.
type fromPeer struct{ *pair }

// Message passes a message on. It waits where the child does not read, and so
// makes the peer wait.
func (p fromPeer) Message(msg *wire.Buffer, env *wire.Envelope) {
	switch {
	case env.Kind == wire.Request:
		p.calls.begin(env.ID.Of(msg.B))
	case !env.RequestID.Empty(): // notifications/cancelled: it may never be answered
		p.calls.end(env.RequestID.Of(msg.B))
	}
	_ = p.child.SendWait(msg) // an error means that the pair is ending
}

// TooLong ends the connection: whose call it was cannot be told, so nobody
// could be given an answer.
func (p fromPeer) TooLong(_ []byte, size int64) {
	p.fault("the peer sent a message that is longer than the limit; give the same --max-message here and there", zap.Int64("size", size))
}

// Garbage ends the connection, for the same reason.
func (p fromPeer) Garbage([]byte) {
	p.fault("the peer does not speak JSON-RPC in lines; is it the gate?")
}

func (p fromPeer) fault(why string, fields ...zap.Field) {
	p.log.Warn("a connection is closed: "+why, fields...)
	_ = p.peer.SetReadDeadline(past)
}

// fromChild takes what the child says.
type fromChild struct{ *pair }

// Message passes a message on. It waits where the peer does not read, and so
// makes the child wait.
func (p fromChild) Message(msg *wire.Buffer, env *wire.Envelope) {
	if env.Kind != wire.Result && env.Kind != wire.Error {
		_ = p.out.SendWait(msg) // an error means that the peer is gone
		return
	}
	id := string(env.ID.Of(msg.B))
	_ = p.out.SendWait(msg)
	p.calls.end([]byte(id))
}

// TooLong answers a call in the child's stead.
func (p fromChild) TooLong(id []byte, _ int64) { p.answer(id, refusal.ServerSize) }

// Garbage answers a call in the child's stead.
func (p fromChild) Garbage(id []byte) { p.answer(id, refusal.ServerJSON) }

// Reply is not called: a child speaks no HTTP.
func (p fromChild) Reply([]byte, *backend.Reply) {}

// Closed ends the pair.
func (p fromChild) Closed(err error) {
	if err != nil {
		p.log.Warn("a connection is closed, since its tool server has ended", zap.Error(err))
	}
	close(p.childOver)
}

func (p fromChild) answer(id []byte, r *refusal.Refusal) {
	if len(id) == 0 {
		return
	}
	msg := wire.Acquire(256)
	msg.B = r.AppendJSON(msg.B, id)
	_ = p.out.SendWait(msg)
	p.calls.end(id)
}
