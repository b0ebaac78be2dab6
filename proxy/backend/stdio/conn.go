package stdio

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	"go.uber.org/zap"

	"sidegate/proxy/backend"
	"sidegate/proxy/backend/lines"
	"sidegate/proxy/rawio"
	"sidegate/proxy/wire"
)

// conn is one child. Its goroutines are read (standard output to receiver),
// relay (standard error to the log) and watch (waits for its death, clears up
// and is the last to end), flush while there is something to write, and stop
// while the child is being ended.
type conn struct {
	backend  *Backend
	receiver backend.Receiver
	log      *zap.Logger
	started  time.Time

	process *process
	input   lines.Writer
	stdout  output
	stderr  output
	words   lastWords

	mu     sync.Mutex
	ending bool   // stop was called, or the child is dead
	closed bool   // the owner called Close
	cause  string // why the gate ends it, completes "the tool server …"
	forced bool   // and had to send signals

	status    exitStatus    // of the child, valid once exited is closed
	exited    chan struct{} // the child is dead
	relayed   chan struct{} // its standard error was read to its end
	hurry     chan struct{} // an owner waits no longer: kill
	hurryOnce sync.Once
	stuck     chan struct{} // the system does not end the child, or what it left
	stuckOnce sync.Once
	gone      chan struct{} // nothing is left

	work sync.WaitGroup // all goroutines but watch
}

var _ backend.Conn = (*conn)(nil)

// start starts a child with its pipes and goroutines.
func start(ctx context.Context, b *Backend, r backend.Receiver) (*conn, error) {
	pipes, err := newPipes()
	if err != nil {
		return nil, fmt.Errorf("the tool server %q cannot be started: %w; raise the limit on open files (ulimit -n), or lower --max-links", b, err)
	}
	keep.hold()
	pid, mark, err := keep.start(ctx, b.path, b.config.Command, &os.ProcAttr{
		Dir:   b.config.Dir,
		Env:   b.env,
		Files: []*os.File{pipes.stdin.theirs, pipes.stdout.theirs, pipes.stderr.theirs},
		Sys:   attributes(),
	})
	pipes.closeTheirs()
	if err != nil {
		pipes.closeOurs()
		keep.release()
		return nil, fmt.Errorf("the tool server %q cannot be started: %w", b, explain(err))
	}
	c := &conn{
		backend:  b,
		receiver: r,
		log:      b.log.With(zap.Int("pid", pid)),
		started:  time.Now(),
		process:  &process{pid: pid, mark: mark, exit: newExitWait(pid)},
		stdout:   output{file: rawio.NewFile(pipes.stdout.ours)},
		stderr:   output{file: rawio.NewFile(pipes.stderr.ours)},
		exited:   make(chan struct{}),
		relayed:  make(chan struct{}),
		hurry:    make(chan struct{}),
		stuck:    make(chan struct{}),
		gone:     make(chan struct{}),
	}
	c.input.Init(rawio.NewFile(pipes.stdin.ours), b.config.MaxQueue, &c.work, func(error) { c.end("closed its input") })
	c.work.Go(c.read)
	c.work.Go(c.relay)
	go c.watch()
	return c, nil
}

// Send queues msg for the child's standard input; see backend.Conn.
func (c *conn) Send(msg *wire.Buffer) error { return c.input.Send(msg) }

// SendWait is Send that waits for room instead of failing with ErrFull, for a
// caller who is to be as slow as the child.
func (c *conn) SendWait(msg *wire.Buffer) error { return c.input.SendWait(msg) }

// Close ends the child and whatever it started; see backend.Conn. What was
// sent before is still written, if the child takes it in time. Where the
// system does not let go of a process that was killed, Close says so in the
// log and returns after all.
func (c *conn) Close(ctx context.Context) {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.end("")
	select {
	case <-c.gone:
		return
	case <-c.stuck:
		return
	case <-ctx.Done():
		c.hurryOnce.Do(func() { close(c.hurry) })
	}
	select {
	case <-c.gone:
	case <-c.stuck:
	}
}

// end makes the connection end, for cause if it is the first to say so.
func (c *conn) end(cause string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ending {
		return
	}
	c.ending = true
	c.cause = cause
	c.work.Go(c.stop)
}

// watch waits for the child's death, ends what it left behind, and takes
// everything down.
func (c *conn) watch() {
	c.status = c.process.exit.wait()
	c.mu.Lock()
	c.ending = true
	c.mu.Unlock()
	close(c.exited)

	c.input.Close()
	c.stdout.finish()
	c.stderr.finish()
	c.endLeftovers()
	c.work.Wait()

	c.process.reap()
	_ = c.stdout.file.Close()
	_ = c.stderr.file.Close()
	keep.release()
	close(c.gone)
}

// pipes are the three of a child.
type pipes struct {
	stdin, stdout, stderr pipe
}

// pipe has an end of ours, in Go's poller, and one of the child's. Neither
// passes to any other process.
type pipe struct {
	ours, theirs *os.File
}

func newPipes() (p pipes, err error) {
	if p.stdin.theirs, p.stdin.ours, err = os.Pipe(); err != nil {
		return p, err
	}
	if p.stdout.ours, p.stdout.theirs, err = os.Pipe(); err == nil {
		p.stderr.ours, p.stderr.theirs, err = os.Pipe()
	}
	if err != nil {
		p.closeOurs()
		p.closeTheirs()
	}
	return p, err
}

// Closing a nil file does nothing, and of a pipe nothing is to be learnt.

func (p *pipes) closeOurs() {
	_ = p.stdin.ours.Close()
	_ = p.stdout.ours.Close()
	_ = p.stderr.ours.Close()
}

func (p *pipes) closeTheirs() {
	_ = p.stdin.theirs.Close()
	_ = p.stdout.theirs.Close()
	_ = p.stderr.theirs.Close()
}
