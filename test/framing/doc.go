// Package framing sends the gate some two thousand malformed and ambiguous
// HTTP requests, and asks the tool server behind it, a Go net/http server that
// writes down what it saw, whether the two have counted alike: each request
// that the server saw was one whole request, with exactly that body, and what
// was hidden in it (a request in a body, a header field in a fold) stayed what
// it was. The same requests go through nginx and HAProxy in the gate's place,
// and to the server alone, for comparison; only the gate is held to the rules.
//
// The requests are rows of a table (class, what is done, verdict) times the
// ways to the server: a message for /mcp, and plain requests for a path that
// the gate passes. The tests know the gate by its binary alone.
package framing
