//go:build linux

package chaos

import (
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// An entry of a ledger counts calls. A call is sent, and then ends as one of
// the others.
type entry int

const (
	sent    entry = iota
	right         // its own answer
	refused       // an error with a code and words
	cut           // its connection ended before the answer
	unsent        // there was nobody to connect to
	mute          // an error without a code or words
	wrong         // an answer that is not its own
	lost          // no answer, and no cut that would explain it
	ends          // end of the list of ends

	twice = ends     // answers to calls that had theirs
	late  = ends + 1 // calls that were due and not sent, since their caller was busy
	size  = ends + 2
)

// A ledger is what the callers of one process count in. It is a file that is
// mapped: what a process has written is there after it was killed.
type ledger [size]atomic.Int64

// openLedger maps the ledger in a file, which is made where there is none.
func openLedger(name string) (*ledger, error) {
	file, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if err := file.Truncate(int64(unsafe.Sizeof(ledger{}))); err != nil {
		return nil, err
	}
	mem, err := unix.Mmap(int(file.Fd()), 0, int(unsafe.Sizeof(ledger{})), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, err
	}
	return (*ledger)(unsafe.Pointer(&mem[0])), nil
}

func (l *ledger) add(e entry, n int64) { l[e].Add(n) }

func (l *ledger) read() (t tally) {
	for i := range l {
		t[i] = l[i].Load()
	}
	return t
}

// A tally is a ledger at some moment.
type tally [size]int64

func (t *tally) add(other tally) {
	for i, n := range other {
		t[i] += n
	}
}

// open is how many calls have not ended.
func (t *tally) open() int64 {
	n := t[sent]
	for e := sent + 1; e < ends; e++ {
		n -= t[e]
	}
	return n
}

func (t *tally) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "sent %d = answered %d + refused %d", t[sent], t[right], t[refused])
	for _, part := range []struct {
		n    int64
		name string
	}{
		{t[cut], "cut"}, {t[unsent], "not connected"}, {t.open(), "of killed clients"},
		{t[mute], "REFUSED WITHOUT A REASON"}, {t[wrong], "WRONG"}, {t[lost], "LOST"},
	} {
		if part.n != 0 {
			fmt.Fprintf(&b, " + %d %s", part.n, part.name)
		}
	}
	if t[twice] != 0 {
		fmt.Fprintf(&b, "; TWICE %d", t[twice])
	}
	if t[late] != 0 {
		fmt.Fprintf(&b, "; %d were due and not sent", t[late])
	}
	return b.String()
}
