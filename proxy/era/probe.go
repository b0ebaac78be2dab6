package era

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"sidegate/proxy/backend"
	"sidegate/proxy/headers"
	"sidegate/proxy/link"
	"sidegate/proxy/mcp"
	"sidegate/proxy/metrics"
	"sidegate/proxy/refusal"
	"sidegate/proxy/share"
	"sidegate/proxy/wire"
)

const (
	// silence is how long a server may take to answer before it counts as
	// legacy: many legacy servers never answer what comes before initialize, and
	// npx needs seconds before its server reads.
	silence = 10 * time.Second
	// patience is how long it may take before it is sent an initialize as well.
	patience = 2 * time.Second
	// afterthought is how long it may still take when it has answered that.
	afterthought = 250 * time.Millisecond
)

// A probe is a link of which nobody knows yet what it leads to. It is the
// link's owner: what the server says unasked reaches nobody.
type probe struct {
	link *link.Link
	both bool // it was sent an initialize as well
}

func (p *probe) Unasked(l *link.Link, msg *wire.Buffer, env *wire.Envelope) {
	if env.Kind == wire.Request {
		share.Answer(l, refusal.Unattended, env.ID.Of(msg.B))
	}
	msg.Release()
}

// LinkClosed has nothing to do: the answer to the probe says so as well.
func (p *probe) LinkClosed(*link.Link, error) {}

// probe asks a server by server/discover (2026-07-28, basic/transports/stdio,
// "Backward Compatibility"), and says what it is and how that was found; or why
// it could not be asked. A link that was asked serves no session, since some
// legacy servers misbehave after a request before initialize.
func (f *Finder) probe(ctx context.Context, header []byte) (*Server, string, *link.Failure) {
	l, err := f.options.Pool.Take(ctx)
	if err != nil {
		return nil, "", &link.Failure{Refused: share.NotTaken(err)}
	}
	p := &probe{link: l}
	if l.Lease(p) != nil {
		f.options.Pool.End(l, refusal.Ended)
		return &Server{Legacy: true}, "it ended", nil
	}
	s, how, failed := f.ask(ctx, p, header)
	if s != nil && s.Modern && !p.both && f.options.Found != nil {
		f.options.Found(l)
	} else {
		f.options.Pool.End(l, refusal.Ended)
	}
	return s, how, failed
}

// ask sends the probe and waits for what comes of it.
func (f *Finder) ask(ctx context.Context, p *probe, header []byte) (*Server, string, *link.Failure) {
	discover, refused := f.discover(p, header)
	if refused != nil {
		if p.over() {
			return &Server{Legacy: true}, "it ended", nil
		}
		return nil, "", &link.Failure{Refused: refused}
	}
	silent := !f.await(ctx, p, discover)
	if silent {
		discover.Drop(refusal.CallTimeout)
	}
	if ctx.Err() != nil {
		return nil, "", &link.Failure{Refused: refusal.Draining}
	}
	answer, env, failed := discover.Outcome()
	switch {
	case failed == nil:
		return judge(answer, wire.Find(answer, env.Result, "supportedVersions"), false)
	case failed.Reply != nil:
		return judgeReply(failed)
	case failed.How == metrics.Failed:
		return judgeError(failed.Answer)
	case silent || failed.How == metrics.Timeout: // the call's own time-out may be shorter
		return &Server{Legacy: true}, "silence", nil
	case p.over():
		return f.ended(failed)
	}
	return judgeLost(failed)
}

// ended is what a server is that has ended on the probe.
func (f *Finder) ended(failed *link.Failure) (*Server, string, *link.Failure) {
	if f.options.HTTP { // it is away, which says nothing of its era
		return nil, "", failed
	}
	return &Server{Legacy: true}, "it ended", nil
}

// over tells whether the link has ended.
func (p *probe) over() bool { return p.link.Lease(p) != nil }

// discover sends server/discover.
func (f *Finder) discover(p *probe, header []byte) (*link.Inquiry, *refusal.Refusal) {
	msg, env := link.NewRequest(mcp.MethodDiscover, map[string]any{"_meta": map[string]any{
		mcp.MetaRevision:     mcp.Revision20260728,
		mcp.MetaClientInfo:   f.client(),
		mcp.MetaCapabilities: struct{}{},
	}})
	if f.options.HTTP {
		msg.Header = append(headers.AppendStandard(nil, []byte(mcp.MethodDiscover), nil, false), header...)
	}
	return p.link.Inquire(msg, env, link.Sort{Modern: true})
}

// initialize sends what every legacy server answers.
func (f *Finder) initialize(p *probe) *link.Inquiry {
	p.both = true
	msg, env := link.NewRequest(mcp.MethodInitialize, map[string]any{
		"protocolVersion": mcp.Revision20251125, "capabilities": struct{}{}, "clientInfo": f.client(),
	})
	opened, _ := p.link.Inquire(msg, env, link.Sort{Opens: true}) // refused: the link has ended, and discover says so
	return opened
}

func (f *Finder) client() map[string]string {
	return map[string]string{"name": "sidegate", "version": f.options.Version}
}

// await waits for the answer to the probe. It is false where there is none in
// time: the server keeps silent, or has shown that it is legacy by answering
// initialize.
func (f *Finder) await(ctx context.Context, p *probe, discover *link.Inquiry) bool {
	late, impatient := time.NewTimer(silence), time.NewTimer(patience)
	defer late.Stop()
	defer impatient.Stop()
	again := impatient.C
	if f.options.HTTP { // each message is a request of its own, and initialize would make a session
		again = nil
	}
	var opened *link.Inquiry
	var opens <-chan struct{}
	for {
		select {
		case <-discover.Done():
			return true
		case <-again:
			if again = nil; opened == nil {
				if opened = f.initialize(p); opened != nil {
					opens = opened.Done()
				}
				continue
			}
			return false
		case <-opens:
			opens = nil
			if _, _, failed := opened.Outcome(); failed == nil {
				impatient.Reset(afterthought)
				again = impatient.C
			}
		case <-late.C:
			return false
		case <-ctx.Done():
			return false
		}
	}
}

// modernError tells whether only modern servers answer with such a code.
func modernError(code string) bool {
	switch code {
	case "-32020", "-32021", "-32022": // HeaderMismatch, MissingCapability, UnsupportedVersion
		return true
	}
	return false
}

// judgeError judges by a JSON-RPC error. Any but a modern one is what legacy
// servers say to what they do not know.
func judgeError(answer []byte) (*Server, string, *link.Failure) {
	var env wire.Envelope
	if env.Scan(answer) != nil || !modernError(string(env.Code.Of(answer))) {
		return &Server{Legacy: true}, "its error", nil
	}
	return judge(answer, wire.Find(answer, wire.Find(answer, env.Error, "data"), "supported"), true)
}

// judge judges by the list of revisions that a server says it speaks. modern
// is what it is if there is no such list.
func judge(answer []byte, list wire.Span, modern bool) (*Server, string, *link.Failure) {
	var revisions []string
	if json.Unmarshal(list.Of(answer), &revisions) != nil || len(revisions) == 0 {
		if modern {
			return &Server{Modern: true, Revision: mcp.Revision20260728}, "its error", nil
		}
		return &Server{Legacy: true}, "its answer", nil
	}
	s := &Server{Legacy: slices.ContainsFunc(revisions, mcp.IsLegacy)}
	for _, r := range mcp.ModernRevisions {
		if slices.Contains(revisions, r) {
			s.Modern, s.Revision = true, r
			break
		}
	}
	if !s.Modern && !s.Legacy {
		return nil, "", &link.Failure{Refused: unspoken}
	}
	return s, "the revisions that it lists", nil
}

// unspoken refuses where gate and server have no revision in common.
var unspoken = refusal.Server(502, "the tool server speaks none of the protocol revisions that the gate speaks; one of the two must be brought up to date")

// judgeReply judges by an HTTP response that holds no answer. Who was not let
// in, did not get through, or was told to come later has learnt nothing.
func judgeReply(failed *link.Failure) (*Server, string, *link.Failure) {
	status := failed.Reply.Status
	if failed.Reply.Said != 0 {
		status = failed.Reply.Said
	}
	if status == 401 || status == 403 || status == 429 || status >= 500 || status < backend.StatusOK {
		return nil, "", failed
	}
	return &Server{Legacy: true}, "its HTTP status", nil
}

// judgeLost judges where the gate has answered for a server that lives: it has
// said what is no message, or the gate had no room for it.
func judgeLost(failed *link.Failure) (*Server, string, *link.Failure) {
	var env wire.Envelope
	if failed.Answer != nil && env.Scan(failed.Answer) == nil && string(env.Code.Of(failed.Answer)) == "503" {
		return nil, "", failed
	}
	return &Server{Legacy: true}, "its answer", nil
}
