package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"

	"github.com/spf13/pflag"

	"sidegate/proxy"
)

// An adminDoor is where a running gate's admin listener is, for the commands
// that ask it something. It is found where the gate itself finds it: flag,
// variable, file.
type adminDoor struct {
	settings *settings
	all      *pflag.FlagSet // the gate's
}

func newAdminDoor() *adminDoor {
	s := defaults()
	d := &adminDoor{settings: s, all: flagSet(s.groups())}
	d.all.Lookup("admin").Usage = "where the gate's admin listener is, HOST:PORT or unix:///PATH"
	d.all.Lookup("config").Usage = "read the address from the gate's YAML file"
	return d
}

// flags are those of the commands.
func (d *adminDoor) flags() *pflag.FlagSet {
	fs := newFlags()
	fs.AddFlag(d.all.Lookup("admin"))
	fs.AddFlag(d.all.Lookup("config"))
	return fs
}

// address is the listener's, with what the command line left open filled in
// from the environment and the file. What the gate would not start with is an
// error here too.
func (d *adminDoor) address(environ []string) (string, error) {
	r := &resolver{settings: d.settings, flags: d.all, where: map[string]string{}}
	r.apply(environSettings(environ, d.all, &r.found))
	if file := r.readFile(); file != nil {
		r.apply(file.settings)
	}
	address := d.settings.gate.Admin
	switch {
	case address == "off":
		r.found.add(r.place("admin"), `is "off": this gate has no admin listener to ask; SIGTERM drains it all the same`)
	case strings.HasPrefix(address, "fd://"):
		r.found.add(r.place("admin"), fmt.Sprintf("is %s, which only the gate can tell the meaning of; give --admin with the address of that socket", address))
	}
	if reason := proxy.CheckAddress(address); reason != "" && address != "off" {
		r.found.add(r.place("admin"), reason)
	}
	return address, r.found.err()
}

// maxAnswer is far more than a sentence for each server.
const maxAnswer = 64 << 10

// askAdmin makes a request of an admin listener, and returns the answer's status
// and what it says. It connects there and nowhere else: no proxy is used and no
// redirect followed.
func askAdmin(ctx context.Context, address, method, path string) (status int, said string, err error) {
	host, dial := reachable(address), dialTo("tcp", reachable(address))
	if socket, ok := strings.CutPrefix(address, "unix://"); ok {
		host, dial = "localhost", dialTo("unix", socket)
	}
	request, err := http.NewRequestWithContext(ctx, method, "http://"+host+path, nil)
	if err != nil {
		return 0, "", usageErrorf("--admin: must be HOST:PORT or unix:///PATH; it is %q", address)
	}
	transport := &http.Transport{DialContext: dial, DisableKeepAlives: true}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return 0, "", fmt.Errorf("no answer from %s: %w; is the gate running, and is this its --admin?", address, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	return response.StatusCode, strings.TrimSpace(string(body)), err
}

// dialTo connects to one place, whatever is asked for.
func dialTo(network, address string) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, address)
	}
}
