// Package lines carries messages as lines, one JSON value each, over anything
// that reads and writes: a child's pipes, a socket. Writer is the way out, a
// queue that is bounded in bytes and written in few pieces; Reader is the way
// in, which turns lines into messages and says what was none; Conn is both, with
// the life of a connection.
// (2025-11-25, basic/transports, "stdio" and "Custom Transports")
//
// It imports backend and wire, nothing else of ours, and opens nothing. A Conn
// ends what it was given; a Writer and a Reader leave that to their owner.
package lines
