// Package lines carries messages as lines, one JSON value each, over anything
// that reads and writes: a child's pipes, a socket. Writer is the way out, a
// queue that is bounded in bytes and written in few pieces; Reader is the way
// in, which turns lines into messages and says what was none.
// (2025-11-25, basic/transports, "stdio" and "Custom Transports")
//
// It imports backend and wire, nothing else of ours. It opens and owns nothing:
// who made the connection ends it.
package lines
