package stdio

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"

	"sidegate/proxy/backend"
	"sidegate/proxy/wire"
)

// slowFile takes a write when the test lets it.
type slowFile struct {
	writes chan string
	err    error

	once   sync.Once
	closed chan struct{}
}

func newSlowFile() *slowFile {
	return &slowFile{writes: make(chan string), closed: make(chan struct{})}
}

func (f *slowFile) Write(p []byte) (int, error) {
	if f.err != nil {
		return 0, f.err
	}
	select {
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

// testInput is an input with a file of the test's, without a connection.
type testInput struct {
	input
	work   sync.WaitGroup
	failed []string
}

func newTestInput(f *slowFile, limit int) *testInput {
	in := &testInput{input: input{file: f, limit: limit}}
	in.spawn = func() { in.work.Go(in.flush) }
	in.fail = func(cause string) { in.failed = append(in.failed, cause) }
	return in
}

// exactly is a buffer without room for another byte.
func exactly(text string) *wire.Buffer {
	msg := message(text)
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
			in := newTestInput(f, 1<<30)
			// The first keeps the writer waiting until all are queued.
			if err := in.send(message("first")); err != nil {
				t.Fatal(err)
			}
			eventually(t, "the writer has taken the first", func() bool {
				in.mu.Lock()
				defer in.mu.Unlock()
				return len(in.queue) == 0
			})
			for _, text := range test.messages {
				if err := in.send(message(text)); err != nil {
					t.Fatal(err)
				}
			}
			for i, want := range append([]string{"first\n"}, test.writes...) {
				if got := <-f.writes; got != want {
					t.Errorf("write %d is %d bytes, want %d", i, len(got), len(want))
				}
			}
			in.finish()
			in.work.Wait()
			<-f.closed
			if in.queued != 0 || len(in.failed) != 0 {
				t.Errorf("%d bytes queued, failed %q", in.queued, in.failed)
			}
		})
	}
}

// batchEnd is where the first batch of these lines ends.
func batchEnd(lines string) int {
	return strings.LastIndexByte(lines[:batchSize], '\n') + 1
}

// TestNoRoomForNewline: the buffer is somebody's to the last byte.
func TestNoRoomForNewline(t *testing.T) {
	f := newSlowFile()
	in := newTestInput(f, 1<<30)
	if err := in.send(exactly("text")); err != nil {
		t.Fatal(err)
	}
	if got := <-f.writes + <-f.writes; got != "text\n" {
		t.Errorf("written: %q", got)
	}
	in.close()
	in.work.Wait()
}

func TestLimitIsMemory(t *testing.T) {
	in := newTestInput(newSlowFile(), 10<<10)
	sent := 0
	for in.send(message("{}")) == nil {
		sent++
	}
	if sent != 10 {
		t.Errorf("%d short messages of 1 KiB of memory fit into 10 KiB", sent)
	}
	in.close()
	in.work.Wait()
	if in.queued != 0 {
		t.Errorf("%d bytes are still counted", in.queued)
	}
}

func TestWriteFails(t *testing.T) {
	f := newSlowFile()
	f.err = syscall.EPIPE
	in := newTestInput(f, 1<<30)
	for range 10 {
		_ = in.send(message("text"))
	}
	in.work.Wait()
	<-f.closed
	if in.queued != 0 || len(in.failed) != 1 || in.failed[0] != "closed its input" {
		t.Errorf("%d bytes queued, failed %q", in.queued, in.failed)
	}
	if err := in.send(message("text")); !errors.Is(err, backend.ErrClosed) {
		t.Errorf("send: %v", err)
	}
}
