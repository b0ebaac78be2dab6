package framing

import (
	"fmt"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
)

// A finding is what became of one probe in one column.
type finding struct {
	outcome
	forwarded int      // requests that reached the server with its name
	faults    []string // what should not have been
}

// judge compares what the server saw with what was meant, for each probe. The
// last findings are of requests that belong to no probe.
func (c *column) judge() (list []finding, strange []string) {
	seen := map[string][]record{}
	for _, r := range c.server.records {
		name := r.name()
		seen[name] = append(seen[name], r)
	}
	for i, p := range c.probes {
		f := finding{outcome: c.outcomes[i], forwarded: len(seen[p.name])}
		f.faults = append(c.judgeAnswers(p, f.outcome), c.judgeRecords(p, seen[p.name], seen[canaryOf(p.name)])...)
		if p.verdict == whole && (f.forwarded != 1 || len(f.answers) != p.answers || f.answers[0].status/100 != 2) {
			f.faults = append(f.faults, fmt.Sprintf("well-formed, and reached the server %d times, with the answers %v", f.forwarded, f.answers))
		}
		for _, name := range []string{p.name, canaryOf(p.name)} {
			if !c.direct {
				f.faults = append(f.faults, c.server.unreadable[name]...)
			}
			delete(c.server.unreadable, name)
			delete(seen, name)
		}
		list = append(list, f)
	}
	for name, records := range seen {
		for _, r := range records {
			if name != "" || !c.ofTheGate(r) {
				strange = append(strange, fmt.Sprintf("the server saw %s %s with body %.200q, which nobody sent", r.method, r.target, r.body))
			}
		}
	}
	for _, texts := range c.server.unreadable {
		strange = append(strange, texts...)
	}
	return list, strange
}

// ofTheGate tells whether a request is one of those by which the gate finds out
// the server's era, or with which a session is opened, kept and ended.
func (c *column) ofTheGate(r record) bool {
	return r.target == "/mcp" && (len(r.body) == 0 || ownMethod.Match(r.body))
}

var ownMethod = regexp.MustCompile(`"(?:server/discover|initialize|notifications/initialized|ping)"`)

// judgeAnswers looks at what came back.
func (c *column) judgeAnswers(p *probe, out outcome) (faults []string) {
	if len(out.answers) > p.answers {
		faults = append(faults, fmt.Sprintf("%d answers where a strict reader gives at most %d: %v", len(out.answers), p.answers, out.answers))
	}
	for i, a := range out.answers {
		if p.verdict == refuse && a.status/100 == 2 {
			faults = append(faults, fmt.Sprintf("answered with %d", a.status))
		}
		want := p.name
		if i > 0 {
			want = canaryOf(p.name)
		}
		if name := aName.FindString(a.body); a.status == 200 && name != "" && name != want && (name != canaryOf(p.name) || !p.trailing) {
			faults = append(faults, fmt.Sprintf("answer %d is for %s", i+1, name))
		}
	}
	return faults
}

// judgeRecords looks at what reached the server of a probe and its canary.
func (c *column) judgeRecords(p *probe, own, canaries []record) (faults []string) {
	if len(own) > 1 {
		faults = append(faults, fmt.Sprintf("reached the server %d times", len(own)))
	}
	if len(canaries) > 1 || len(canaries) == 1 && !p.trailing {
		faults = append(faults, "SMUGGLED: the canary reached the server as a request of its own")
	}
	for _, r := range own {
		if p.verdict == refuse {
			faults = append(faults, fmt.Sprintf("reached the server, with body %.200q", r.body))
		} else {
			faults = append(faults, judgeWhole(p, r)...)
		}
	}
	for _, r := range slices.Concat(own, canaries) {
		faults = append(faults, c.judgeHeader(r)...)
	}
	return faults
}

// anID is the id of a message, which the gate exchanges.
var anID = regexp.MustCompile(`"id":(?:\d+|"[^"]*")`)

func sameBody(p *probe, body string) bool {
	want := p.body
	if p.way.message {
		want, body = anID.ReplaceAllString(want, `"id":0`), anID.ReplaceAllString(body, `"id":0`)
	}
	return want == body
}

// judgeWhole wants a record to be the whole of its probe and nothing else.
func judgeWhole(p *probe, r record) (faults []string) {
	if r.err != nil {
		faults = append(faults, fmt.Sprintf("the server read half a body: %v", r.err))
	} else if !sameBody(p, string(r.body)) {
		faults = append(faults, fmt.Sprintf("the body is %.200q and not %.200q", r.body, p.body))
	}
	if r.length >= 0 && r.length != int64(len(r.body)) {
		faults = append(faults, fmt.Sprintf("announced %d bytes of %d", r.length, len(r.body)))
	}
	if r.method != p.way.method {
		faults = append(faults, "the method is "+r.method)
	}
	if p.sees != "" && r.target != p.sees {
		faults = append(faults, fmt.Sprintf("the target is %q and not %q", r.target, p.sees))
	}
	if !p.way.message && !passed(r.target) {
		faults = append(faults, fmt.Sprintf("the target %q does not lie in /open/", r.target))
	}
	return faults
}

// passed tells whether a target lies in the path that is passed, in whichever
// way a server may read it.
func passed(target string) bool {
	u, err := url.ParseRequestURI(target)
	if err != nil {
		return false
	}
	again, err := url.PathUnescape(u.Path) // some servers decode twice
	if err != nil {
		again = u.Path
	}
	for _, p := range []string{u.EscapedPath(), u.Path, again} {
		p = strings.ReplaceAll(p, "\\", "/")
		if !strings.HasPrefix(p, "/open/") || !strings.HasPrefix(path.Clean(p)+"/", "/open/") {
			return false
		}
	}
	return true
}

// ended are the fields that end at the gate, whatever their values.
var ended = []string{
	"Keep-Alive", "Proxy-Connection", "Proxy-Authorization", "Proxy-Authenticate", "Te", "Trailer", "Upgrade", "Http2-Settings", "X-Named", "X-Hidden",
}

// judgeHeader looks for what must not cross.
func (c *column) judgeHeader(r record) (faults []string) {
	for _, name := range ended {
		if values, is := r.header[name]; is {
			faults = append(faults, fmt.Sprintf("%s: %q crossed", name, values))
		}
	}
	for name := range r.trailer {
		faults = append(faults, fmt.Sprintf("trailer %s crossed", name))
	}
	for name, values := range r.header {
		for _, v := range values {
			switch {
			case strings.Contains(strings.ToLower(name), "hidden"), strings.Contains(v, "client-") && name != "X_forwarded_for" && name != "Mcp_session_id":
				faults = append(faults, fmt.Sprintf("%q: %q crossed", name, v))
			case name == "Connection" && !strings.EqualFold(v, "close") && !strings.EqualFold(v, "keep-alive"):
				faults = append(faults, fmt.Sprintf("Connection: %q crossed", v))
			case name == "Mcp-Session-Id" && c.session != "" && v == c.session:
				faults = append(faults, "the gate's session id crossed")
			}
		}
	}
	if strings.Contains(r.host, "evil") {
		faults = append(faults, fmt.Sprintf("Host is %q", r.host))
	}
	return faults
}
