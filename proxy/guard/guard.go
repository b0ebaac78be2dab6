// Package guard says who may come in. Door is what a request passes before a
// byte of its body is read; Message is what each message passes once it has
// been. Both are plain functions that read top to bottom, because their order
// is the security.
//
// The guard decides and never answers: a refusal goes back to the caller, from
// the one table in package refusal. It holds no sessions and touches no body.
package guard

import (
	"net/netip"

	"go.uber.org/zap"

	"sidegate/limits"
)

// mostKeys bounds how many callers, and how many addresses, have their rate
// remembered: about 16 MiB each when full.
const mostKeys = 1 << 16

// Config is what the guard is told by flags of the same names.
type Config struct {
	// AllowHosts are Host names without a port that are served besides the
	// loopback ones. Where there are any, they are also asked for on addresses
	// other than loopback; see hosts.
	AllowHosts []string

	// AllowOrigins are SCHEME://HOST[:PORT], where HOST may start with "*.";
	// "*.example.com" alone is https. Empty: loopback origins only.
	AllowOrigins []string

	// TrustProxies are whose X-Forwarded-For is believed. Where there are any,
	// so is what comes through a Unix socket: its peers have no address, and
	// the socket's permissions say who they are.
	TrustProxies []netip.Prefix

	TokenFile    string  // "": no token is asked for
	Rate         float64 // requests a second for each caller; 0: no limit
	Burst        int     // requests a caller may send at once; 0: one second of Rate
	AddressRate  float64 // requests a second for each client address; 0: no limit
	AddressBurst int     // requests an address may send at once; 0: one second of AddressRate

	Log *zap.Logger // hears of the token file; nil: nobody does
}

// A Guard keeps the rules of one gate. Its methods may be called from any
// goroutine. It owns no goroutine, so there is nothing to close.
type Guard struct {
	hosts     hosts
	origins   origins
	proxies   []netip.Prefix
	tokens    *tokens // nil: no token is asked for
	callers   *limits.Rates[caller]
	addresses *limits.Rates[netip.Addr]
}

// A caller is who has a rate: the principal, or the address where there is
// none.
type caller struct {
	principal string
	address   netip.Addr
}

// New makes a guard. An error names the flag and the offending value.
func New(c Config) (*Guard, error) {
	g := &Guard{
		proxies:   c.TrustProxies,
		callers:   limits.NewRates[caller](c.Rate, c.Burst, mostKeys),
		addresses: limits.NewRates[netip.Addr](c.AddressRate, c.AddressBurst, mostKeys),
	}
	var err error
	if g.hosts, err = newHosts(c.AllowHosts); err != nil {
		return nil, err
	}
	if g.origins, err = newOrigins(c.AllowOrigins); err != nil {
		return nil, err
	}
	if c.TokenFile == "" {
		return g, nil
	}
	if c.Log == nil {
		c.Log = zap.NewNop()
	}
	if g.tokens, err = openTokens(c.TokenFile, c.Log); err != nil {
		return nil, err
	}
	return g, nil
}
