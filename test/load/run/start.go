package run

import (
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"sidegate/test/load/drive"
	"sidegate/test/load/subject"
)

// sessionStart opens sessions, each with a process of its own behind it that
// was started ahead of need.
func sessionStart(ctx context.Context, b *Bench) error {
	list, err := b.start(
		func() (*subject.Subject, error) { return subject.Serve("plain") },
		func() (*subject.Subject, error) { return subject.Gate([]string{"--warm", "16"}, subject.Stdio()...) },
	)
	if err != nil {
		return err
	}
	defer stop(list)
	time.Sleep(time.Second) // until the pool is warm
	err = b.turns(list, func(round int, s *subject.Subject) error {
		report := drive.Starts(ctx, s.Door, 20, max(b.For, 2*time.Second))
		b.judge(s, &report.Balance)
		b.note(s, round, "median", "ms", report.Millis(50))
		b.note(s, round, "p99", "ms", report.Millis(99))
		return nil
	})
	b.atMost("median in ms", median(b.values("sidegate", "median")), 0.8)
	b.atMost("p99 to a bare HTTP server's", b.against("plain", "p99", "p99"), 2)
	return err
}

// idleGate looks at a gate that nobody uses.
func idleGate(ctx context.Context, b *Bench) error {
	for round := range b.Rounds {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		admin := subject.FreeAddr()
		start := time.Now()
		type ready struct {
			after time.Duration
			err   error
		}
		readiness := make(chan ready, 1)
		go func() {
			err := untilReady(admin)
			readiness <- ready{time.Since(start), err}
		}()
		gate, err := subject.Gate([]string{"--admin", admin}, subject.Stdio()...)
		if err != nil {
			return err
		}
		r := <-readiness
		time.Sleep(b.settle())
		b.note(gate, round, "resident", "MiB", float64(gate.Resident())/(1<<20))
		b.note(gate, round, "until it is ready", "ms", float64(r.after.Microseconds())/1000)
		if file, err := os.Stat(subject.Binary); err == nil {
			b.note(gate, round, "binary", "MiB", float64(file.Size())/(1<<20))
		}
		gate.Stop()
		if r.err != nil {
			return r.err
		}
	}
	b.atMost("MiB resident", median(b.values("sidegate", "resident")), 15)
	b.atMost("ms until it is ready", median(b.values("sidegate", "until it is ready")), 20)
	b.atMost("MiB of the binary", median(b.values("sidegate", "binary")), 20)
	return nil
}

// untilReady asks until the gate says that it is ready. It asks often, for
// what is measured is short, and gives up after ten seconds.
func untilReady(admin string) error {
	for start := time.Now(); time.Since(start) < 10*time.Second; time.Sleep(500 * time.Microsecond) {
		c, err := net.Dial("tcp", admin)
		if err != nil {
			continue
		}
		fmt.Fprintf(c, "GET /readyz HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", admin)
		c.SetReadDeadline(time.Now().Add(time.Second))
		answer := make([]byte, 64)
		n, _ := c.Read(answer)
		c.Close()
		if strings.HasPrefix(string(answer[:n]), "HTTP/1.1 200") {
			return nil
		}
	}
	return fmt.Errorf("the gate is not ready after ten seconds")
}
