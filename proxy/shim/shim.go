// Package shim is the small end of the gate that runs beside a tool server
// which is a command, in the server's own container: it listens on a unix
// socket, lets in who may come, and gives each connection a child of its own,
// which is looked after by the same code as in the gate. The gate reaches it as
// a backend unix:///PATH. Who may not come is told why, in an error that answers
// no request: of that the gate makes its own unreadiness.
//
// Messages are read and bounded here too, in both directions, and none is
// dropped for want of room: who writes faster than the other side reads has to
// wait. It imports backend, lines, refusal, wire and limits, nothing else of
// ours; who listens and which command it is, package main decides.
package shim

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"syscall"
	"time"

	"go.uber.org/zap"
	"golang.org/x/time/rate"

	"sidegate/limits"
	"sidegate/proxy/backend"
	"sidegate/proxy/backend/lines"
	"sidegate/proxy/refusal"
)

// ErrGrace is returned by Run when the grace ran out with calls in flight.
var ErrGrace = errors.New("the grace ran out: what was still in flight has been cut (--grace)")

// Options say who is let in and what a connection may cost.
type Options struct {
	Backend        backend.Backend // starts the children; its connections have SendWait
	AllowUIDs      []uint32        // the users who may connect
	MaxConnections int
	MaxMessage     int           // bytes of a message from the peer, before the gate has added to it
	MaxQueue       int           // bytes of memory in messages that wait, for each connection and direction
	StopTimeout    time.Duration // as the backend's
	Grace          time.Duration // for calls in flight once Run's context is done
	Log            *zap.Logger
}

// A Server lets connections in and ends them. Its methods may be called from
// any goroutine.
type Server struct {
	options  Options
	slots    *limits.Slots
	refused  *lines.Throttle
	log      *zap.Logger
	draining chan struct{} // closed when no more connections are taken
	killed   context.Context
	kill     context.CancelFunc
	pairs    sync.WaitGroup
	over     chan struct{} // closed when Run returns

	mu      sync.Mutex
	cut     bool  // a call was in flight when the grace ran out, or at Kill
	turned  int64 // peers that were refused
	started int64 // connections that were taken
}

// New makes a server. Nothing is started yet.
func New(o Options) *Server {
	s := &Server{
		options:  o,
		slots:    limits.NewSlots(o.MaxConnections),
		refused:  lines.NewThrottle(rate.Every(time.Second), 5),
		log:      o.Log,
		draining: make(chan struct{}),
		over:     make(chan struct{}),
	}
	s.killed, s.kill = context.WithCancel(context.Background())
	return s
}

// Kill ends the children and their connections at once, and returns when
// nothing of them is left. It tells whether calls were cut. Run must have been
// called, and its context be done.
func (s *Server) Kill() (cut bool) {
	s.kill()
	<-s.over
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cut
}

// Run serves what ln accepts until ctx is done, and then ends in good order: no
// new connection is taken, one without a call in flight ends at once, the
// others with their last answer or when the grace has run out. ln is closed,
// which removes its file. A failed listener ends it too, with its error.
func (s *Server) Run(ctx context.Context, ln *net.UnixListener) error {
	defer close(s.over)
	defer s.kill()
	var failed, err error
	accepting := make(chan struct{})
	go func() {
		defer close(accepting)
		failed = s.accept(ln)
	}()
	select {
	case <-ctx.Done():
	case <-accepting:
		err = fmt.Errorf("the listener failed: %w", failed)
	}
	_ = ln.Close()
	<-accepting
	close(s.draining)
	return errors.Join(err, s.drain())
}

func (s *Server) drain() error {
	s.log.Info("draining", zap.Int("connections", s.slots.InUse()))
	grace := time.AfterFunc(s.options.Grace, s.kill)
	defer grace.Stop()
	s.pairs.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.log.Info("drained", zap.Int64("connections", s.started), zap.Int64("refused_peers", s.turned))
	if s.cut {
		return ErrGrace
	}
	return nil
}

// accept takes connections until ln fails or is closed.
func (s *Server) accept(ln *net.UnixListener) error {
	defer s.refused.Rest(s.log)
	for {
		c, err := ln.AcceptUnix()
		switch {
		case errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE):
			time.Sleep(10 * time.Millisecond) // descriptors come back when connections end
		case errors.Is(err, syscall.ECONNABORTED):
		case err != nil:
			return err
		default:
			s.admit(c)
		}
	}
}

// admit gives the connection a child, or closes it.
func (s *Server) admit(c *net.UnixConn) {
	uid, err := peerUID(c)
	switch {
	case err != nil:
		s.refuse(c, "a connection was refused, since the system does not tell whose it is", zap.Error(err))
	case !slices.Contains(s.options.AllowUIDs, uid):
		s.refuse(c, fmt.Sprintf("a connection was refused: its user may not connect; let it in with --allow-uid=%d", uid), zap.Uint32("uid", uid))
	case !s.slots.TryAcquire():
		s.refuse(c, "a connection was refused: there are as many as there may be; raise --max-connections, or lower the gate's --max-links",
			zap.Int("max_connections", s.options.MaxConnections))
	default:
		s.count(&s.started)
		s.pairs.Go(newPair(s, c).run) // which gives the place back
	}
}

// refuse closes a connection, and tells the peer why. The log says so too, with
// measure: who may not connect must not be able to fill a disk.
func (s *Server) refuse(c *net.UnixConn, why string, field zap.Field) {
	s.count(&s.turned)
	turnAway(c, why)
	if dropped, ok := s.refused.Pass(); ok {
		s.log.Warn(why, field, zap.Int64("dropped_lines", dropped))
	}
}

// turnAway says in an error that answers no request why the connection ends, and
// ends it. The gate makes of it that its tool server is not ready. Nothing is in
// the system's buffer yet, so a peer that does not read holds nobody up.
func turnAway(c *net.UnixConn, why string) {
	_ = c.SetWriteDeadline(time.Now().Add(time.Second))
	_, _ = c.Write(append(refusal.Start.With("%s", why).AppendJSON(nil, nil), '\n')) // who is gone has no use for it
	_ = c.Close()
}

func (s *Server) count(n *int64) {
	s.mu.Lock()
	*n++
	s.mu.Unlock()
}

func (s *Server) isDraining() bool {
	select {
	case <-s.draining:
		return true
	default:
		return false
	}
}

// hasCut notes that a call was in flight when the grace ran out.
func (s *Server) hasCut() {
	s.mu.Lock()
	s.cut = true
	s.mu.Unlock()
}
