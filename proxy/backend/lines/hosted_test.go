package lines

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"sidegate/proxy/backend"
	"sidegate/proxy/backend/contract"
	"sidegate/proxy/wire"
)

// quickFile takes as much at once as now says, and everything from a write that
// may wait.
type quickFile struct {
	now func(size int) int

	mu     sync.Mutex
	got    strings.Builder
	writes int // that might have waited
	closed bool
}

func (f *quickFile) WriteNow(p []byte) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return 0
	}
	n := min(f.now(len(p)), len(p))
	f.got.Write(p[:n])
	return n
}

func (f *quickFile) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return 0, backend.ErrClosed
	}
	f.writes++
	f.got.Write(p)
	return len(p), nil
}

func (f *quickFile) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	return nil
}

func newQuickWriter(now func(int) int) (*testWriter, *quickFile) {
	f, w := &quickFile{now: now}, &testWriter{}
	w.Init(f, 64<<20, &w.work, func(err error) { w.failures = append(w.failures, err) })
	return w, f
}

// hosted is a message whose request lends its goroutine.
func hosted(text string) (*wire.Buffer, *wire.Host) {
	msg, host := contract.Message(text), &wire.Host{}
	msg.Host = host
	return msg, host
}

// TestHosted: the goroutine on which a message came writes what is queued, and
// leaves to another one what it would have to wait for.
func TestHosted(t *testing.T) {
	long := strings.Repeat("l", directSize)
	for name, row := range map[string]struct {
		now    int // bytes taken at once
		more   []string
		writes int
	}{
		"all at once":          {now: 1 << 20},
		"and what was queued":  {now: 1 << 20, more: []string{"b", "c"}},
		"half of it":           {now: 3, writes: 1},
		"nothing":              {now: 0, writes: 1},
		"half of what is more": {now: 9, more: []string{"b", "c"}, writes: 1},
		"a large one":          {now: 1 << 20, more: []string{long}, writes: 2},
	} {
		t.Run(name, func(t *testing.T) {
			w, f := newQuickWriter(func(int) int { return row.now })
			msg, host := hosted("message")
			want := "message\n"
			if err := w.Send(msg); err != nil {
				t.Fatal(err)
			}
			for _, text := range row.more {
				want += text + "\n"
				if err := w.Send(contract.Message(text)); err != nil {
					t.Fatal(err)
				}
			}
			if f.got.Len() > 0 {
				t.Error("it was written before the host served")
			}
			host.Serve()
			w.work.Wait()
			if got := f.got.String(); got != want || f.writes != row.writes {
				t.Errorf("%d bytes of %d came, or others; %d writes that may wait, and not %d", len(got), len(want), f.writes, row.writes)
			}
			if w.queued != 0 || w.writing {
				t.Errorf("%d bytes are queued, writing: %v", w.queued, w.writing)
			}
		})
	}
}

// TestHostedAndClosed: what was not written when the file was closed ends, and so
// does the work.
func TestHostedAndClosed(t *testing.T) {
	w, f := newQuickWriter(func(size int) int { return size })
	msg, host := hosted("message")
	if err := w.Send(msg); err != nil {
		t.Fatal(err)
	}
	w.Close()
	host.Serve()
	w.work.Wait()
	if f.got.Len() > 0 || len(w.failures) > 0 || w.queued != 0 {
		t.Errorf("written %q, failures %v, queued %d", f.got.String(), w.failures, w.queued)
	}
	if msg, host := hosted("late"); w.Send(msg) == nil {
		t.Error("it takes messages after its end")
	} else if host.Serve(); f.got.Len() > 0 {
		t.Error("and writes them")
	}
}

// TestFinishWaitsForAHost: the file is closed when everything is written.
func TestFinishWaitsForAHost(t *testing.T) {
	w, f := newQuickWriter(func(size int) int { return size / 2 })
	msg, host := hosted("message")
	if err := w.Send(msg); err != nil {
		t.Fatal(err)
	}
	w.Finish()
	if f.closed {
		t.Error("it was closed too early")
	}
	host.Serve()
	w.work.Wait()
	if f.got.String() != "message\n" || !f.closed {
		t.Errorf("written %q, closed: %v", f.got.String(), f.closed)
	}
}

// TestHostsTogether: whoever writes, and whatever is taken at once, all messages
// come whole, and those of one sender in their order.
func TestHostsTogether(t *testing.T) {
	const senders, each = 8, 500
	w, f := newQuickWriter(func(size int) int { return rand.IntN(2 * size) })
	var sending sync.WaitGroup
	for s := range senders {
		sending.Go(func() {
			for i := range each {
				msg, host := hosted(fmt.Sprintf("%d %d %s", s, i, strings.Repeat("x", rand.IntN(300))))
				if i%3 == 0 {
					msg.Host = nil
				}
				if w.Send(msg) != nil {
					t.Error("it is full")
				}
				host.Serve()
			}
		})
	}
	sending.Wait()
	w.work.Wait()
	var next [senders]int
	for line := range strings.Lines(f.got.String()) {
		var s, i int
		if _, err := fmt.Sscanf(line, "%d %d", &s, &i); err != nil || strings.Trim(strings.TrimSpace(line[strings.LastIndex(line, " ")+1:]), "x") != "" || next[s] != i {
			t.Fatalf("%q of sender %d, of whom message %d was next", line, s, next[s])
		}
		next[s]++
	}
	if next != [senders]int{each, each, each, each, each, each, each, each} {
		t.Errorf("messages of each: %v", next)
	}
}
