package link

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"

	"sidegate/proxy/backend"
	"sidegate/proxy/backend/stdio"
	"sidegate/proxy/refusal"
	"sidegate/proxy/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a backend in memory.
type fake struct {
	open func(ctx context.Context, n int) error // how the nth start goes, from 1 on; nil is well
	born func(c *fakeConn)                      // what a server does once it is started

	stubborn bool          // servers do not end before end is closed
	end      chan struct{} // made by newPoolTest

	mu     sync.Mutex
	starts int
	alive  int // processes: until Close is through
	most   int
	conns  []*fakeConn
}

func (f *fake) String() string { return "fake" }

func (f *fake) Open(ctx context.Context, r backend.Receiver) (backend.Conn, error) {
	f.mu.Lock()
	f.starts++
	n := f.starts
	f.alive++
	f.most = max(f.most, f.alive)
	f.mu.Unlock()
	if f.open != nil {
		if err := f.open(ctx, n); err != nil {
			f.gone()
			return nil, err
		}
	}
	c := &fakeConn{fake: f, receiver: r}
	f.mu.Lock()
	f.conns = append(f.conns, c)
	f.mu.Unlock()
	if f.born != nil {
		f.born(c)
	}
	return c, nil
}

func (f *fake) gone() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.alive--
}

func (f *fake) count() (starts, alive int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.starts, f.alive
}

func (f *fake) last() *fakeConn {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.conns[len(f.conns)-1]
}

type fakeConn struct {
	fake     *fake
	receiver backend.Receiver
	told     sync.Once
	closed   sync.Once
}

func (c *fakeConn) Send(msg *wire.Buffer) error {
	msg.Release()
	return nil
}

func (c *fakeConn) Close(ctx context.Context) {
	c.closed.Do(func() {
		if c.fake.stubborn {
			select {
			case <-c.fake.end:
			case <-ctx.Done():
			}
		}
		c.told.Do(func() { c.receiver.Closed(nil) })
		c.fake.gone()
	})
}

// die ends the connection from the server's side.
func (c *fakeConn) die(text string) {
	c.told.Do(func() { c.receiver.Closed(errors.New(text)) })
}

// speak is a message from the server.
func (c *fakeConn) speak() {
	msg := wire.Acquire(64)
	msg.B = append(msg.B, `{"jsonrpc":"2.0","method":"hello"}`...)
	var env wire.Envelope
	if err := env.Scan(msg.B); err != nil {
		panic(err)
	}
	c.receiver.Message(msg, &env)
}

// poolTest is a pool at work on a fake, in a bubble with a clock of its own.
type poolTest struct {
	*Pool
	fake     *fake
	restarts atomic.Int32
	stop     func()
}

func inPool(t *testing.T, f *fake, o PoolOptions, test func(t *testing.T, p *poolTest)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p := newPoolTest(f, o)
		test(t, p)
		p.stop()
		p.Close(context.Background())
		if _, alive := f.count(); alive != 0 {
			t.Errorf("%d servers are left over", alive)
		}
		p.wantCounts(t, 0, 0, 0, 0)
	})
}

func newPoolTest(f *fake, o PoolOptions) *poolTest {
	p := &poolTest{fake: f}
	f.end = make(chan struct{}) // in the bubble
	o.Restarted = func() { p.restarts.Add(1) }
	o.Log = zap.NewNop()
	o.Link = Options{CallTimeout: time.Hour, Dropped: func(string) {}}
	p.Pool = NewPool(f, o)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { p.Run(ctx) })
	p.stop = func() {
		cancel()
		running.Wait()
	}
	return p
}

func (p *poolTest) take(t *testing.T) *Link {
	t.Helper()
	l, err := p.Take(context.Background())
	if err != nil {
		t.Fatalf("Take: %v", err)
	}
	return l
}

func (p *poolTest) wantCounts(t *testing.T, starting, warm, active, closing int) {
	t.Helper()
	synctest.Wait()
	counts := p.Counts()
	got := [4]int{counts["starting"](), counts["warm"](), counts["active"](), counts["closing"]()}
	if want := [4]int{starting, warm, active, closing}; got != want {
		t.Errorf("starting, warm, active, closing: %v, want %v", got, want)
	}
}

func TestWarm(t *testing.T) {
	inPool(t, &fake{}, PoolOptions{Warm: 2, MaxLinks: 10, Wait: time.Second}, func(t *testing.T, p *poolTest) {
		p.wantCounts(t, 0, 2, 0, 0)
		one := p.take(t)
		p.wantCounts(t, 0, 1, 1, 0)
		if starts, _ := p.fake.count(); starts != 2 {
			t.Errorf("%d starts: a warm link was not used", starts)
		}
		two := p.take(t)
		if one == two {
			t.Error("a link was given out twice")
		}
		p.End(one, refusal.SessionEnd)
		p.End(one, refusal.SessionEnd)
		time.Sleep(rest)
		p.wantCounts(t, 0, 2, 1, 0)
		if n := p.restarts.Load(); n != 0 {
			t.Errorf("%d restarts", n)
		}
	})
}

// TestReplaced: while sessions begin, no link is started in place of those that
// were taken, unless fewer than half are left.
func TestReplaced(t *testing.T) {
	inPool(t, &fake{}, PoolOptions{Warm: 4, MaxLinks: 10, Wait: time.Second}, func(t *testing.T, p *poolTest) {
		p.wantCounts(t, 0, 4, 0, 0)
		p.take(t)
		time.Sleep(rest - time.Nanosecond)
		p.wantCounts(t, 0, 3, 1, 0)
		p.End(p.take(t), refusal.SessionEnd) // its end wakes Run
		time.Sleep(rest - time.Nanosecond)
		p.wantCounts(t, 0, 2, 1, 0)
		p.take(t)
		p.wantCounts(t, 0, 2, 2, 0) // one would be too few
		time.Sleep(rest - time.Nanosecond)
		p.wantCounts(t, 0, 2, 2, 0)
		time.Sleep(time.Nanosecond)
		p.wantCounts(t, 0, 4, 2, 0)
	})
}

// TestOnlyOneWarm: it is replaced like others, and who comes before that has a
// link started.
func TestOnlyOneWarm(t *testing.T) {
	inPool(t, &fake{}, PoolOptions{Warm: 1, MaxLinks: 10, Wait: time.Second}, func(t *testing.T, p *poolTest) {
		p.wantCounts(t, 0, 1, 0, 0)
		p.take(t)
		p.wantCounts(t, 0, 0, 1, 0)
		p.take(t)
		p.wantCounts(t, 0, 0, 2, 0)
		time.Sleep(rest)
		p.wantCounts(t, 0, 1, 2, 0)
	})
}

// TestTakeWarm: it neither starts a link nor overtakes those who wait for one.
func TestTakeWarm(t *testing.T) {
	inPool(t, &fake{}, PoolOptions{Warm: 1, MaxLinks: 10, Wait: time.Second}, func(t *testing.T, p *poolTest) {
		p.wantCounts(t, 0, 1, 0, 0)
		p.mu.Lock()
		waits := p.wait(0)
		p.mu.Unlock()
		if p.TakeWarm() != nil {
			t.Error("it has overtaken who waits")
		}
		p.unwait(waits)
		if p.TakeWarm() == nil || p.TakeWarm() != nil {
			t.Error("one link was warm")
		}
		p.wantCounts(t, 0, 0, 1, 0)
		time.Sleep(rest)
		p.wantCounts(t, 0, 1, 1, 0)
		p.Close(context.Background())
		if p.TakeWarm() != nil {
			t.Error("taken from a closed pool")
		}
	})
}

func TestCold(t *testing.T) {
	inPool(t, &fake{}, PoolOptions{MaxLinks: 2, Wait: time.Second}, func(t *testing.T, p *poolTest) {
		p.wantCounts(t, 0, 0, 0, 0)
		p.take(t)
		p.wantCounts(t, 0, 0, 1, 0)
	})
}

// TestPlaceOfTheDying: a place is free when nothing is left of its link, and
// not before.
func TestPlaceOfTheDying(t *testing.T) {
	f := &fake{stubborn: true}
	inPool(t, f, PoolOptions{Warm: 1, MaxLinks: 2, Wait: 10 * time.Second}, func(t *testing.T, p *poolTest) {
		p.take(t)
		two := p.take(t)
		p.End(two, refusal.SessionEnd)
		p.wantCounts(t, 0, 0, 1, 1)

		began := time.Now()
		_, err := p.Take(context.Background())
		if !errors.Is(err, ErrNoLinks) || !strings.Contains(err.Error(), "2 of 2") || !strings.Contains(err.Error(), "--max-links") {
			t.Errorf("Take: %v", err)
		}
		if waited := time.Since(began); waited != 10*time.Second {
			t.Errorf("Take waited %v", waited)
		}

		got := make(chan error)
		go func() {
			_, err := p.Take(context.Background())
			got <- err
		}()
		synctest.Wait()
		close(f.end)
		if err := <-got; err != nil {
			t.Errorf("Take, once the place is free: %v", err)
		}
		if f.most > 2 {
			t.Errorf("%d servers at once", f.most)
		}
	})
}

// TestTurns: who waited in vain, or leaves, loses nobody's turn.
func TestTurns(t *testing.T) {
	inPool(t, &fake{}, PoolOptions{MaxLinks: 1, Wait: time.Minute}, func(t *testing.T, p *poolTest) {
		held := p.take(t)
		const waiting = 5
		links := make(chan *Link, waiting)
		leave, left := context.WithCancel(context.Background())
		for range waiting {
			go func() {
				l, err := p.Take(context.Background())
				if err != nil {
					t.Error(err)
				}
				links <- l
			}()
			go func() {
				if _, err := p.Take(leave); err == nil {
					t.Error("a link was given to who had left")
				}
			}()
			synctest.Wait()
		}
		left()
		for range waiting {
			p.End(held, refusal.SessionEnd)
			held = <-links
		}
		p.End(held, refusal.SessionEnd)
		synctest.Wait()
		if len(p.waiters) != 0 {
			t.Errorf("%d wait for ever", len(p.waiters))
		}
	})
}

// TestCrashLoop: a server that dies unused again and again is started less and
// less often, makes the pool unready with its last words, and is forgiven when
// it lives.
func TestCrashLoop(t *testing.T) {
	var well atomic.Bool
	f := &fake{}
	f.born = func(c *fakeConn) {
		if !well.Load() {
			c.die("no API_KEY")
		}
	}
	inPool(t, f, PoolOptions{Warm: 1, MaxLinks: 3, Wait: time.Second}, func(t *testing.T, p *poolTest) {
		synctest.Wait()
		if err := p.Ready(); err != nil {
			t.Errorf("after one failure: %v", err)
		}
		// 0.1 + 0.2 + 0.4 + 0.8 s, each shorter by a quarter at most.
		time.Sleep(1600 * time.Millisecond)
		synctest.Wait()
		if err := p.Ready(); err == nil || !strings.Contains(err.Error(), "5 times") || !strings.Contains(err.Error(), "no API_KEY") {
			t.Errorf("after five: %v", err)
		}
		if _, err := p.Take(context.Background()); err == nil || errors.Is(err, ErrNoLinks) || !strings.Contains(err.Error(), "no API_KEY") {
			t.Errorf("Take in a crash loop: %v", err)
		}
		if starts, _ := f.count(); starts != 5 || p.restarts.Load() != 4 {
			t.Errorf("%d starts, %d restarts; want 5 and 4", starts, p.restarts.Load())
		}

		time.Sleep(time.Hour)
		first, _ := f.count()
		time.Sleep(time.Hour)
		second, _ := f.count()
		if n := second - first; n < 120 || n > 161 {
			t.Errorf("%d starts in an hour; want one in 22.5 to 30 s", n)
		}

		well.Store(true)
		time.Sleep(30*time.Second + soundAge + 2*time.Second)
		synctest.Wait()
		if err := p.Ready(); err != nil {
			t.Errorf("with a server that lives: %v", err)
		}
		p.take(t)
	})
}

// TestCrashLoopCold: a pool that is unready recovers without a caller, for it
// may get none.
func TestCrashLoopCold(t *testing.T) {
	f := &fake{open: func(_ context.Context, n int) error {
		if n <= crashLoop {
			return fmt.Errorf("start %d failed", n)
		}
		return nil
	}}
	inPool(t, f, PoolOptions{MaxLinks: 3, Wait: time.Second}, func(t *testing.T, p *poolTest) {
		for n := range crashLoop {
			if _, err := p.Take(context.Background()); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("start %d failed", n+1)) {
				t.Errorf("Take: %v", err)
			}
		}
		if p.Ready() == nil {
			t.Error("the pool is ready")
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if err := p.Ready(); err != nil {
			t.Errorf("a minute later: %v", err)
		}
	})
}

// TestAnswerForgives: a link that was used and has spoken clears the failures.
func TestAnswerForgives(t *testing.T) {
	f := &fake{open: func(_ context.Context, n int) error {
		if n < crashLoop {
			return errors.New("not yet")
		}
		return nil
	}}
	inPool(t, f, PoolOptions{MaxLinks: 3, Wait: time.Second}, func(t *testing.T, p *poolTest) {
		for range crashLoop - 1 {
			if _, err := p.Take(context.Background()); err == nil {
				t.Error("a link came of a start that failed")
			}
		}
		spoke := p.take(t)
		f.last().speak()
		p.End(spoke, refusal.SessionEnd)
		mute := p.take(t)
		f.last().die("the first failure again")
		p.End(mute, refusal.Ended)
		if p.failures != 1 {
			t.Errorf("%d failures in a row, want 1", p.failures)
		}
	})
}

// TestCallerLeaves: a start that its caller did not wait for says nothing about
// the server.
func TestCallerLeaves(t *testing.T) {
	f := &fake{open: func(ctx context.Context, _ int) error {
		<-ctx.Done()
		return ctx.Err()
	}}
	inPool(t, f, PoolOptions{MaxLinks: 3, Wait: time.Second}, func(t *testing.T, p *poolTest) {
		for range crashLoop {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			if _, err := p.Take(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Take: %v", err)
			}
			cancel()
		}
		if err := p.Ready(); err != nil {
			t.Error(err)
		}
	})
}

func TestClose(t *testing.T) {
	f := &fake{stubborn: true}
	const slow = time.Hour
	f.open = func(_ context.Context, n int) error {
		if n == 3 {
			time.Sleep(slow)
		}
		return nil
	}
	inPool(t, f, PoolOptions{Warm: 1, MaxLinks: 3, Wait: time.Minute}, func(t *testing.T, p *poolTest) {
		synctest.Wait()
		p.take(t)
		time.Sleep(rest)
		synctest.Wait()
		p.take(t)
		time.Sleep(rest)
		p.wantCounts(t, 1, 0, 2, 0)
		waiter := make(chan error)
		go func() {
			_, err := p.Take(context.Background())
			waiter <- err
		}()
		synctest.Wait()

		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		closed := make(chan struct{})
		go func() {
			defer close(closed)
			p.Close(ctx)
		}()
		if err := <-waiter; !errors.Is(err, ErrClosed) {
			t.Errorf("Take while the pool closes: %v", err)
		}
		p.wantCounts(t, 1, 0, 0, 2)
		time.Sleep(2 * time.Second) // servers that do not end are hurried
		p.wantCounts(t, 1, 0, 0, 0)
		time.Sleep(slow)
		<-closed
		if _, err := p.Take(context.Background()); !errors.Is(err, ErrClosed) {
			t.Errorf("Take from a closed pool: %v", err)
		}
	})
}

// TestCrowd: many take, use and end links whose servers die now and then; the
// bound holds and nothing is left.
func TestCrowd(t *testing.T) {
	f := &fake{}
	p := newPoolTest(f, PoolOptions{Warm: 2, MaxLinks: 8, Wait: time.Minute})
	var callers sync.WaitGroup
	for range 32 {
		callers.Go(func() {
			for range 100 {
				l, err := p.Take(context.Background())
				if err != nil {
					t.Errorf("Take: %v", err)
					return
				}
				c := l.conn.(*fakeConn)
				c.speak()
				if rand.IntN(4) == 0 {
					c.die("by accident")
				}
				p.End(l, refusal.SessionEnd)
			}
		})
	}
	callers.Wait()
	p.stop()
	p.Close(context.Background())
	if _, alive := f.count(); alive != 0 || f.most > 8 {
		t.Errorf("%d servers are left over, %d at most; want 0 and 8", alive, f.most)
	}
	for name, count := range p.Counts() {
		if n := count(); n != 0 {
			t.Errorf("%d links are %s", n, name)
		}
	}
}

// TestProcesses is a pool of real ones.
func TestProcesses(t *testing.T) {
	b, err := stdio.New(stdio.Config{Command: []string{"cat"}})
	if err != nil {
		t.Fatal(err)
	}
	p := NewPool(b, PoolOptions{Warm: 1, MaxLinks: 4, Wait: time.Minute, Restarted: func() {}, Log: zap.NewNop(), Link: Options{CallTimeout: time.Hour, Dropped: func(string) {}}})
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { p.Run(ctx) })
	var callers sync.WaitGroup
	for range 8 {
		callers.Go(func() {
			for range 5 {
				l, err := p.Take(context.Background())
				if err != nil {
					t.Errorf("Take: %v", err)
					return
				}
				p.End(l, refusal.SessionEnd)
			}
		})
	}
	callers.Wait()
	cancel()
	running.Wait()
	p.Close(context.Background())
	goleak.VerifyNone(t)
}
