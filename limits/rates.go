package limits

import (
	"fmt"
	"hash/maphash"
	"math"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Shards are as many as give each a fair number of keys, and no more than this.
const (
	mostShards   = 64
	keysPerShard = 64
)

// longestRetry bounds what Allow asks a caller to wait.
const longestRetry = time.Hour

// Rates says how often each key may have something: a token bucket a key, for
// many goroutines.
//
// It remembers a bounded number of keys; the least recently used of its shard
// gives way to a new one, and starts with a full bucket when it comes back.
// For a key that was away for as long as its bucket takes to fill, forgetting
// changes nothing. To be forgotten sooner takes others: whoever commands so
// many keys that the table turns over can have a burst from each of them, and
// could have had that in a table without end. The other choice, refusing new
// keys while the table is full, would let the same crowd lock everybody out.
type Rates[K comparable] struct {
	limit  rate.Limit
	burst  int
	seed   maphash.Seed
	shards []rateShard[K]
}

// A rateShard keeps its buckets in a ring in the order of their use: next of
// root is the one used last, previous of root the one to give way.
type rateShard[K comparable] struct {
	mu      sync.Mutex
	buckets map[K]*bucket[K]
	root    bucket[K]
	most    int
	_       [64]byte // neighbours' locks are on other cache lines
}

type bucket[K comparable] struct {
	key            K
	limiter        *rate.Limiter
	next, previous *bucket[K]
}

// NewRates makes a table of at most maxKeys keys that may each have perSecond
// a second, and burst at once; 0 for perSecond: no limit; 0 for burst: what
// fills in a second, at least one.
func NewRates[K comparable](perSecond float64, burst, maxKeys int) *Rates[K] {
	if !(perSecond >= 0) || burst < 0 || maxKeys < 1 {
		panic(fmt.Sprintf("BUG: a rate of %g, a burst of %d, %d keys", perSecond, burst, maxKeys))
	}
	if burst == 0 {
		burst = int(min(max(1, math.Ceil(perSecond)), math.MaxInt32))
	}
	r := &Rates[K]{limit: rate.Limit(perSecond), burst: burst, seed: maphash.MakeSeed()}
	r.shards = make([]rateShard[K], min(mostShards, max(1, maxKeys/keysPerShard)))
	for i := range r.shards {
		s := &r.shards[i]
		s.buckets = make(map[K]*bucket[K])
		s.root.next, s.root.previous = &s.root, &s.root
		s.most = maxKeys / len(r.shards)
	}
	return r
}

// Allow takes one from key's bucket. Where there is none, it takes nothing and
// says how long to wait for one. It does not allocate for a key that it knows.
func (r *Rates[K]) Allow(key K, now time.Time) (ok bool, retry time.Duration) {
	if r.limit == 0 {
		return true, 0
	}
	s := &r.shards[maphash.Comparable(r.seed, key)%uint64(len(r.shards))]
	s.mu.Lock()
	defer s.mu.Unlock()
	l := r.use(s, key).limiter
	if l.AllowN(now, 1) {
		return true, 0
	}
	seconds := (1 - l.TokensAt(now)) / float64(r.limit)
	return false, time.Duration(math.Ceil(min(seconds, longestRetry.Seconds()) * float64(time.Second)))
}

// use finds key's bucket, or makes it, and puts it first. The caller holds s's
// lock.
func (r *Rates[K]) use(s *rateShard[K], key K) *bucket[K] {
	b := s.buckets[key]
	if b == nil {
		if len(s.buckets) >= s.most {
			s.forget(s.root.previous)
		}
		b = &bucket[K]{key: key, limiter: rate.NewLimiter(r.limit, r.burst)}
		s.buckets[key] = b
	} else {
		b.unlink()
	}
	b.previous, b.next = &s.root, s.root.next
	b.previous.next, b.next.previous = b, b
	return b
}

func (s *rateShard[K]) forget(b *bucket[K]) {
	b.unlink()
	delete(s.buckets, b.key)
}

func (b *bucket[K]) unlink() {
	b.previous.next, b.next.previous = b.next, b.previous
}

// Len is how many keys are remembered. It walks over the shards.
func (r *Rates[K]) Len() int {
	n := 0
	for i := range r.shards {
		s := &r.shards[i]
		s.mu.Lock()
		n += len(s.buckets)
		s.mu.Unlock()
	}
	return n
}

// AddressKey is the part of an address that stands for one client. Of IPv6 it
// is the /64, which one host has to itself and can change addresses in at
// will. An IPv4 address in IPv6 clothes is the IPv4 address.
func AddressKey(a netip.Addr) netip.Addr {
	a = a.Unmap()
	if a.Is6() {
		p, _ := a.WithZone("").Prefix(64) // fails for more than 128 bits only
		return p.Addr()
	}
	return a
}
