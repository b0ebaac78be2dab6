package lines

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"sidegate/proxy/backend"
	"sidegate/proxy/backend/contract"
	"sidegate/proxy/wire"
)

// slowFile takes a write when the test lets it.
type slowFile struct {
	writes chan string
	fail   chan error
	err    error
	tried  int // writes

	once   sync.Once
	closed chan struct{}
}

func newSlowFile() *slowFile {
	return &slowFile{writes: make(chan string), fail: make(chan error), closed: make(chan struct{})}
}

func (f *slowFile) Write(p []byte) (int, error) {
	f.tried++
	if f.err != nil {
		return 0, f.err
	}
	select {
	case err := <-f.fail:
		return 0, err
	case f.writes <- string(p):
		return len(p), nil
	case <-f.closed:
		return 0, os.ErrClosed
	}
}

func (f *slowFile) Close() error {
	f.once.Do(func() { close(f.closed) })
	return nil
}

// testWriter is a writer to a file of the test's, without a connection.
type testWriter struct {
	Writer
	work     sync.WaitGroup
	failures []error
}

func newTestWriter(f *slowFile, limit int) *testWriter {
	w := &testWriter{}
	w.Init(f, limit, &w.work, func(err error) { w.failures = append(w.failures, err) })
	return w
}

// exactly is a buffer without room for another byte.
func exactly(text string) *wire.Buffer {
	msg := contract.Message(text)
	msg.B = msg.B[:len(text):len(text)]
	return msg
}

func TestWrites(t *testing.T) {
	large := strings.Repeat("l", directSize)
	many := make([]string, 1000)
	for i := range many {
		many[i] = fmt.Sprintf("message %d of a hundred bytes %s", i, strings.Repeat(".", 70))
	}
	all := strings.Join(many, "\n") + "\n"
	tests := []struct {
		name     string
		messages []string
		writes   []string
	}{
		{"one", []string{"a"}, []string{"a\n"}},
		{"small ones go together", []string{"a", "b", "c"}, []string{"a\nb\nc\n"}},
		{"a large one goes alone", []string{"a", "b", large, "c"}, []string{"a\nb\n", large + "\n", "c\n"}},
		{"a batch is bounded", many, []string{all[:batchEnd(all)], all[batchEnd(all):]}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := newSlowFile()
			w := newTestWriter(f, 1<<30)
			// The first keeps the writer waiting until all are queued.
			if err := w.Send(contract.Message("first")); err != nil {
				t.Fatal(err)
			}
			contract.Eventually(t, "the writer has taken the first", func() bool {
				w.mu.Lock()
				defer w.mu.Unlock()
				return len(w.queue) == 0
			})
			for _, text := range test.messages {
				if err := w.Send(contract.Message(text)); err != nil {
					t.Fatal(err)
				}
			}
			for i, want := range append([]string{"first\n"}, test.writes...) {
				if got := <-f.writes; got != want {
					t.Errorf("write %d is %d bytes, want %d", i, len(got), len(want))
				}
			}
			w.Finish()
			w.work.Wait()
			<-f.closed
			if w.queued != 0 || len(w.failures) != 0 {
				t.Errorf("%d bytes queued, failures %v", w.queued, w.failures)
			}
		})
	}
}

// countingFile counts writes.
type countingFile struct{ writes, bytes int }

func (f *countingFile) Write(p []byte) (int, error) {
	f.writes++
	f.bytes += len(p)
	return len(p), nil
}

func (f *countingFile) Close() error { return nil }

// TestSendersTogether: what many callers have ready goes out in few system
// calls, though each of them waits for its answer as soon as it has sent.
func TestSendersTogether(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	const senders = 32
	f := &countingFile{}
	w := &Writer{}
	var work, sent sync.WaitGroup
	w.Init(f, 1<<20, &work, func(err error) { t.Error(err) })
	for range senders {
		sent.Go(func() {
			if err := w.Send(contract.Message("call")); err != nil {
				t.Error(err)
			}
		})
	}
	sent.Wait()
	work.Wait()
	if f.bytes != senders*len("call\n") || f.writes > senders/4 {
		t.Errorf("%d bytes in %d writes for %d senders", f.bytes, f.writes, senders)
	}
}

// batchEnd is where the first batch of these lines ends.
func batchEnd(lines string) int {
	return strings.LastIndexByte(lines[:batchSize], '\n') + 1
}

// TestNoRoomForNewline: the buffer is somebody's to the last byte.
func TestNoRoomForNewline(t *testing.T) {
	f := newSlowFile()
	w := newTestWriter(f, 1<<30)
	if err := w.Send(exactly("text")); err != nil {
		t.Fatal(err)
	}
	if got := <-f.writes + <-f.writes; got != "text\n" {
		t.Errorf("written: %q", got)
	}
	w.Close()
	w.work.Wait()
}

func TestLimitIsMemory(t *testing.T) {
	w := newTestWriter(newSlowFile(), 10<<10)
	sent := 0
	for w.Send(contract.Message("{}")) == nil {
		sent++
	}
	if sent != 10 {
		t.Errorf("%d short messages of 1 KiB of memory fit into 10 KiB", sent)
	}
	w.Close()
	w.work.Wait()
	if w.queued != 0 {
		t.Errorf("%d bytes are still counted", w.queued)
	}
}

func TestWriteFails(t *testing.T) {
	f := newSlowFile()
	f.err = syscall.EPIPE
	w := newTestWriter(f, 1<<30)
	for range 10 {
		_ = w.Send(contract.Message("text"))
	}
	w.work.Wait()
	<-f.closed
	if w.queued != 0 || len(w.failures) != 1 || w.failures[0] != syscall.EPIPE {
		t.Errorf("%d bytes queued, failures %v", w.queued, w.failures)
	}
	if err := w.Send(contract.Message("text")); !errors.Is(err, backend.ErrClosed) {
		t.Errorf("Send: %v", err)
	}
}

// TestSendWait: who waits is let in when something was written, and let go when
// the writer ends.
func TestSendWait(t *testing.T) {
	f := newSlowFile()
	w := newTestWriter(f, 2<<10) // two short messages
	const messages = 50
	sent := make(chan error)
	go func() {
		for range messages {
			sent <- w.SendWait(contract.Message("{}"))
		}
		close(sent)
	}()
	written := 0
	for err := range sentAndWritten(sent, f, &written) {
		if err != nil {
			t.Fatalf("SendWait: %v", err)
		}
	}
	for written < messages {
		written += strings.Count(<-f.writes, "\n")
	}
	w.work.Wait()
	if w.queued != 0 {
		t.Errorf("%d bytes are still counted", w.queued)
	}

	for range 2 { // one is being written, so the queue stays full
		if err := w.SendWait(contract.Message("{}")); err != nil {
			t.Fatal(err)
		}
	}
	ended := make(chan error, 1)
	go func() { ended <- w.SendWait(contract.Message("{}")) }()
	contract.Eventually(t, "the third one waits", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.waiting == 1
	})
	w.Close()
	if err := <-ended; !errors.Is(err, backend.ErrClosed) {
		t.Errorf("SendWait: %v, want %v", err, backend.ErrClosed)
	}
	w.work.Wait()
}

// sentAndWritten yields what sent has, and reads what is written meanwhile.
func sentAndWritten(sent <-chan error, f *slowFile, written *int) func(func(error) bool) {
	return func(yield func(error) bool) {
		for {
			select {
			case err, ok := <-sent:
				if !ok || !yield(err) {
					return
				}
			case text := <-f.writes:
				*written += strings.Count(text, "\n")
			}
		}
	}
}

// TestFailsOnce: what is queued behind a write that failed is not tried, and
// the connection hears of it once.
func TestFailsOnce(t *testing.T) {
	f := newSlowFile()
	w := newTestWriter(f, 1<<30)
	for range 3 {
		if err := w.Send(contract.Message(strings.Repeat("l", directSize))); err != nil {
			t.Fatal(err)
		}
	}
	<-f.writes // the first one
	f.fail <- syscall.EPIPE
	w.work.Wait()
	if len(w.failures) != 1 || f.tried != 2 || w.queued != 0 {
		t.Errorf("%d failures, %d writes, %d bytes queued", len(w.failures), f.tried, w.queued)
	}
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
