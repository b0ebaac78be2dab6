package link

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sidegate/proxy/backend"
	"sidegate/proxy/refusal"
	"sidegate/proxy/wire"
)

// socketLike is a fake that only a connection tells of.
type socketLike struct{ *fake }

func (socketLike) Check(context.Context) error { return backend.ErrUnsure }

// inSocketPool is inPool in front of a server behind a socket.
func inSocketPool(t *testing.T, f *fake, o PoolOptions, test func(t *testing.T, p *poolTest)) {
	t.Helper()
	inPool(t, f, o, func(t *testing.T, p *poolTest) {
		p.stop()
		p.backend = socketLike{f}
		test(t, p)
	})
}

// look looks once, and wants the pool to be ready or not for that.
func (p *poolTest) wantLook(t *testing.T, says string) {
	t.Helper()
	p.look(context.Background())
	err := p.Ready()
	if says == "" && err != nil || says != "" && (err == nil || !strings.Contains(err.Error(), says)) {
		t.Errorf("Ready: %v, want %q", err, says)
	}
}

// sayNo is what a server says that does not want a connection.
func (c *fakeConn) sayNo(text string) {
	msg := wire.Acquire(256)
	msg.B = refusal.Start.With("%s", text).AppendJSON(msg.B, nil)
	var env wire.Envelope
	if err := env.Scan(msg.B); err != nil {
		panic(err)
	}
	c.receiver.Message(msg, &env)
}

// TestTurnedAway: a server that takes connections and does not keep them is not
// there for anybody; whatever it says, or does not say, and however late.
func TestTurnedAway(t *testing.T) {
	for _, c := range []struct {
		name string
		born func(c *fakeConn)
		says string // nothing: the server keeps the connection
	}{
		{"keeps it", func(*fakeConn) {}, ""},
		{"keeps it and speaks first", func(c *fakeConn) { c.speak() }, ""},
		{"closes it", func(c *fakeConn) { c.die("closed it") }, "closed it"},
		{"closes it a moment later", func(c *fakeConn) { time.AfterFunc(takes/2, func() { c.die("closed it") }) }, "closed it"},
		{"says why", func(c *fakeConn) { c.sayNo("who are you?"); c.die("closed it") }, `it says: "who are you?"`},
		{"says why when it is closed", func(c *fakeConn) {
			time.AfterFunc(2*takes, func() { c.sayNo("who are you?"); close(c.fake.end) })
		}, `it says: "who are you?"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := &fake{born: c.born, stubborn: c.name == "says why when it is closed"}
			inSocketPool(t, f, PoolOptions{MaxLinks: 2}, func(t *testing.T, p *poolTest) {
				p.wantLook(t, c.says)
				if c.says == "" || f.stubborn {
					return
				}
				if err := p.Probe(context.Background()); err == nil || !strings.Contains(err.Error(), c.says) {
					t.Errorf("Probe: %v", err)
				}
				f.born = nil
				p.wantLook(t, "")
			})
		})
	}
}

// TestTrialsAreRare: who is known to keep connections is not tried again before
// a while has passed, nor where a link lives; but where links fail. A link stands
// for the server once it was kept for a moment, also where the last connection
// that was tried was turned away: the link may have got the only place.
func TestTrialsAreRare(t *testing.T) {
	f := &fake{}
	inSocketPool(t, f, PoolOptions{MaxLinks: 2}, func(t *testing.T, p *poolTest) {
		wantTrials := func(when string, want int) {
			t.Helper()
			before, _ := f.count()
			p.look(context.Background())
			if after, _ := f.count(); after-before != want {
				t.Errorf("%s: %d connections were tried, want %d", when, after-before, want)
			}
		}
		wantTrials("at first", 1)
		wantTrials("soon after", 0)
		time.Sleep(sureFor)
		wantTrials("later", 1)
		l := p.take(t)
		time.Sleep(sureFor)
		wantTrials("with a link", 0)
		p.End(l, refusal.SessionEnd)
		synctest.Wait()
		p.mu.Lock()
		p.away = errors.New("turned away")
		p.mu.Unlock()
		l = p.take(t)
		wantTrials("with a link that may be about to end", 0)
		if err := p.Ready(); err == nil {
			t.Error("a link that may be about to end makes the pool ready")
		}
		if err := p.Probe(context.Background()); err == nil {
			t.Error("a link that may be about to end answers a probe")
		}
		time.Sleep(takes)
		if err := p.Probe(context.Background()); err != nil {
			t.Errorf("a link was kept, and a probe is answered %v", err)
		}
		wantTrials("with a link that was kept", 0)
		if err := p.Ready(); err != nil {
			t.Errorf("a link was kept, and Ready says %v", err)
		}
		p.End(l, refusal.SessionEnd)
		synctest.Wait()
		p.mu.Lock()
		p.failed(errors.New("ended at once"))
		p.mu.Unlock()
		wantTrials("where a link has failed", 1)
	})
}

// TestTurnedAwayIsAFailure: a link whose server says nothing but that it does
// not want it has not started well, and its end says why.
func TestTurnedAwayIsAFailure(t *testing.T) {
	f := &fake{born: func(c *fakeConn) { c.sayNo(strings.Repeat("no ", longestWord)); c.die("closed it") }}
	inPool(t, f, PoolOptions{MaxLinks: 2, Wait: time.Second}, func(t *testing.T, p *poolTest) {
		p.loop(t)
		var turned *TurnedAwayError
		if err := p.Ready(); !errors.As(err, &turned) || len(turned.Said) != longestWord || turned.End.Error() != "closed it" {
			t.Errorf("Ready: %v", err)
		}
	})
}

// TestNoIsNoAnswer: what turns a link away names no call; a server that has
// spoken before, or says an error to a call, does not turn the link away.
func TestNoIsNoAnswer(t *testing.T) {
	for text, heard := range map[string]bool{
		`{"jsonrpc":"2.0","error":{"code":503,"message":"no"}}`:           false,
		`{"jsonrpc":"2.0","error":{"code":503,"message":""}}`:             true,
		`{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"no"}}`: true,
		`{"jsonrpc":"2.0","method":"notifications/message","params":{}}`:  true,
		`{"jsonrpc":"2.0","id":"x","method":"ping"}`:                      true,
	} {
		b := newBed(t, Options{})
		b.say("%s", text)
		if got := b.Heard(); got != heard {
			t.Errorf("%s: heard: %v", text, got)
		}
		if !heard {
			b.say(`{"jsonrpc":"2.0","method":"notifications/message","params":{}}`)
			if !b.Heard() {
				t.Error("what it says after that is not heard")
			}
		}
		b.Closed(errors.New("closed it"))
		if _, turned := errors.AsType[*TurnedAwayError](b.deaths[0]); turned {
			t.Errorf("%s: %v", text, b.deaths[0])
		}
	}
}
