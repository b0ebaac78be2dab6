// Package wire is the room where bytes become messages and messages become
// bytes: the envelope scan and its splices, line framing, SSE encoding, and
// the pool of buffers in which all of them live.
//
// It is a leaf. It knows JSON-RPC and the few members of MCP messages that
// routing and policy need, but no session, no HTTP and no policy, it starts no
// goroutines, and it imports no other room. Messages stay bytes here: nothing
// is decoded into values and encoded anew.
package wire
