package stdio

import (
	"errors"
	"io"
	"os"
	"sync"

	"sidegate/proxy/backend"
	"sidegate/proxy/wire"
)

const (
	// batchSize is how many bytes of small messages go out in one write: what
	// a pipe holds, by default.
	batchSize = 64 << 10

	// directSize is the size in bytes from which a message is written from
	// its own buffer: copying it costs more than a system call.
	directSize = 16 << 10

	// keptQueue is how many places of an emptied queue are kept.
	keptQueue = 1024
)

// input is the way to the child's standard input: a queue bounded in bytes and
// a goroutine that writes it, which is there only while the queue is not
// empty. A waiting connection costs neither a goroutine nor a buffer, and what
// many callers send at a time leaves in few writes.
type input struct {
	file  io.WriteCloser
	limit int          // bytes
	spawn func()       // starts flush on a goroutine of the connection
	fail  func(string) // ends the connection

	mu       sync.Mutex
	queue    []*wire.Buffer
	spare    []*wire.Buffer // the queue before, for its memory
	queued   int            // bytes of memory in the messages not yet written
	writing  bool           // flush is running
	finished bool           // no more may be sent
	shut     bool           // file is closed
}

func (in *input) init(c *conn, file *os.File) {
	in.file = file
	in.limit = c.backend.config.MaxQueue
	in.fail = c.end
	flush := func() { // made once, so that starting it allocates nothing
		defer c.work.Done()
		in.flush()
	}
	in.spawn = func() {
		c.work.Add(1)
		go flush()
	}
}

// send queues msg and sees to it that it is written.
func (in *input) send(msg *wire.Buffer) error {
	size := cap(msg.B)
	in.mu.Lock()
	defer in.mu.Unlock()
	switch {
	case in.finished:
		msg.Release()
		return backend.ErrClosed
	case in.queued > 0 && in.queued+size > in.limit:
		msg.Release()
		return backend.ErrFull
	}
	in.queued += size
	in.queue = append(in.queue, msg)
	if !in.writing {
		in.writing = true
		in.spawn()
	}
	return nil
}

// flush writes until the queue is empty.
func (in *input) flush() {
	for messages := in.take(); messages != nil; messages = in.take() {
		for len(messages) > 0 {
			n, err := in.write(messages)
			if err != nil {
				in.close()
				if !errors.Is(err, os.ErrClosed) { // else it was the gate that closed it
					in.fail("closed its input")
				}
			}
			in.release(messages[:n])
			messages = messages[n:]
		}
	}
}

// take returns what is queued, nil when there is nothing and flush shall end.
// The slice is valid until the next call.
func (in *input) take() []*wire.Buffer {
	in.mu.Lock()
	defer in.mu.Unlock()
	if len(in.queue) == 0 {
		in.writing = false
		if in.finished {
			in.shutFile()
		}
		return nil
	}
	messages := in.queue
	in.queue, in.spare = in.spare[:0], messages
	if cap(messages) > keptQueue {
		in.spare = nil
	}
	return messages
}

// release ends messages and takes them off the count.
func (in *input) release(messages []*wire.Buffer) {
	size := 0
	for i, msg := range messages {
		size += cap(msg.B)
		msg.Release()
		messages[i] = nil
	}
	in.mu.Lock()
	in.queued -= size
	in.mu.Unlock()
}

// write writes the first n messages: as many small ones as go into a batch, or
// a single one from its own buffer.
func (in *input) write(messages []*wire.Buffer) (n int, err error) {
	size := 0
	for n < len(messages) && len(messages[n].B) < directSize && size+len(messages[n].B) < batchSize {
		size += len(messages[n].B) + 1
		n++
	}
	if n < 2 {
		return 1, in.writeOne(messages[0])
	}
	batch := wire.Acquire(size)
	defer batch.Release()
	for _, msg := range messages[:n] {
		batch.B = append(batch.B, msg.B...)
		batch.B = append(batch.B, '\n')
	}
	_, err = in.file.Write(batch.B)
	return n, err
}

var newline = []byte{'\n'}

// writeOne writes one message, in one piece where its buffer has room for the
// newline.
func (in *input) writeOne(msg *wire.Buffer) error {
	if line := msg.B; len(line) < cap(line) {
		_, err := in.file.Write(append(line, '\n'))
		return err
	}
	if _, err := in.file.Write(msg.B); err != nil {
		return err
	}
	_, err := in.file.Write(newline)
	return err
}

// finish lets no more be sent, and closes the file when the queue is written.
func (in *input) finish() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.finished = true
	if !in.writing {
		in.shutFile()
	}
}

// close closes the file now, which also ends a write that waits for the child.
func (in *input) close() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.finished = true
	in.shutFile()
}

func (in *input) shutFile() {
	if !in.shut {
		in.shut = true
		_ = in.file.Close()
	}
}
