package proxy

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"sidegate/limits"
	"sidegate/proxy/refusal"
	"sidegate/proxy/stream"
)

// Listen opens the listeners, or where the configuration says fd://NAME takes
// the one of inherited, which belong to the gate from here on. One that nothing
// takes is an error: who connects there would wait for ever. The error says
// which listener it is about and why.
func (g *Gate) Listen(inherited map[string]net.Listener) error {
	for name := range inherited {
		if at := inheritedScheme + name; at != g.config.Listen && at != g.config.Admin {
			return fmt.Errorf("a socket named %q was passed to this process, and nothing takes it: give --listen %s or --admin %[2]s, or do not pass it", name, at)
		}
	}
	ln, err := listen("listen", g.config.Listen, inherited)
	if err != nil {
		return err
	}
	if g.config.Admin != "off" {
		if g.adminLn, err = listen("admin", g.config.Admin, inherited); err != nil {
			_ = ln.Close()
			return err
		}
		g.adminLn = &listener{Listener: g.adminLn, slots: limits.NewSlots(adminConnections), refused: g.refused}
	}
	g.listener = &listener{Listener: ln, slots: g.sockets, refused: g.refused}
	return nil
}

// adminConnections is more than probes and scrapers need.
const adminConnections = 64

// Address is where clients are served, with the real port: HOST:PORT or
// unix:///PATH.
func (g *Gate) Address() string { return address(g.listener) }

// AdminAddress is the same for the admin listener, "off" where there is none.
func (g *Gate) AdminAddress() string {
	if g.adminLn == nil {
		return "off"
	}
	return address(g.adminLn)
}

func address(ln net.Listener) string {
	if a := ln.Addr(); a.Network() == "unix" {
		return "unix://" + a.String()
	}
	return ln.Addr().String()
}

// inheritedScheme begins an address that names a socket which whoever started
// the process has opened.
const inheritedScheme = "fd://"

// inherit finds the listener of that name.
func inherit(flag, name string, inherited map[string]net.Listener) (net.Listener, error) {
	if ln, ok := inherited[name]; ok {
		return ln, nil
	}
	passed := "none was"
	if len(inherited) > 0 {
		passed = "passed were: " + strings.Join(slices.Sorted(maps.Keys(inherited)), ", ")
	}
	return nil, fmt.Errorf("--%s: no socket named %q was passed to this process, %s; in a systemd socket unit FileDescriptorName= is the name", flag, name, passed)
}

func listen(flag, where string, inherited map[string]net.Listener) (net.Listener, error) {
	if name, ok := strings.CutPrefix(where, inheritedScheme); ok {
		return inherit(flag, name, inherited)
	}
	network := "tcp"
	if path, ok := strings.CutPrefix(where, "unix://"); ok {
		network, where = "unix", path
		if err := removeStale(path); err != nil {
			return nil, fmt.Errorf("--%s: cannot listen on unix://%s: %w", flag, path, err)
		}
	}
	ln, err := net.Listen(network, where)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("--%s: %s is in use by another program; choose another address, or port 0 for any free one", flag, where)
	}
	if err != nil {
		return nil, fmt.Errorf("--%s: cannot listen on %s: %w", flag, where, err)
	}
	return ln, nil
}

// removeStale removes the socket that a gate left behind which was killed:
// nobody answers on it. Whatever else stands at the path stays, and is an error.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return nil //nolint:nilerr // nothing is there, or net.Listen says why it cannot be reached
	}
	if info.Mode()&os.ModeSocket == 0 {
		return errors.New("something that is no socket stands there; remove it, or choose another path")
	}
	c, err := net.DialTimeout("unix", path, time.Second)
	if errors.Is(err, syscall.ECONNREFUSED) {
		return os.Remove(path)
	}
	if err == nil {
		_ = c.Close()
		return errors.New("another program is listening there")
	}
	return fmt.Errorf("a socket is there already: %w", err)
}

// A listener counts connections and refuses those past the limit.
type listener struct {
	net.Listener
	slots   *limits.Slots
	refused func(*refusal.Refusal)
}

// Accept returns the next connection that there is room for.
func (l *listener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			if errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) {
				time.Sleep(10 * time.Millisecond) // descriptors come back when connections end
				continue
			}
			if errors.Is(err, syscall.ECONNABORTED) {
				continue
			}
			return nil, err
		}
		if l.slots.TryAcquire() {
			return stream.NewSocket(c, l.slots.Release), nil
		}
		l.refuse(c)
	}
}

// refuse answers a connection that there is no room for. The short answer fits
// into the socket's buffer, so nobody is waited for.
func (l *listener) refuse(c net.Conn) {
	r := refusal.Connections
	l.refused(r)
	body := r.AppendJSON(nil, nil)
	_ = c.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
	_, _ = fmt.Fprintf(c, "HTTP/1.1 %d Service Unavailable\r\nContent-Type: application/json\r\nRetry-After: %d\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s",
		r.Status, r.RetrySeconds(), len(body), body)
	_ = c.Close()
}
