// Package clients holds the tests in which clients that we did not write drive
// servers that we did not write, with the gate between them: the TypeScript,
// Go and Python SDKs, and npm's server-everything and server-filesystem.
//
// A test skips, with the reason, where Node, Python or an installed package is
// missing; with TEST_STRICT=1 it fails instead. `make clients` installs
// what they need. The tests know the gate by its binary alone.
package clients
