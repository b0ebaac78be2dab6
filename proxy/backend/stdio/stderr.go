package stdio

import (
	"go.uber.org/zap"
	"golang.org/x/time/rate"

	"sidegate/proxy/backend/lines"
)

const (
	maxStderrLine = 1024 // bytes of a line that are looked at
	stderrChunk   = 4 << 10

	stderrRate  = rate.Limit(20) // lines a second and child that are logged
	stderrBurst = 100
)

// relay reads the child's standard error to its end, line by line into the log
// and the last words. It always goes on reading, so that a flood neither
// blocks the child nor is held in memory; what is past the rate is counted.
func (c *conn) relay() {
	defer close(c.relayed)
	r := relayer{conn: c, logged: lines.NewThrottle(stderrRate, stderrBurst)}
	chunk := make([]byte, stderrChunk)
	for {
		n, err := c.stderr.Read(chunk)
		r.write(chunk[:n])
		if err != nil {
			r.endLine()
			r.logged.Rest(c.log)
			return
		}
	}
}

// relayer cuts standard error into lines.
type relayer struct {
	conn   *conn
	logged *lines.Throttle
	line   []byte // the beginning of the current line
	cut    bool   // it has more
}

// write takes the next piece. A carriage return ends a line too: progress bars
// know no other end.
func (r *relayer) write(piece []byte) {
	for len(piece) > 0 {
		end := 0
		for end < len(piece) && piece[end] != '\n' && piece[end] != '\r' {
			end++
		}
		room := maxStderrLine - len(r.line)
		r.line = append(r.line, piece[:min(end, room)]...)
		r.cut = r.cut || end > room
		if end == len(piece) {
			return
		}
		r.endLine()
		piece = piece[end+1:]
	}
}

// endLine remembers the current line and logs it, unless it is empty.
func (r *relayer) endLine() {
	line, cut := r.line, r.cut
	r.line, r.cut = r.line[:0], false
	if len(line) == 0 {
		return
	}
	r.conn.words.add(line)
	dropped, ok := r.logged.Pass()
	if !ok {
		return
	}
	text := lines.Sanitize(line)
	if cut {
		text = append(text, "…"...)
	}
	fields := []zap.Field{zap.ByteString("stderr", text)}
	if dropped > 0 {
		fields = append(fields, zap.Int64("dropped_lines", dropped))
	}
	r.conn.log.Info("the tool server says", fields...)
}
