// Package conformance runs the Model Context Protocol's own conformance suite
// (npm, @modelcontextprotocol/conformance) against servers of every era behind
// the gate, for the last revision of the legacy era and for the modern one, and
// against the same servers alone where they have an HTTP of their own.
// `make conformance` installs the suite and prints the table.
//
// The servers are the Go SDK's everything-server, before and after it learned
// the modern era, and two of our own, in servers, which speak one era each and
// refuse what is of the other.
//
// TestClient turns the suite round: it judges the gate as a client, which the
// program in driver moves to do what a scenario wants.
//
// TestMatrix joins every frontend with every kind of backend, with links shared
// and not: `make matrix` goes through all cells, and any other run through a
// few of them.
//
// What is run is pinned: the suite and its Node.js in package-lock.json, the
// servers in everything/go.mod and everything18/go.mod, modules of their own
// because the gate's module uses another version of the SDK, or may. The gate
// is known by its binary alone.
package conformance
