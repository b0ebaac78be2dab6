package lines

import (
	"bytes"
	"io"
	"runtime"
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

// Writer is the way to the other side: a queue bounded in bytes and a goroutine
// that writes it, one that lends itself (wire.Host) or one of the connection's,
// which is there only while the queue is not empty. A waiting
// connection costs neither a goroutine nor a buffer, and what many callers send
// at a time leaves in few writes. Its methods may be called from any goroutine,
// once Init has returned.
type Writer struct {
	file  io.WriteCloser
	quick quick // file, nil where it cannot do that
	limit int   // bytes
	work  *sync.WaitGroup
	begin func()      // starts to flush on a goroutine that must not wait
	spawn func()      // flushes on a goroutine of the connection
	fail  func(error) // ends the connection

	// Of whoever is writing.
	broken bool           // a write has failed
	left   []*wire.Buffer // messages that begin has left
	owed   []byte         // bytes before them: of a message that is half written

	mu       sync.Mutex
	room     sync.Cond // something was written, or no more may be sent
	waiting  int       // how many wait for room
	queue    []*wire.Buffer
	spare    []*wire.Buffer // the queue before, for its memory
	queued   int            // bytes of memory in the messages not yet written
	writing  bool           // flush is running
	finished bool           // no more may be sent
	shut     bool           // file is closed
}

// quick is a file that can be written without waiting.
type quick interface {
	// WriteNow returns how much was taken at once, 0 where anything is wrong.
	WriteNow(p []byte) int
}

// Init makes w write to file, which it closes once when it is done with it.
// limit bounds the bytes of memory in messages that wait; a message that is
// larger still fits when nothing else waits. Whoever writes is counted in
// work. fail is called, at most once, when a write has failed that
// was not ended by Close.
func (w *Writer) Init(file io.WriteCloser, limit int, work *sync.WaitGroup, fail func(error)) {
	w.file, w.limit, w.work, w.fail = file, limit, work, fail
	w.quick, _ = file.(quick)
	w.room.L = &w.mu
	w.begin = w.writeSome // made once, so that a start allocates nothing
	flush := func() {
		defer work.Done()
		w.flush()
	}
	w.spawn = func() { go flush() }
}

// Send queues msg and sees to it that it is written, with a newline; it never
// blocks. It takes msg over, also when it fails with backend.ErrFull or
// backend.ErrClosed.
func (w *Writer) Send(msg *wire.Buffer) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.finished && !w.fits(msg) {
		msg.Release()
		return backend.ErrFull
	}
	return w.add(msg)
}

// SendWait is Send that waits for room, for the kind of reader that is to be
// slowed down to what the other side takes. It fails with backend.ErrClosed
// alone.
func (w *Writer) SendWait(msg *wire.Buffer) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for !w.finished && !w.fits(msg) {
		w.waiting++
		w.room.Wait()
		w.waiting--
	}
	return w.add(msg)
}

func (w *Writer) fits(msg *wire.Buffer) bool {
	return w.queued == 0 || w.queued+cap(msg.B) <= w.limit
}

// add queues msg, for which there is room.
func (w *Writer) add(msg *wire.Buffer) error {
	if w.finished {
		msg.Release()
		return backend.ErrClosed
	}
	w.queued += cap(msg.B)
	w.queue = append(w.queue, msg)
	if !w.writing {
		w.writing = true
		w.start(msg.Host)
	}
	return nil
}

// start has what is queued written: by the goroutine on which the message came
// where that lends itself, since a change of goroutines wakes a thread; else by
// one of the connection's. w.mu is held.
func (w *Writer) start(host *wire.Host) {
	w.work.Add(1)
	if w.quick == nil || !host.Take(w.begin) {
		w.spawn()
	}
}

// writeSome writes what the other side takes at once, on a goroutine that must
// not wait. The rest is for one that may.
func (w *Writer) writeSome() {
	runtime.Gosched() // see flush
	w.left = w.take()
	if !w.broken {
		w.writeNow()
	}
	if w.left == nil && w.owed == nil {
		more := w.take()
		if more == nil { // and from here on somebody else may be writing
			w.work.Done()
			return
		}
		w.left = more
	}
	w.spawn()
}

// writeNow writes what is left, if it goes out in one small write.
func (w *Writer) writeNow() {
	n, size := small(w.left)
	if n < len(w.left) {
		return
	}
	batch := w.join(w.left, size)
	defer batch.Release()
	if written := w.quick.WriteNow(batch.B); written < len(batch.B) {
		w.owed = bytes.Clone(batch.B[written:])
	}
	w.release(w.left)
	w.left = nil
}

// flush writes until the queue is empty. It gives way first: whoever is ready to
// send something does, and it goes out in the same write.
func (w *Writer) flush() {
	messages := w.left
	w.left = nil
	w.payOff()
	if messages == nil {
		runtime.Gosched()
		messages = w.take()
	}
	for ; messages != nil; messages = w.take() {
		for len(messages) > 0 {
			n, err := len(messages), error(nil)
			if !w.broken {
				n, err = w.write(messages)
			}
			if err != nil {
				w.failed(err)
			}
			w.release(messages[:n])
			messages = messages[n:]
		}
	}
}

// payOff writes the rest of what is half written.
func (w *Writer) payOff() {
	owed := w.owed
	w.owed = nil
	if len(owed) == 0 || w.broken {
		return
	}
	if _, err := w.file.Write(owed); err != nil {
		w.failed(err)
	}
}

// failed ends the writing after an error, and tells the connection of one that
// did not come from Close.
func (w *Writer) failed(err error) {
	w.mu.Lock()
	asked := w.shut
	w.broken = true
	w.refuse()
	w.shutFile()
	w.mu.Unlock()
	if !asked {
		w.fail(err)
	}
}

// take returns what is queued, nil when there is nothing and flush shall end.
// The slice is valid until the next call.
func (w *Writer) take() []*wire.Buffer {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.queue) == 0 {
		w.writing = false
		if w.finished {
			w.shutFile()
		}
		return nil
	}
	messages := w.queue
	w.queue, w.spare = w.spare[:0], messages
	if cap(messages) > keptQueue {
		w.spare = nil
	}
	return messages
}

// release ends messages and takes them off the count.
func (w *Writer) release(messages []*wire.Buffer) {
	size := 0
	for i, msg := range messages {
		size += cap(msg.B)
		msg.Release()
		messages[i] = nil
	}
	w.mu.Lock()
	w.queued -= size
	if w.waiting > 0 {
		w.room.Broadcast()
	}
	w.mu.Unlock()
}

// write writes the first n messages: as many small ones as go into a batch, or
// a single one from its own buffer.
func (w *Writer) write(messages []*wire.Buffer) (n int, err error) {
	n, size := small(messages)
	if n < 2 {
		return 1, w.writeOne(messages[0])
	}
	batch := w.join(messages[:n], size)
	defer batch.Release()
	_, err = w.file.Write(batch.B)
	return n, err
}

// small tells how many of the first messages go into one batch, and how large it
// will be.
func small(messages []*wire.Buffer) (n, size int) {
	for n < len(messages) && len(messages[n].B) < directSize && size+len(messages[n].B) < batchSize {
		size += len(messages[n].B) + 1
		n++
	}
	return n, size
}

// join returns messages in one buffer.
func (w *Writer) join(messages []*wire.Buffer, size int) *wire.Buffer {
	batch := wire.Acquire(size)
	for _, msg := range messages {
		batch.B = append(batch.B, msg.B...)
		batch.B = append(batch.B, '\n')
	}
	return batch
}

var newline = []byte{'\n'}

// writeOne writes one message, in one piece where its buffer has room for the
// newline.
func (w *Writer) writeOne(msg *wire.Buffer) error {
	if line := msg.B; len(line) < cap(line) {
		_, err := w.file.Write(append(line, '\n'))
		return err
	}
	if _, err := w.file.Write(msg.B); err != nil {
		return err
	}
	_, err := w.file.Write(newline)
	return err
}

// Finish lets no more be sent, and closes the file when the queue is written.
func (w *Writer) Finish() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.refuse()
	if !w.writing {
		w.shutFile()
	}
}

// Close closes the file now, which also ends a write that waits for the other
// side, if the file is one whose Close does that. What is queued is dropped.
func (w *Writer) Close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.refuse()
	w.shutFile()
}

func (w *Writer) refuse() {
	w.finished = true
	w.room.Broadcast()
}

func (w *Writer) shutFile() {
	if !w.shut {
		w.shut = true
		_ = w.file.Close()
	}
}
