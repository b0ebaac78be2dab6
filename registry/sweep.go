package registry

import (
	"context"
	"time"
)

// A round looks at every shard once. It takes a fraction of the shortest time
// that a value may live, so that what a dead session keeps busy (a child
// process) is given back soon after; and it has a floor and a ceiling, so that
// the sweeper neither spins nor sleeps for hours.
const (
	roundFraction = 32
	shortestRound = shardCount * time.Millisecond
	longestRound  = 30 * time.Second
)

// Run takes out what has expired and calls OnExpire for it, until ctx is done.
// The caller owns the goroutine; one is enough. Shard follows shard through the
// round, so no look-up ever waits for a walk over everything.
func (r *Registry[V]) Run(ctx context.Context) {
	ticks := time.NewTicker(r.round() / shardCount)
	defer ticks.Stop()
	for i := 0; ; i = (i + 1) % shardCount {
		select {
		case <-ctx.Done():
			return
		case <-ticks.C:
			r.sweep(&r.shards[i])
		}
	}
}

// round is how long the sweeper takes to look at every shard.
func (r *Registry[V]) round() time.Duration {
	round := longestRound
	for _, d := range []time.Duration{r.options.Idle, r.options.Lifetime} {
		if d > 0 {
			round = min(round, d/roundFraction)
		}
	}
	return max(round, shortestRound)
}

// sweep looks for what has expired with the read lock, which look-ups share,
// and takes each out with the write lock. OnExpire is called with neither.
func (r *Registry[V]) sweep(h *shard[V]) {
	for _, s := range r.stale(h) {
		if why, ended := r.expire(h, s); ended && r.options.OnExpire != nil {
			r.options.OnExpire(s.value, why)
		}
	}
}

// expire takes s out, unless it was found, held or removed since the snapshot.
func (r *Registry[V]) expire(h *shard[V], s *slot[V]) (why Reason, ended bool) {
	k := s.id.key()
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.slots[k] != s {
		return 0, false
	}
	if why, ended = r.expired(&s.Entry, r.clock.read()); ended {
		r.drop(h, k)
	}
	return why, ended
}

// stale is a snapshot of what seems to have expired in h.
func (r *Registry[V]) stale(h *shard[V]) []*slot[V] {
	var found []*slot[V]
	now := r.clock.read()
	h.mu.RLock()
	defer h.mu.RUnlock()
	for _, s := range h.slots {
		if _, ended := r.expired(&s.Entry, now); ended {
			found = append(found, s)
		}
	}
	return found
}

// expired tells whether e is past its time, and which one.
func (r *Registry[V]) expired(e *Entry, now time.Duration) (why Reason, ended bool) {
	if r.options.Lifetime > 0 && now-e.born >= r.options.Lifetime {
		return Lifetime, true
	}
	// holds before seen: Release writes them the other way round.
	if r.options.Idle > 0 && e.holds.Load() == 0 && now-e.seen.Load() >= r.options.Idle {
		return Idle, true
	}
	return 0, false
}
