package era

import (
	"context"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"

	"sidegate/proxy/backend/stdio"
	"sidegate/proxy/link"
	"sidegate/proxy/refusal"
)

// TestProcesses: the probe with child processes, which answer, refuse, keep
// silent, or die.
func TestProcesses(t *testing.T) {
	for _, test := range []struct {
		name, script string
		modern       bool
		links        int // that are handed on
	}{
		{"modern", `read x; echo '{"jsonrpc":"2.0","id":1,"result":{"supportedVersions":["2026-07-28"]}}'; exec cat >/dev/null`, true, 1},
		{"legacy", `read x; echo '{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"no"}}'; exec cat >/dev/null`, false, 0},
		{"silent until initialize", `read x; read x; echo '{"jsonrpc":"2.0","id":2,"result":{"protocolVersion":"2025-11-25"}}'; exec cat >/dev/null`, false, 0},
		{"no protocol at all", `read x; echo hello; exit 3`, false, 0},
		{"death", `read x; exit 1`, false, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b, err := stdio.New(stdio.Config{Command: []string{"sh", "-c", test.script}})
			if err != nil {
				t.Fatal(err)
			}
			pool := link.NewPool(b, link.PoolOptions{
				MaxLinks: 2, Wait: 10 * time.Second, Restarted: func() {}, Log: zap.NewNop(),
				Link: link.Options{CallTimeout: time.Minute, MaxMessage: 1 << 20, Dropped: func(string) {}},
			})
			var handed []*link.Link
			f := NewFinder(FinderOptions{Mode: Auto, Pool: pool, Version: "test", Log: zap.NewNop(), Found: func(l *link.Link) { handed = append(handed, l) }})
			ctx, stop := context.WithCancel(context.Background())
			var running sync.WaitGroup
			running.Go(func() { f.Run(ctx) })
			s, failed := f.Find(ctx, nil)
			if failed != nil || s.Modern != test.modern || s.Legacy == test.modern {
				t.Errorf("found %+v, failed %+v", s, failed)
			}
			if len(handed) != test.links {
				t.Errorf("%d links were handed on, want %d", len(handed), test.links)
			}
			for _, l := range handed {
				pool.End(l, refusal.Ended)
			}
			stop()
			running.Wait()
			pool.Close(context.Background())
		})
	}
}
