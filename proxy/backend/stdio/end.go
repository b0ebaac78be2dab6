package stdio

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"time"

	"sidegate/proxy/backend/lines"
)

// EndError is what a Receiver's Closed gets when a connection ended that its
// owner did not close.
type EndError struct {
	Server    string        // name of the backend
	How       string        // completes "the tool server …"
	After     time.Duration // since its start
	LastWords []string      // its last lines on standard error, readable, oldest first
}

// Error is for the operator: it quotes the server's last words, which may hold
// what is nothing for a client to see.
func (e *EndError) Error() string {
	if len(e.LastWords) == 0 {
		return e.Brief() + "; it said nothing on its standard error"
	}
	return e.Brief() + "; its last words: " + strings.Join(e.LastWords, " | ")
}

// Brief is Error without the last words: what a client may be told.
func (e *EndError) Brief() string {
	return fmt.Sprintf("the tool server %q %s %.1fs after its start", e.Server, e.How, e.After.Seconds())
}

// explain says what to do about a start that failed, where that is known.
func explain(err error) error {
	switch {
	case errors.Is(err, syscall.ENOEXEC):
		return fmt.Errorf("%w; it is no program for this machine, or a script without #! in its first line", err)
	case errors.Is(err, syscall.ENOENT):
		return fmt.Errorf("%w; it or its working directory has been removed, or the interpreter in its first line does not exist", err)
	case errors.Is(err, syscall.EAGAIN):
		return fmt.Errorf("%w; raise the limit on processes (ulimit -u, pids.max), or lower --max-links", err)
	case errors.Is(err, syscall.E2BIG):
		return fmt.Errorf("%w; its arguments and --env are too long", err)
	}
	return err
}

const (
	keptWords = 20  // lines
	maxWords  = 240 // bytes of a line
)

// lastWords keeps the last lines of standard error. Its memory is made once.
type lastWords struct {
	mu   sync.Mutex
	kept [keptWords][]byte // raw: most lines are never looked at
	said int               // lines ever
}

func (w *lastWords) add(line []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	place := &w.kept[w.said%keptWords]
	*place = append((*place)[:0], line[:min(len(line), maxWords)]...)
	w.said++
}

// all returns the lines as readable text, oldest first.
func (w *lastWords) all() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var texts []string
	for i := max(0, w.said-keptWords); i < w.said; i++ {
		if text := lines.Sanitize(w.kept[i%keptWords]); len(text) > 0 {
			texts = append(texts, string(text))
		}
	}
	return texts
}
