package guard

import (
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"sidegate/limits"
	"sidegate/proxy/refusal"
)

// A Visitor is who stands at the door.
type Visitor struct {
	Address   netip.Addr // the client's, without a zone; not valid on a Unix socket
	Principal string     // whose token it is; "" where none is asked for
	Origin    string     // the allowed Origin, to be echoed; "" without one
	Preflight bool       // a browser only asks what it may send: see AnswerPreflight
}

// A Room says what is served at a path, and so what the door asks of a request
// that goes there.
type Room struct {
	Allow string // the methods, as the header of that name lists them: "POST, GET"
	Open  bool   // no token and no rates: /healthz
	JSON  bool   // a POST carries application/json, in no further encoding
	Post  Accept // what a POST must accept; 0: anything
	Get   Accept // what a GET must accept; 0: anything
	Via   string // the name under which requests go to the tool server; "": they say none
}

// allows tells whether method is one of Allow. Methods are case-sensitive.
func (r *Room) allows(method []byte) bool {
	for m := range strings.SplitSeq(r.Allow, ", ") {
		if m == string(method) {
			return true
		}
	}
	return false
}

// encoded is the row of the content type, where its own sentence would not help.
var encoded = refusal.ContentType.With("the body must be sent without a Content-Encoding; compressed messages are not taken")

// Door checks all of a request but its body, in an order that lets nobody learn
// or cost anything before they may: the address's rate, Host, Origin, the path,
// whether it has been here before (it then has no token, and would be refused
// for that), the token, the caller's rate, then method, content type and accept.
// room is what is served at the request's path; nil: nothing is.
//
// What belongs to the answer and is not in the refusal, the CORS headers, Allow
// and WWW-Authenticate, is set on ctx's response; an answer that is written
// past it takes the CORS headers from Visitor.AppendCORS. The visitor's strings
// are copies, good for as long as they are wanted. The connection's own limit is
// kept by the listener, and fasthttp must be left to normalize header names: the
// rules look for Origin, not for oRIGIN.
func (g *Guard) Door(ctx *fasthttp.RequestCtx, room *Room) (Visitor, *refusal.Refusal) {
	v := Visitor{Address: g.address(ctx)}
	if room == nil || !room.Open { // probes must not fail because a neighbour is busy
		if r := g.addressRate(v.Address); r != nil {
			return v, r
		}
	}
	if !g.hosts.serve(ctx) {
		return v, refusal.Host
	}
	origin, ok := g.origins.check(&ctx.Request.Header)
	if !ok {
		return v, refusal.Origin
	}
	v.Origin = origin
	v.SetCORS(&ctx.Response.Header)
	if room == nil {
		return v, refusal.Path
	}
	if room.Via != "" && returns(&ctx.Request.Header, room.Via) {
		return v, refusal.Loop
	}
	if isPreflight(ctx, &v) {
		v.Preflight = true // it never carries a token, and nothing else is asked of it
		return v, nil
	}
	if !room.Open {
		principal, r := g.principal(ctx)
		if r != nil {
			return v, r
		}
		v.Principal = principal
		if r := g.callerRate(&v); r != nil {
			return v, r
		}
	}
	return v, checkForm(ctx, room)
}

// Admin is the door of the admin listener: Host and Origin only.
func (g *Guard) Admin(ctx *fasthttp.RequestCtx) *refusal.Refusal {
	if !g.hosts.serve(ctx) {
		return refusal.Host
	}
	if _, ok := g.origins.check(&ctx.Request.Header); !ok {
		return refusal.Origin
	}
	return nil
}

// Operator is asked, behind Admin, of who changes what the gate does. The
// listener may be open to probes and scrapers of other hosts, and has no tokens:
// so it must be a program on this host. A browser on it is none, whatever page
// it shows: it sends Origin with each POST.
func (g *Guard) Operator(ctx *fasthttp.RequestCtx) *refusal.Refusal {
	if len(ctx.Request.Header.PeekAll(fasthttp.HeaderOrigin)) > 0 || !isNear(ctx.RemoteAddr(), ctx.LocalAddr()) {
		return refusal.Operator
	}
	return nil
}

// isNear tells whether a peer is on this host: on a Unix socket, a loopback
// address, or the very address that it has connected to.
func isNear(peer, local net.Addr) bool {
	switch p := peer.(type) {
	case *net.UnixAddr:
		return true
	case *net.TCPAddr:
		l, ok := local.(*net.TCPAddr)
		return p.IP.IsLoopback() || ok && p.IP.Equal(l.IP)
	}
	return false
}

// addressRate counts the request for its address. On a Unix socket there is
// none to count for.
func (g *Guard) addressRate(a netip.Addr) *refusal.Refusal {
	if !a.IsValid() {
		return nil
	}
	if ok, retry := g.addresses.Allow(limits.AddressKey(a), time.Now()); !ok {
		return refusal.AddressRate.After(retry)
	}
	return nil
}

// principal is whose token the request carries.
func (g *Guard) principal(ctx *fasthttp.RequestCtx) (string, *refusal.Refusal) {
	if g.tokens == nil {
		return "", nil
	}
	principal, c := g.tokens.check(ctx.Request.Header.PeekAll(fasthttp.HeaderAuthorization))
	if c != nil {
		ctx.Response.Header.Set(fasthttp.HeaderWWWAuthenticate, c.header)
		return "", c.refusal
	}
	return principal, nil
}

// Rate counts one more message of a visitor that was let in and has sent it
// without a request of its own.
func (g *Guard) Rate(v *Visitor) *refusal.Refusal { return g.callerRate(v) }

// callerRate counts the request for its caller: a principal whatever the
// address, an address where there is no principal. All who come through a Unix
// socket without a token are one caller.
func (g *Guard) callerRate(v *Visitor) *refusal.Refusal {
	c := caller{principal: v.Principal}
	if c.principal == "" {
		c.address = limits.AddressKey(v.Address)
	}
	if ok, retry := g.callers.Allow(c, time.Now()); !ok {
		return refusal.Rate.After(retry)
	}
	return nil
}

// checkForm checks method, content type and accept (2025-11-25,
// basic/transports, "Sending Messages to the Server" and "Listening for
// Messages from the Server").
func checkForm(ctx *fasthttp.RequestCtx, room *Room) *refusal.Refusal {
	h := &ctx.Request.Header
	if !room.allows(h.Method()) {
		ctx.Response.Header.Set(fasthttp.HeaderAllow, room.Allow)
		return refusal.Method
	}
	post := h.IsPost()
	if post && room.JSON {
		if !isJSON(h.ContentType()) {
			return refusal.ContentType
		}
		if !isIdentity(h.PeekAll(fasthttp.HeaderContentEncoding)) {
			return encoded
		}
	}
	var needs Accept
	switch {
	case post:
		needs = room.Post
	case h.IsGet() && !isModernMethod(h): // that one gets another refusal, whatever it accepts
		needs = room.Get
	}
	if needs != 0 && accepted(h.PeekAll(fasthttp.HeaderAccept))&needs != needs {
		return refusal.Accept
	}
	return nil
}
