package link

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"sidegate/proxy/refusal"
)

// loop makes the pool's starts fail until it is in a crash loop.
func (p *poolTest) loop(t *testing.T) {
	t.Helper()
	for range crashLoop {
		if _, err := p.Take(context.Background()); err == nil {
			t.Fatal("a start that fails gave a link")
		}
	}
	if p.Ready() == nil {
		t.Fatal("the pool is ready")
	}
}

// failing is a backend whose starts fail while told to.
func failing() (*fake, *atomic.Bool) {
	var fails atomic.Bool
	return &fake{open: func(context.Context, int) error {
		if fails.Load() {
			return errors.New("does not start")
		}
		return nil
	}}, &fails
}

// TestNoWait: that nobody waits for a place does not mean that a start gets no
// time.
func TestNoWait(t *testing.T) {
	f := &fake{open: func(ctx context.Context, _ int) error {
		select {
		case <-time.After(time.Second):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}}
	inPool(t, f, PoolOptions{MaxLinks: 1}, func(t *testing.T, p *poolTest) {
		p.take(t)
		began := time.Now()
		if _, err := p.Take(context.Background()); !errors.Is(err, ErrNoLinks) {
			t.Errorf("Take: %v", err)
		}
		if waited := time.Since(began); waited != 0 {
			t.Errorf("Take waited %v", waited)
		}
	})
}

// TestStartTimeout: a start that takes too long is a failure of the server's.
func TestStartTimeout(t *testing.T) {
	f := &fake{open: func(ctx context.Context, _ int) error {
		<-ctx.Done()
		return ctx.Err()
	}}
	inPool(t, f, PoolOptions{MaxLinks: 1, Wait: time.Second}, func(t *testing.T, p *poolTest) {
		began := time.Now()
		if _, err := p.Take(context.Background()); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Take: %v", err)
		}
		if took := time.Since(began); took != startTimeout || p.failures != 1 {
			t.Errorf("after %v: %d failures, want 1 after %v", took, p.failures, startTimeout)
		}
	})
}

// TestCloseEndsStarts: nobody waits for a start that nobody wants any more, and
// it is no failure.
func TestCloseEndsStarts(t *testing.T) {
	f := &fake{open: func(ctx context.Context, _ int) error {
		<-ctx.Done()
		return ctx.Err()
	}}
	inPool(t, f, PoolOptions{Warm: 1, MaxLinks: 2, Wait: time.Second}, func(t *testing.T, p *poolTest) {
		p.wantCounts(t, 1, 0, 0, 0)
		taken := make(chan error, 1)
		go func() {
			_, err := p.Take(context.Background())
			taken <- err
		}()
		p.wantCounts(t, 2, 0, 0, 0)
		began := time.Now()
		p.Close(context.Background())
		if took := time.Since(began); took != 0 {
			t.Errorf("Close took %v", took)
		}
		if err := <-taken; !errors.Is(err, ErrClosed) {
			t.Errorf("Take: %v", err)
		}
		if p.failures != 0 {
			t.Errorf("%d failures", p.failures)
		}
	})
}

// TestForgiving: what makes up for failures, and when: not only at the end of
// a session, which may last for a day.
func TestForgiving(t *testing.T) {
	for _, c := range []struct {
		name  string
		ready bool
		then  func(t *testing.T, p *poolTest, old *Link)
	}{
		{"a new link answers", true, func(t *testing.T, p *poolTest, old *Link) {
			p.take(t)
			p.fake.last().speak()
		}},
		{"a new link lives", true, func(t *testing.T, p *poolTest, old *Link) {
			p.take(t)
			time.Sleep(soundAge)
		}},
		{"a new link says nothing yet", false, func(t *testing.T, p *poolTest, old *Link) {
			p.take(t)
		}},
		{"a link from before the failures ends", false, func(t *testing.T, p *poolTest, old *Link) {
			p.End(old, refusal.SessionEnd)
		}},
		{"a new link answers, dies and is ended", true, func(t *testing.T, p *poolTest, old *Link) {
			l := p.take(t)
			p.fake.last().speak()
			p.fake.last().die("later")
			p.End(l, refusal.Ended)
			if p.failures != 0 {
				t.Errorf("%d failures", p.failures)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, fails := failing()
			inPool(t, f, PoolOptions{MaxLinks: 5, Wait: time.Second}, func(t *testing.T, p *poolTest) {
				p.stop() // so that all links are the test's
				old := p.take(t)
				f.last().speak()
				time.Sleep(time.Second)
				fails.Store(true)
				p.loop(t)
				fails.Store(false)
				time.Sleep(longBackoff) // a start is allowed again
				c.then(t, p, old)
				if err := p.Ready(); (err == nil) != c.ready {
					t.Errorf("Ready: %v", err)
				}
			})
		})
	}
}

// TestOneTryAtATime: in a crash loop one start stands for all who would start
// one.
func TestOneTryAtATime(t *testing.T) {
	f, fails := failing()
	inPool(t, f, PoolOptions{MaxLinks: 50, Wait: time.Second}, func(t *testing.T, p *poolTest) {
		fails.Store(true)
		p.loop(t)
		p.stop() // so that the tries are the takers'
		fails.Store(false)
		before, _ := f.count()
		time.Sleep(longBackoff)
		var takers sync.WaitGroup
		for range 20 {
			takers.Go(func() { _, _ = p.Take(context.Background()) })
		}
		takers.Wait()
		if after, _ := f.count(); after != before+1 {
			t.Errorf("%d starts at once, want 1", after-before)
		}
	})
}

// TestWarmInACrashLoop: a link that is there is given out, whatever became of
// others.
func TestWarmInACrashLoop(t *testing.T) {
	f, fails := failing()
	inPool(t, f, PoolOptions{Warm: 1, MaxLinks: 10, Wait: time.Second}, func(t *testing.T, p *poolTest) {
		p.wantCounts(t, 0, 1, 0, 0)
		fails.Store(true)
		p.mu.Lock()
		for range crashLoop {
			p.failed(errors.New("another one"))
		}
		p.mu.Unlock()
		p.take(t)
		if _, err := p.Take(context.Background()); err == nil || errors.Is(err, ErrNoLinks) {
			t.Errorf("Take: %v", err)
		}
	})
}

// TestQueue: who waits is served in turn, and who comes does not overtake them.
func TestQueue(t *testing.T) {
	inPool(t, &fake{}, PoolOptions{MaxLinks: 1, Wait: time.Minute}, func(t *testing.T, p *poolTest) {
		held := p.take(t)
		type served struct {
			who  string
			link *Link
		}
		got := make(chan served)
		take := func(who string) {
			go func() {
				l, err := p.Take(context.Background())
				if err != nil {
					t.Error(err)
				}
				got <- served{who, l}
			}()
			synctest.Wait()
		}
		take("one")
		take("two")
		p.mu.Lock()
		p.wake() // for nothing: there is no place
		p.mu.Unlock()
		synctest.Wait()
		take("three")
		var order []string
		for range 3 {
			p.End(held, refusal.SessionEnd)
			s := <-got
			order, held = append(order, s.who), s.link
		}
		if want := []string{"one", "two", "three"}; !slices.Equal(order, want) {
			t.Errorf("served %v, want %v", order, want)
		}
	})
}

// TestQueueGetsWarmLinks: who waits is served by what Run has started as well.
func TestQueueGetsWarmLinks(t *testing.T) {
	f := &fake{open: func(context.Context, int) error { time.Sleep(time.Second); return nil }}
	inPool(t, f, PoolOptions{Warm: 1, MaxLinks: 1, Wait: time.Minute}, func(t *testing.T, p *poolTest) {
		p.wantCounts(t, 1, 0, 0, 0)
		began := time.Now()
		p.take(t)
		if waited := time.Since(began); waited != time.Second {
			t.Errorf("Take waited %v", waited)
		}
	})
}

// TestTurnPassesOn: when the one whose turn it is cannot be served, the others
// hear of it too and do not wait for nothing.
func TestTurnPassesOn(t *testing.T) {
	f, fails := failing()
	inPool(t, f, PoolOptions{MaxLinks: 1, Wait: time.Hour}, func(t *testing.T, p *poolTest) {
		held := p.take(t)
		fails.Store(true)
		const waiting = 10
		got := make(chan error, waiting)
		for range waiting {
			go func() {
				_, err := p.Take(context.Background())
				got <- err
			}()
		}
		synctest.Wait()
		began := time.Now()
		p.End(held, refusal.SessionEnd)
		for n := range waiting {
			if err := <-got; err == nil || !strings.Contains(err.Error(), "does not start") {
				t.Errorf("Take %d: %v", n, err)
			}
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("the last heard of it after %v", took)
		}
		if starts, _ := f.count(); starts != 1+crashLoop {
			t.Errorf("%d starts, want %s", starts, fmt.Sprint(1+crashLoop))
		}
	})
}
