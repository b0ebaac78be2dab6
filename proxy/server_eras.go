package proxy

import (
	"context"

	"sidegate/proxy/bridge/legacy"
	"sidegate/proxy/bridge/modern"
	"sidegate/proxy/cache"
	cachedesk "sidegate/proxy/cache/desk"
	"sidegate/proxy/era"
	"sidegate/proxy/mirror"
	"sidegate/proxy/share"
)

// A runner has something to do until ctx is done.
type runner interface{ Run(ctx context.Context) }

// joinEras builds what stands between clients and links of a server: for each
// pair of eras its own way, and in front of them who finds out which is which.
func (g *Gate) joinEras(s *server) {
	c := s.config
	direct := share.NewDirect(share.DirectOptions{
		Shared: c.Isolation == IsolationShared, Links: c.Links, Works: g.config.IdleTimeout, Asks: c.ParkTimeout, Dropped: g.dropped,
	}, s.pool)
	ofModern := mirror.New(g.cached(s, direct), mirror.Options{HTTP: s.forwards})
	ofLegacy, grouped := g.newSharers(s)
	finder := era.NewFinder(era.FinderOptions{
		Mode: c.Era, Pool: s.pool, Version: g.config.Version, Log: g.log, HTTP: s.forwards, Found: direct.Adopt,
	})
	s.bridge = g.newBridge(s, finder.Watch(grouped))
	s.eras = era.NewSwitch(era.Options{
		Finder: finder,
		Legacy: ofLegacy,
		LegacyOfModern: legacy.New(legacy.Options{
			Desk: ofModern, Name: c.Name, Sessions: c.Isolation == IsolationSession, Answers: c.CallTimeout, Budget: g.budget, Log: g.log, Dropped: g.dropped,
		}),
		Modern:         ofModern,
		ModernOfLegacy: mirror.New(s.bridge, mirror.Options{}),
		Eager:          c.Warm > 0 && !s.forwards, // who asks an HTTP server first may have what it lets clients in with
	})
}

// newSharers makes what gives legacy links to legacy clients, and to modern
// ones, who have no session that a link could be for.
func (g *Gate) newSharers(s *server) (sessions, modern share.Sharer) {
	c := s.config
	group := share.NewGroup(share.Options{
		Principal: c.Isolation != IsolationShared, Links: c.Links, Warm: c.Warm,
		Version: g.config.Version, Budget: g.budget, Dropped: g.dropped, Cache: g.newStore(s),
	}, s.pool)
	if c.Isolation != IsolationSession {
		return group, group
	}
	s.behind = append(s.behind, group)
	return share.NewOwn(s.pool), group
}

func (g *Gate) newBridge(s *server, links share.Sharer) *modern.Desk {
	c := s.config
	linger := g.config.IdleTimeout // the server keeps state for its caller, as it does for a session
	if c.Isolation == IsolationShared {
		linger = 0
	}
	return modern.New(modern.Options{
		Sharer: links, Everybody: c.Isolation == IsolationShared, Linger: linger, Version: g.config.Version, Keys: g.config.StateKeys, MaxParked: c.MaxParked, ParkTimeout: c.ParkTimeout,
		Residents: max(2, c.MaxLinks/2), // one that is not in use holds a link for a while
		Budget:    g.budget, Dropped: g.dropped,
	})
}

// newStore makes a store for what may be given to many, nil where none is
// wanted.
func (g *Gate) newStore(s *server) *cache.Store {
	if !s.config.Cache {
		return nil
	}
	store := cache.New(cache.Options{Budget: g.budget, Count: func(what string) { g.metrics.Cache.WithLabelValues(what).Inc() }})
	s.stores = append(s.stores, store)
	return store
}

// cached puts a store in front of a desk.
func (g *Gate) cached(s *server, desk share.Desk) share.Desk {
	if store := g.newStore(s); store != nil {
		return cachedesk.New(store, desk)
	}
	return desk
}
