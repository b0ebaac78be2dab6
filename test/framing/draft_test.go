package framing

import (
	"fmt"
	"strings"
)

// A way is one way to the server, by its method and target.
type way struct {
	name, method, target string // target ends with the probe's name, but on /mcp
	message              bool   // /mcp: the body is a JSON-RPC message, whose id the gate exchanges
	body                 bool   // the method usually has a body
}

var (
	mcpPost  = way{"mcp", "POST", "/mcp", true, true}
	openPost = way{"open POST", "POST", "/open/", false, true}
	openGet  = way{"open GET", "GET", "/open/", false, false}

	// usual are the ways of every row; all those of the rows in which the
	// method matters.
	usual = []way{mcpPost, openPost, openGet}
	all   = append(usual[:3:3],
		way{"open PUT", "PUT", "/open/", false, true}, way{"open PATCH", "PATCH", "/open/", false, true},
		way{"open DELETE", "DELETE", "/open/", false, false}, way{"open OPTIONS", "OPTIONS", "/open/", false, false})
	open = all[1:]
)

// A site is where the requests go: what an ordinary client puts into them.
type site struct{ host, session string }

// A draft is a request in the making, in parts that a row can bend.
type draft struct {
	way  way
	name string // "case-0017": stands in target, in X-Case, and in the body
	site site

	start   string // the request line with its end
	host    string // the Host line
	fields  string // what the way needs besides
	framing string // the lines that say how long the body is
	end     string // the empty line
	payload string // what follows the head

	text     string // the body that an honest client would send here
	body     string // what a strict reader takes for the body
	sees     string // the target that the server is to see; "": any below /open/
	answers  int    // how many answers a strict reader gives
	trailing bool   // the canary is a request of its own, sent behind the first
}

// newDraft is a well-formed request.
func newDraft(w way, number int, s site) *draft {
	d := &draft{way: w, name: fmt.Sprintf("case-%04d", number), site: s, end: "\r\n", answers: 1}
	target := w.target
	if !w.message {
		target += d.name
	}
	d.request(target)
	d.host = "Host: " + s.host + "\r\n"
	d.fields = "X-Case: " + d.name + "\r\n"
	d.text = "the body of " + d.name
	if w.message {
		d.fields += "Content-Type: application/json\r\nAccept: application/json, text/event-stream\r\n" +
			"Mcp-Session-Id: " + s.session + "\r\nMCP-Protocol-Version: 2025-11-25\r\n"
		d.text = fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":"echo","arguments":{"case":%q}}}`, number, d.name)
	}
	if w.body {
		d.sized()
	}
	return d
}

// request sets target and request line.
func (d *draft) request(target string) {
	d.start = d.way.method + " " + target + " HTTP/1.1\r\n"
	d.sees = target
}

// sized frames the body by its length.
func (d *draft) sized() {
	d.framing, d.payload, d.body = length(len(d.text)), d.text, d.text
}

// chunked frames the body as the one chunk that is all of it.
func (d *draft) chunked() {
	d.framing, d.payload, d.body = "Transfer-Encoding: chunked\r\n", d.chunk()+"0\r\n\r\n", d.text
}

// framed has a body framed in the way of lines, whose reading is open to
// doubt: payload stands for it as it is.
func (d *draft) framed(lines, payload string) {
	d.framing, d.payload, d.body = lines, payload, d.text
}

// chunk is the body as one chunk.
func (d *draft) chunk() string { return fmt.Sprintf("%x\r\n%s\r\n", len(d.text), d.text) }

// canary is a whole request, which the server must not see unless it stands
// behind another that is whole.
func (d *draft) canary() string {
	return fmt.Sprintf("GET /open/%s HTTP/1.1\r\nHost: %s\r\nX-Case: %[1]s\r\n\r\n", canaryOf(d.name), d.site.host)
}

func canaryOf(name string) string { return strings.Replace(name, "case-", "canary-", 1) }

// add adds header lines that do not concern the framing.
func (d *draft) add(lines string) { d.fields += lines }

// bytes is the request on the wire.
func (d *draft) bytes() []byte {
	return []byte(d.start + d.host + d.fields + d.framing + d.end + d.payload)
}

func length(n int) string { return fmt.Sprintf("Content-Length: %d\r\n", n) }
