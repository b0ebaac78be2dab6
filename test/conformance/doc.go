// Package conformance runs the Model Context Protocol's own conformance suite
// (npm, @modelcontextprotocol/conformance) against the Go SDK's
// everything-server, twice: over stdio behind the gate, and over the server's
// own HTTP beside it. `make conformance` installs the suite and prints the
// table.
//
// TestMatrix joins every frontend with every kind of backend, with links shared
// and not: `make matrix` goes through all cells, and any other run through a
// few of them.
//
// What is run is pinned: the suite and its Node.js in package-lock.json, the
// server in everything/go.mod, a module of its own because the gate's module
// uses another version of the SDK. The gate is known by its binary alone.
package conformance
