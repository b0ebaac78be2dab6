//go:build linux

package chaos

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"

	"sidegate/test/e2e/harness"
)

// The tool servers behind a gate: a stdio server whose links all share, one of
// which each session has its own, and one that listens.
const (
	sharedServer = "shared"
	ownServer    = "own"
	webServer    = "web"
)

var servers = []string{sharedServer, ownServer, webServer}

// The processes of each stdio server that are kept ready, and those of the
// shared one that each kind of client shares, legacy and modern.
const (
	warm  = 2
	links = 4
)

// A bed is a gate with all that stands round it:
//
//	crews ─[ front ]─ gate ─┬─ children
//	                        └─ back ── web
type bed struct {
	t     *testing.T
	dir   string
	plan  plan
	gate  *harness.Gate
	front *toxiproxy.Proxy
	back  *toxiproxy.Proxy
	web   *web
	crews []*crew
	group *group // for the gate's memory; nil where the plan has none
	cuts  int64  // calls that may have been under way on connections which were cut

	watch  watch
	before map[string]tally // of each server, before the fault
	log    *disk            // where the gate logs to; nil: into its handle
}

// A plan says how a bed is made.
type plan struct {
	// The crews come through the front. Where the fault is elsewhere they do
	// not: toxiproxy takes a connection away as soon as one end has closed its
	// half, and what the gate says at the end of one may be lost there.
	front bool

	loud  bool // the stdio servers talk on stderr
	full  bool // the gate logs to a disk that can be filled
	clock bool // the gate has a clock that can be set
	small bool // the gate has little memory

	only []string // the servers that have clients, if not all of them
	far  bool     // calls take long: there are many clients, so that there still are as many calls
}

// pace is how often a client calls in a second, or a little more often.
func (p plan) pace() float64 {
	if p.far {
		return 2
	}
	return 20
}

func (p plan) servers() []string {
	if p.only != nil {
		return p.only
	}
	return servers
}

// callTimeout is long enough for what a busy machine delays.
const callTimeout = 5 * time.Second

// newBed starts everything but the crews.
func newBed(t *testing.T, p plan) *bed {
	t.Helper()
	b := &bed{t: t, dir: t.TempDir(), plan: p}
	b.web = serveHTTP(t)
	b.back = between(t, b.web.addr)
	if p.small {
		b.group = newGroup(t, memory)
	}
	setup := harness.Setup{Command: []string{}, Flags: []string{
		"--config", b.config(), "--idle-timeout", "2s", "--call-timeout", callTimeout.String(), "--link-wait", "30s",
		"--header-timeout", "2m", "--log-level", "warn",
	}}
	if p.full {
		b.log = newDisk(t)
		setup.Stderr = b.log.file
		setup.Flags = append(setup.Flags, "--log-level", "info") // with what servers say
	}
	if p.clock {
		setup.Binary = clockwork(t)
	}
	if p.small {
		setup.Env = []string{fmt.Sprintf("GOMEMLIMIT=%d", goMemory)}
		setup.Flags = append(setup.Flags, "--max-bytes-in-flight", strconv.Itoa(inFlight))
	}
	b.gate = harness.Start(t, setup)
	b.front = between(t, b.gate.Addr)
	return b
}

// config writes the gate's file.
func (b *bed) config() string {
	b.t.Helper()
	command := role("chaos-stdio")
	if b.plan.loud {
		command = append(command, isLoud)
	}
	if b.group != nil && b.group.dir != "" {
		command = append(command, goTo+b.group.home)
	}
	var words []string
	for _, word := range command {
		words = append(words, strconv.Quote(word))
	}
	text := fmt.Sprintf(`backends:
  %s:
    command: [%[4]s]
    isolation: shared
    links: %[7]d
    warm: %[5]d
    max-links: 64
  %[2]s:
    command: [%[4]s]
    isolation: session
    warm: %[5]d
    max-links: 128
  %[3]s:
    url: http://%[6]s/mcp
    isolation: session
`, sharedServer, ownServer, webServer, strings.Join(words, ", "), warm, b.back.Listen, links)
	name := filepath.Join(b.dir, "gate.yaml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		b.t.Fatal(err)
	}
	return name
}

// between puts a proxy that can be poisoned in front of an address.
func between(t *testing.T, upstream string) *toxiproxy.Proxy {
	t.Helper()
	quiet := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	p := toxiproxy.NewProxy(quiet, upstream, "127.0.0.1:0", upstream)
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Stop)
	return p
}

// poison adds a toxic to both directions, and returns what takes it away.
func (b *bed) poison(p *toxiproxy.Proxy, kind, attributes string, directions ...string) (cure func()) {
	b.t.Helper()
	for _, direction := range directions {
		text := fmt.Sprintf(`{"name":"%s %s","type":"%[1]s","stream":"%[2]s","attributes":%s}`, kind, direction, attributes)
		if _, err := p.Toxics.AddToxicJson(strings.NewReader(text)); err != nil {
			b.t.Fatal(err)
		}
	}
	return func() {
		for _, direction := range directions {
			if err := p.Toxics.RemoveToxic(context.Background(), kind+" "+direction); err != nil {
				b.t.Error(err)
			}
		}
	}
}

// away takes a proxy away for a while, with all its connections.
func (b *bed) away(p *toxiproxy.Proxy, while time.Duration) {
	b.t.Helper()
	if p == b.front {
		// One that came in while the proxy went may be cut twice.
		b.cuts += 2 * b.width()
	}
	p.Stop()
	time.Sleep(while)
	for end := time.Now().Add(harness.Patience); ; time.Sleep(10 * time.Millisecond) {
		err := p.Start()
		if err == nil {
			return
		}
		if time.Now().After(end) { // the port may for a moment be somebody else's
			b.t.Fatal(err)
		}
	}
}

// width is how many calls all crews together can have under way.
func (b *bed) width() (n int64) {
	for _, c := range b.crews {
		if !c.killed {
			n += c.width()
		}
	}
	return n
}
