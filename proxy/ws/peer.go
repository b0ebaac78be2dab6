package ws

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// maxPongs is how many bytes may wait to be written for a ping to be answered.
// A server may not read what it asks for; it has the answer to another ping.
const maxPongs = 8 << 10

// kindPong is the answer to a ping.
const kindPong = 10

// ErrDead is the end of a peer that does not answer pings.
var ErrDead = errors.New("the peer does not answer pings")

// Peer is the client's end of a connection, in the form of lines: what is
// written to it is cut into messages at each newline, and what is read from it
// has one after each message. One goroutine calls Read, and one Write.
type Peer struct {
	lib    library // nil during the handshake
	out    outlet
	socket net.Conn
	every  time.Duration // between signs of life

	message io.Reader // what is read at present, nil between two messages
	owed    bool      // the newline after a message
	cut     bool      // the connection has ended within a message
	silent  bool      // a ping was sent, and nothing has come since

	line io.WriteCloser // what is written at present, nil between two messages

	writing sync.Mutex     // who has it writes to the socket
	pushing atomic.Bool    // somebody is about to
	work    sync.WaitGroup // goroutines that write what nobody waits for
}

func newPeer(every time.Duration) *Peer {
	p := &Peer{every: every}
	p.out.source = (*pulse)(p)
	return p
}

// Read reads the next bytes of a message, or the newline after it. Line breaks
// within a message come as carriage returns, which mean the same between two
// tokens and are as wrong within one. The error at the end is a *Closed where
// the server said goodbye, a *Fault where it broke a rule.
func (p *Peer) Read(b []byte) (int, error) {
	for {
		if p.owed {
			p.owed = false
			b[0] = '\n'
			return 1, nil
		}
		if p.message == nil {
			kind, r, err := p.lib.NextReader()
			if err != nil {
				return 0, p.explain(err)
			}
			if kind != text {
				return 0, p.fault(CodeUnsupported, "sent a message as binary data, not as text")
			}
			p.message = r
		}
		n, err := p.message.Read(b)
		if errors.Is(err, io.EOF) && p.out.err == nil {
			p.message, p.owed, err = nil, true, nil
		}
		if err != nil {
			p.cut = true
			err = p.explain(err)
		}
		if n > 0 || err != nil {
			flatten(b[:n])
			return n, err
		}
	}
}

func flatten(b []byte) {
	for i := bytes.IndexByte(b, '\n'); i >= 0; i = bytes.IndexByte(b, '\n') {
		b[i] = '\r'
		b = b[i:]
	}
}

// Cut tells, once Read has failed, whether it was within a message.
func (p *Peer) Cut() bool { return p.cut }

func (p *Peer) explain(err error) error {
	if p.out.err != nil {
		return p.out.err
	}
	if closed := farewell(err); closed != nil {
		p.push()
		return closed
	}
	return p.fault(CodeProtocol, "broke the rules of WebSocket: "+plain(err))
}

// fault tells the server, where the library has not done so already.
func (p *Peer) fault(code int, what string) error {
	control(p.lib, goodbye, closing(code, ""))
	p.push()
	return &Fault{code, what}
}

// pinged answers a ping.
func (p *Peer) pinged(payload string) error {
	if p.out.waiting() < maxPongs {
		control(p.lib, kindPong, []byte(payload))
		p.push()
	}
	return nil
}

// ErrGoodbye is returned by Write once a goodbye was said or answered.
var ErrGoodbye = errors.New("the connection is being closed")

// Write sends every line in b as a message; what comes after the last newline
// is the beginning of the next. It returns when all is written.
func (p *Peer) Write(b []byte) (int, error) {
	n, err := p.write(b)
	if said(err) {
		err = ErrGoodbye
	}
	return n, err
}

func (p *Peer) write(b []byte) (int, error) {
	for rest := b; len(rest) > 0; {
		line, after, ended := bytes.Cut(rest, []byte{'\n'})
		if err := p.piece(line, ended); err != nil {
			return len(b) - len(rest), err
		}
		rest = after
	}
	return len(b), p.flush()
}

// piece puts a part of a message into frames. What is more than a frame's worth
// is written to the socket as it comes.
func (p *Peer) piece(data []byte, last bool) error {
	if p.line == nil {
		w, err := p.lib.NextWriter(text)
		if err != nil {
			return err
		}
		p.line = w
	}
	for len(data) > 0 {
		n := min(len(data), peerWriteBuffer)
		if _, err := p.line.Write(data[:n]); err != nil {
			return err
		}
		data = data[n:]
		if p.out.waiting() >= peerWriteBuffer {
			if err := p.flush(); err != nil {
				return err
			}
		}
	}
	if !last {
		return nil
	}
	w := p.line
	p.line = nil
	return w.Close()
}

// flush writes what is pending to the socket.
func (p *Peer) flush() error {
	p.writing.Lock()
	defer p.writing.Unlock()
	for b := p.out.take(); len(b) > 0; b = p.out.take() {
		if _, err := p.socket.Write(b); err != nil {
			return err
		}
	}
	return nil
}

// push is flush for those who cannot wait. One goroutine is enough: until it has
// begun it will take whatever there is.
func (p *Peer) push() {
	if p.pushing.Swap(true) {
		return
	}
	p.work.Go(func() {
		p.writing.Lock()
		p.pushing.Store(false)
		p.writing.Unlock()
		_ = p.flush() // what fails here fails for the reader, too
	})
}

// Close says goodbye; what the server still says can be read. It does not wait.
func (p *Peer) Close() error {
	control(p.lib, goodbye, closing(CodeNormal, ""))
	p.push()
	return nil
}

// Part waits until all is written, the goodbye too, or until d is over.
func (p *Peer) Part(d time.Duration) {
	_ = p.socket.SetWriteDeadline(time.Now().Add(d)) // fails where the write will
	_ = p.flush()                                    // there is nobody left to tell
}

// Abort ends the connection at once.
func (p *Peer) Abort() {
	if p.socket != nil {
		_ = p.socket.Close()
	}
}

// Wait waits, after Abort, until no goroutine is left.
func (p *Peer) Wait() { p.work.Wait() }

// pulse is the socket as the library reads it: when nothing comes for a while
// the server is asked for a sign of life, and given up when there is none.
type pulse Peer

func (p *pulse) Read(b []byte) (int, error) {
	for {
		if err := p.socket.SetReadDeadline(time.Now().Add(p.every)); err != nil {
			return 0, err
		}
		n, err := p.socket.Read(b)
		switch {
		case n > 0 || !errors.Is(err, os.ErrDeadlineExceeded):
			p.silent = false
			return n, err
		case p.silent:
			return 0, ErrDead
		}
		p.silent = true
		control(p.lib, ping, nil)
		(*Peer)(p).push()
	}
}
