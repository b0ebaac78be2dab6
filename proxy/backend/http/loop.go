package http

import (
	"context"
	"errors"

	"sidegate/proxy/backend"
	"sidegate/proxy/mcp"
)

// statusLoop is what a gate answers to a request that has been there before.
// (RFC 5842, section 7.2)
const statusLoop = 508

const loopReason = "the tool server is the gate itself, or leads back to it: a request has come back (status 508); check --backend, and --gate-uid of sidegate fence"

// discover is a request that a gate passes on whatever else it knows of its
// server: it comes as far as a call does.
var discover = &backend.PassRequest{
	Method: "POST",
	Header: []byte("Accept: application/json, text/event-stream\r\n" +
		mcp.HeaderProtocolVersion + ": " + mcp.Revision20260728 + "\r\n" + mcp.HeaderMethod + ": " + mcp.MethodDiscover + "\r\n"),
	Type: "application/json",
	Body: []byte(`{"jsonrpc":"2.0","id":1,"method":"` + mcp.MethodDiscover + `","params":{"_meta":{"` +
		mcp.MetaRevision + `":"` + mcp.Revision20260728 + `","` + mcp.MetaCapabilities + `":{}}}}`),
}

// checkLoop fails where requests still come back, after one has. Nobody else is
// asked: what has answered so is a gate, and not the tool server.
func (b *Backend) checkLoop(ctx context.Context) error {
	if !b.loops.Load() {
		return nil
	}
	r := *discover
	r.Target = b.origin.target
	reply, err := b.Pass(ctx, &r)
	if err != nil {
		return err
	}
	if reply.Release != nil {
		reply.Release()
	}
	if reply.Status == statusLoop {
		return errors.New(loopReason)
	}
	b.loops.Store(false)
	return nil
}
