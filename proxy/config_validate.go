package proxy

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"sidegate/proxy/guard"
)

// A FlagError is one value of a Config that cannot be used.
type FlagError struct {
	Backend string // whose value it is; "" for the gate's own
	Flag    string // without the dashes, as in the file
	Reason  string // what is allowed, and what was given
}

func (e *FlagError) Error() string {
	if e.Backend != "" {
		return fmt.Sprintf("backends.%s.%s %s", e.Backend, e.Flag, e.Reason)
	}
	return fmt.Sprintf("--%s %s", e.Flag, e.Reason)
}

// Validate returns all that is wrong with c, joined; each part is a *FlagError.
// It looks at nothing but c: whether a file can be read, a port is free or a
// command exists shows when it is used.
func (c *Config) Validate() error {
	var errs []error
	add := func(flag, reason string) {
		if reason != "" {
			errs = append(errs, &FlagError{Flag: flag, Reason: reason})
		}
	}
	c.validateListeners(add)
	add("public-url", checkPublicURL(c.PublicURL))
	c.validateGuard(add)
	c.validateLimits(add)
	c.validateSessions(add)
	errs = append(errs, c.validateBackends()...)
	return errors.Join(errs...)
}

func (c *Config) validateListeners(add func(flag, reason string)) {
	add("listen", CheckAddress(c.Listen))
	if c.Admin == "off" {
		return
	}
	if CheckAddress(c.Admin) != "" {
		add("admin", fmt.Sprintf(`must be HOST:PORT, unix:///PATH, fd://NAME or "off"; it is %q`, c.Admin))
	} else if c.Admin == c.Listen && !strings.HasSuffix(c.Listen, ":0") {
		add("admin", fmt.Sprintf("must differ from --listen; both are %q", c.Admin))
	} else if overlap(c.Admin, c.Listen) {
		add("admin", fmt.Sprintf("must have another port than --listen, since one of them takes it on all addresses; they are %q and %q", c.Admin, c.Listen))
	}
}

// overlap tells whether one of two addresses takes the port of the other on all
// addresses of the host. It is no matter for sockets, nor for port 0.
func overlap(a, b string) bool {
	hostA, portA, errA := net.SplitHostPort(a)
	hostB, portB, errB := net.SplitHostPort(b)
	return errA == nil && errB == nil && portA == portB && portA != "0" && (everywhere(hostA) || everywhere(hostB))
}

// everywhere is true for 0.0.0.0 too: net.Listen takes IPv6 with it.
func everywhere(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "" || err == nil && ip.Unmap().IsUnspecified()
}

func (c *Config) validateGuard(add func(flag, reason string)) {
	for _, h := range c.AllowHosts {
		add("allow-host", askGuard("allow-host", guard.Config{AllowHosts: []string{h}}))
	}
	for _, o := range c.AllowOrigins {
		add("allow-origin", askGuard("allow-origin", guard.Config{AllowOrigins: []string{o}}))
	}
	add("rate", checkRate(c.Rate))
	add("burst", checkBurst(c.Burst, c.Rate, "rate"))
	add("address-rate", checkRate(c.AddressRate))
	add("address-burst", checkBurst(c.AddressBurst, c.AddressRate, "address-rate"))
}

func (c *Config) validateLimits(add func(flag, reason string)) {
	add("max-message", checkSize(int64(c.MaxMessage), 1<<10, 1<<30))
	add("max-header", checkSize(int64(c.MaxHeader), 1<<10, 1<<20))
	if c.MaxBytesInFlight < int64(c.MaxMessage) {
		add("max-bytes-in-flight", fmt.Sprintf("must be at least --max-message, %d bytes; it is %d", c.MaxMessage, c.MaxBytesInFlight))
	}
	add("max-connections", checkCount(c.MaxConnections, 1))
	add("header-timeout", checkTimeout(c.HeaderTimeout))
	add("body-timeout", checkTimeout(c.BodyTimeout))
	add("write-timeout", checkTimeout(c.WriteTimeout))
}

func (c *Config) validateSessions(add func(flag, reason string)) {
	add("idle-timeout", checkTimeout(c.IdleTimeout))
	add("session-lifetime", checkTimeout(c.SessionLifetime))
	add("keep-alive", checkTimeout(c.KeepAlive))
	add("replay-events", checkCount(c.ReplayEvents, 0))
	add("replay-bytes", checkSize(int64(c.ReplayBytes), 0, 1<<30))
	add("grace", checkWait(c.Grace))
	add("drain-delay", checkWait(c.DrainDelay))
}

// The checks below return what is allowed and what was given, or "".

// CheckAddress is about where a listener may be.
func CheckAddress(s string) string {
	bad := fmt.Sprintf("must be HOST:PORT, unix:///PATH or fd://NAME; it is %q", s)
	if name, ok := strings.CutPrefix(s, inheritedScheme); ok {
		if name == "" || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == ':' || r == '/' }) {
			return bad
		}
		return ""
	}
	if path, ok := strings.CutPrefix(s, "unix://"); ok {
		if !strings.HasPrefix(path, "/") || len(path) < 2 || strings.ContainsRune(path, 0) {
			return bad
		}
		return ""
	}
	host, port, err := net.SplitHostPort(s)
	if err != nil || strings.ContainsAny(host, "/ \x00") {
		return bad
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return bad
	}
	return ""
}

// checkPublicURL takes what a client could be pointed at, to which paths are
// appended.
func checkPublicURL(s string) string {
	if s == "" {
		return ""
	}
	u, err := url.Parse(s)
	if err == nil && u.User != nil {
		return "must not hold a user or a password: every client is told it"
	}
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" {
		return fmt.Sprintf("must be http://HOST[:PORT][/PATH] or https://…, without a query; it is %q", s)
	}
	return ""
}

// askGuard lets the guard judge what it is going to read: its rules stand in
// one place.
func askGuard(flag string, c guard.Config) string {
	if _, err := guard.New(c); err != nil {
		return strings.TrimPrefix(err.Error(), "--"+flag+" ")
	}
	return ""
}

func checkRate(perSecond float64) string {
	if perSecond >= 0 && perSecond <= 1e9 {
		return ""
	}
	return fmt.Sprintf("must be requests a second, or 0 for no limit; it is %g", perSecond)
}

func checkBurst(n int, rate float64, rateFlag string) string {
	if n > 0 && rate == 0 {
		return "means nothing without --" + rateFlag
	}
	return checkCount(n, 0)
}

func checkSize(n, least, most int64) string {
	if n >= least && n <= most {
		return ""
	}
	return fmt.Sprintf("must be from %d to %d bytes; it is %d", least, most, n)
}

func checkCount(n, least int) string {
	if n >= least && n <= 1<<30 {
		return ""
	}
	return fmt.Sprintf("must be at least %d and at most %d; it is %d", least, 1<<30, n)
}

// checkTimeout refuses zero: nothing in the gate waits without a bound.
func checkTimeout(d time.Duration) string {
	if d >= time.Millisecond && d <= maxTimeout {
		return ""
	}
	return fmt.Sprintf("must be from 1ms to %s; it is %s", maxTimeout, d)
}

// checkWait is checkTimeout for what may also be no time at all.
func checkWait(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return checkTimeout(d)
}

// maxTimeout keeps sums with a time of day far from overflow.
const maxTimeout = 10_000 * time.Hour
