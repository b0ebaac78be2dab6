package rawio

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// end is what a Conn and a File have in common.
type end interface {
	io.ReadWriteCloser
	SetReadDeadline(time.Time) error
	SetWriteDeadline(time.Time) error
}

// pair is a way in and a way out of one kind; out goes to in.
type pair struct{ in, out end }

func sockets(t *testing.T, network, address string) pair {
	ln, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	out, err := net.Dial(network, ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	in, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return pair{NewConn(in), NewConn(out)}
}

func each(t *testing.T, test func(t *testing.T, p pair)) {
	kinds := map[string]func(t *testing.T) pair{
		"tcp":  func(t *testing.T) pair { return sockets(t, "tcp", "127.0.0.1:0") },
		"unix": func(t *testing.T) pair { return sockets(t, "unix", t.TempDir()+"/s") },
		"pipe": func(t *testing.T) pair {
			in, out, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			quickIn, quickOut := NewFile(in), NewFile(out)
			if !quickIn.quick || !quickOut.quick {
				t.Fatal("a pipe of package os need not block, and is taken for one that does")
			}
			return pair{quickIn, quickOut}
		},
	}
	for name, make := range kinds {
		t.Run(name, func(t *testing.T) {
			p := make(t)
			defer p.in.Close()
			defer p.out.Close()
			test(t, p)
		})
	}
}

// TestWhole: what goes in comes out, in pieces of all sizes, and then the end.
func TestWhole(t *testing.T) {
	each(t, func(t *testing.T, p pair) {
		sent := make([]byte, 3<<20)
		_, _ = rand.Read(sent)
		go func() {
			rest := sent
			for size := 1; len(rest) > 0; size = size*3 + 1 {
				if size > 4*most {
					size = 1
				}
				n, err := p.out.Write(rest[:min(size, len(rest))])
				if err != nil || n != min(size, len(rest)) {
					t.Errorf("wrote %d of %d bytes, %v", n, size, err)
					break
				}
				rest = rest[n:]
			}
			p.out.Close()
		}()
		got, err := io.ReadAll(p.in)
		if err != nil || !bytes.Equal(got, sent) {
			t.Errorf("%d of %d bytes came, or others; %v", len(got), len(sent), err)
		}
		if n, err := p.in.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
			t.Errorf("after the end: %d, %v", n, err)
		}
	})
}

// TestDeadline: a read and a write that have to wait do so until their deadline,
// and what was written until then is counted.
func TestDeadline(t *testing.T) {
	each(t, func(t *testing.T, p pair) {
		_ = p.in.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
		if _, err := p.in.Read(make([]byte, 10)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the read: %v", err)
		}
		_ = p.in.SetReadDeadline(time.Time{})
		total := 0
		for {
			_ = p.out.SetWriteDeadline(time.Now().Add(10 * time.Millisecond))
			n, err := p.out.Write(make([]byte, most))
			if total += n; err == nil {
				continue
			}
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("the write: %v", err)
			}
			break
		}
		p.out.Close()
		if n, err := io.Copy(io.Discard, p.in); err != nil || n != int64(total) {
			t.Errorf("%d bytes came, and %d were written, %v", n, total, err)
		}
	})
}

// TestClose: closing ends a read and a write that wait, in the words that the
// packages net and os have for it.
func TestClose(t *testing.T) {
	each(t, func(t *testing.T, p pair) {
		ends := make(chan error, 1)
		closed := func(what string, e end) {
			t.Helper()
			time.Sleep(10 * time.Millisecond) // it waits, or will find e closed: both must do
			e.Close()
			if err := <-ends; !errors.Is(err, net.ErrClosed) && !errors.Is(err, os.ErrClosed) {
				t.Errorf("%s: %v", what, err)
			}
		}
		go func() {
			var err error
			for err == nil {
				_, err = p.out.Write(make([]byte, most))
			}
			ends <- err
		}()
		closed("the write that waited", p.out)
		if _, err := io.Copy(io.Discard, p.in); err != nil {
			t.Error(err)
		}
		again := sockets(t, "tcp", "127.0.0.1:0")
		defer again.out.Close()
		go func() {
			_, err := again.in.Read(make([]byte, 10))
			ends <- err
		}()
		closed("the read that waited", again.in)
	})
}

// TestGone: a write to who is gone fails with what the system says.
func TestGone(t *testing.T) {
	each(t, func(t *testing.T, p pair) {
		p.in.Close()
		var err error
		for tries := 0; err == nil && tries < 1000; tries++ {
			if _, err = p.out.Write([]byte("hello?")); err == nil {
				time.Sleep(time.Millisecond)
			}
		}
		if !errors.Is(err, syscall.EPIPE) && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("the write: %v", err)
		}
		var op *net.OpError
		var path *os.PathError
		if !errors.As(err, &op) && !errors.As(err, &path) {
			t.Errorf("%v does not say on what it failed", err)
		}
	})
}

// TestTogether: as in package net, several may write at a time, and each write
// goes out in one piece.
func TestTogether(t *testing.T) {
	each(t, func(t *testing.T, p pair) {
		const writers, size = 8, 1 << 12
		var writing sync.WaitGroup
		for i := range writers {
			writing.Go(func() {
				for range 50 {
					if _, err := p.out.Write(bytes.Repeat([]byte{byte(i)}, size)); err != nil {
						t.Error(err)
					}
				}
			})
		}
		go func() { writing.Wait(); p.out.Close() }()
		for piece := make([]byte, size); ; {
			if _, err := io.ReadFull(p.in, piece); err != nil {
				if !errors.Is(err, io.EOF) {
					t.Error(err)
				}
				return
			}
			if !bytes.Equal(piece, bytes.Repeat(piece[:1], size)) {
				t.Fatal("two writes are mixed")
			}
		}
	})
}

// TestBlocking: what blocks goes the ordinary way, or it would stop others.
func TestBlocking(t *testing.T) {
	var fds [2]int
	if err := syscall.Pipe(fds[:]); err != nil {
		t.Fatal(err)
	}
	in, out := os.NewFile(uintptr(fds[0]), "in"), os.NewFile(uintptr(fds[1]), "out")
	defer in.Close()
	if quick := NewFile(in); quick.quick {
		t.Error("a pipe that blocks is taken for one that does not")
	} else if _, err := fmt.Fprint(NewFile(out), "hello"); err != nil {
		t.Error(err)
	} else if out.Close(); true {
		if got, err := io.ReadAll(quick); string(got) != "hello" || err != nil {
			t.Errorf("read %q, %v", got, err)
		}
	}
}

// TestAllocations: a call allocates nothing.
func TestAllocations(t *testing.T) {
	each(t, func(t *testing.T, p pair) {
		b := make([]byte, 100)
		if n := testing.AllocsPerRun(100, func() {
			if _, err := p.out.Write(b); err != nil {
				t.Fatal(err)
			}
			if n := p.out.(interface{ WriteNow([]byte) int }).WriteNow(b); n != len(b) {
				t.Fatal("it was not taken at once")
			}
			for range 2 {
				if _, err := io.ReadFull(p.in, b); err != nil {
					t.Fatal(err)
				}
			}
		}); n > 0 {
			t.Errorf("%v allocations for two writes and two reads", n)
		}
	})
}

// TestOther: a connection without a descriptor comes back as it is.
func TestOther(t *testing.T) {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	if NewConn(a) != a {
		t.Error("a connection without a descriptor is taken for one with")
	}
}
