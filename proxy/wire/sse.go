package wire

import (
	"bytes"
	"strconv"
)

// EventTail ends an event that AppendEventHead began.
const EventTail = "\n\n"

// AppendEvent appends one SSE event of type "message" with the given data and,
// where id is not empty, that id. Line breaks in data start further data lines
// and come back as "\n" at the reader: the encoding cannot be broken out of.
// (WHATWG HTML, "Interpreting an event stream"; 2025-11-25, basic/transports,
// "Sending Messages to the Server")
func AppendEvent(dst, id, data []byte) []byte {
	dst = AppendEventHead(dst, id)
	dst = appendLines(dst, "data: ", data)
	return append(dst, EventTail...)
}

// AppendEventHead appends what comes before the data of an event, so that
// large data can be written by writev and without a copy: the head, the data,
// EventTail. Such data must hold no line break; Flatten sees to that.
func AppendEventHead(dst, id []byte) []byte {
	dst = append(dst, "event: message\n"...)
	if len(id) > 0 {
		dst = appendID(dst, id)
	}
	return append(dst, "data: "...)
}

// AppendPriming appends the event that opens a resumable stream: an id and
// empty data, so that the client can resume before the first message.
// (2025-11-25, basic/transports, "Sending Messages to the Server")
func AppendPriming(dst, id []byte) []byte {
	dst = appendID(dst, id)
	return append(dst, "data: \n\n"...)
}

// AppendRetry appends the time in milliseconds that a client shall wait before
// it connects again.
func AppendRetry(dst []byte, ms int) []byte {
	dst = append(dst, "retry: "...)
	dst = strconv.AppendInt(dst, int64(max(ms, 0)), 10)
	return append(dst, "\n\n"...)
}

// AppendComment appends a comment, which readers ignore: it keeps a connection
// alive. Line breaks in text start further comment lines.
func AppendComment(dst []byte, text string) []byte {
	dst = append(dst, ": "...)
	dst = appendLines(dst, ": ", []byte(text))
	return append(dst, "\n\n"...)
}

// appendID appends the id field. Ids are made by the gate, never by a peer.
func appendID(dst, id []byte) []byte {
	if bytes.ContainsAny(id, "\x00\n\r") {
		panic("BUG: a line break or NUL in an event id")
	}
	dst = append(dst, "id: "...)
	dst = append(dst, id...)
	return append(dst, '\n')
}

// appendLines appends text, whose first line's field name stands already, and
// puts field before each further line. A line ends with \n, \r, or \r\n.
func appendLines(dst []byte, field string, text []byte) []byte {
	if bytes.IndexByte(text, '\n') < 0 && bytes.IndexByte(text, '\r') < 0 {
		return append(dst, text...) // nearly always, and at memory speed
	}
	for {
		i := bytes.IndexAny(text, "\n\r")
		if i < 0 {
			return append(dst, text...)
		}
		dst = append(dst, text[:i]...)
		dst = append(dst, '\n')
		dst = append(dst, field...)
		if text[i] == '\r' && i+1 < len(text) && text[i+1] == '\n' {
			i++
		}
		text = text[i+1:]
	}
}
