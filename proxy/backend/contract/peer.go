package contract

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
)

// The peers. Echo answers what its methods say, Silent reads and says nothing,
// Deaf does not read.
const (
	Echo   = "echo"
	Silent = "silent"
	Deaf   = "deaf"
)

// Serve is a peer whose messages are lines, until in ends. It returns after
// the methods "partial", "unended" and "die", with which the peer's end of the
// connection has to end at once. After "half" it says nothing more, ends out
// where that has a method CloseWrite or else Close, and reads on. Deaf never
// returns; where the peer lives in the test's own process, the test itself
// opens a connection that nobody reads instead.
func Serve(peer string, in io.Reader, out io.Writer) {
	if peer == Deaf {
		for {
			time.Sleep(time.Hour)
		}
	}
	lines := bufio.NewReaderSize(in, 64<<10)
	w := bufio.NewWriterSize(out, 64<<10)
	v := voice{raw: w, say: func(msg []byte) error {
		_, _ = w.Write(msg)
		return w.WriteByte('\n')
	}}
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return
		}
		if peer == Silent {
			continue
		}
		after := v.answer(line)
		if w.Flush() != nil || after == ends {
			return
		}
		if after == halfEnds {
			peer = Silent
			closeHalf(out)
		}
	}
}

// closeHalf ends what the peer says, and nothing else.
func closeHalf(out io.Writer) {
	switch out := out.(type) {
	case interface{ CloseWrite() error }:
		_ = out.CloseWrite()
	case io.Closer:
		_ = out.Close()
	}
}

// ServeMessages is a peer whose transport delimits messages itself, until next
// fails: it takes messages from next and gives its own to send, whole ones and
// of any size. When it returns, the peer's end of the connection has to end at
// once and without a goodbye; where it returns a message, the transport first
// sends its frame's head and half of it. send with nil ends what the peer says,
// as TCP's half-close does, while it reads on. A message is valid until next or
// send returns. Deaf is not served: the test itself opens a connection that
// nobody reads.
//
// Where every message travels in a request of its own (Apart), it is served
// with that one message, and the end is that of the response.
func ServeMessages(peer string, next func() ([]byte, error), send func([]byte) error) (cut []byte) {
	var failed error
	v := voice{say: func(msg []byte) error {
		if failed == nil {
			failed = send(msg)
		}
		return failed
	}}
	for {
		msg, err := next()
		if err != nil {
			return nil
		}
		if peer == Silent {
			continue
		}
		after := v.answer(msg)
		switch {
		case failed != nil || after == ends:
			return v.cut
		case after == halfEnds:
			peer = Silent
			_ = send(nil)
		}
	}
}

// what is done after an answer.
type afterwards uint8

const (
	goesOn afterwards = iota
	halfEnds
	ends
)

// voice is how a peer speaks.
type voice struct {
	say func(msg []byte) error // a message
	raw io.Writer              // where messages are lines: anything; nil otherwise
	cut []byte                 // a message to be cut in the middle, where the transport has frames
}

// answer says what the request's method stands for and tells what the peer
// does then.
func (v *voice) answer(msg []byte) afterwards {
	var request struct {
		ID     json.RawMessage
		Method string
		Params json.RawMessage
	}
	if err := json.Unmarshal(msg, &request); err != nil {
		v.sayf(`{"jsonrpc":"2.0","method":"broken","params":[%q]}`, err)
		return goesOn
	}
	echo := fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":%s}`, request.ID, request.Params)
	switch request.Method {
	case "echo":
		v.sayf("%s", echo)
	case "late": // for no other reason than that it takes its time
		time.Sleep(lateness)
		v.sayf("%s", echo)
	case "notify": // a message that is as large as can be
		const frame = `{"jsonrpc":"2.0","method":"large","params":[""]}`
		v.sayf("%s%s%s", frame[:len(frame)-3], strings.Repeat("x", maxMessage-len(frame)), frame[len(frame)-3:])
		v.sayf("%s", echo)
	case "long": // one byte more, with the id in front and at the end
		v.long(fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":"`, request.ID), `"}`)
		v.long(`{"jsonrpc":"2.0","result":"`, fmt.Sprintf(`","id":%s}`, request.ID))
	case "endless":
		v.endless()
	case "garbage":
		v.garbage()
		v.sayf(`{"jsonrpc":"2.0","id":%s,"result":{"a":1,}}`, request.ID)
		v.sayf("%s", echo)
	case "batch":
		v.sayf(`[%s,[1],{"jsonrpc":"2.0","method":"between"} , %s]`, echo, echo)
	case "unended":
		v.unended(echo)
		return ends
	case "partial":
		v.unended(echo[:len(echo)-3])
		return ends
	case "cut":
		v.cut = []byte(echo)
		return ends
	case "half":
		return halfEnds
	case "die":
		return ends
	}
	return goesOn
}

// lateness is how long a late answer takes.
const lateness = 200 * time.Millisecond

func (v *voice) sayf(format string, args ...any) { _ = v.say(fmt.Appendf(nil, format, args...)) }

func (v *voice) long(head, tail string) {
	v.sayf("%s%s%s", head, strings.Repeat("x", maxMessage+1-len(head)-len(tail)), tail)
}

// garbage is what is no message. Frames may have rules of their own about what
// is empty and what is not UTF-8, and get none of that.
func (v *voice) garbage() {
	if v.raw != nil {
		fmt.Fprint(v.raw, "Listening on stdio\n\n\x00\xff\xfe\n\r\n{\n}\n[]\nnull\n")
		return
	}
	for _, text := range []string{"Listening", "{", "}", "[]", "null"} {
		v.sayf("%s", text)
	}
}

// unended is the last thing said: as a line, one that its line break does not
// follow.
func (v *voice) unended(text string) {
	if v.raw != nil {
		fmt.Fprint(v.raw, text)
		return
	}
	v.sayf("%s", text)
}

// endless is a message many times the limit, so long that holding it shows.
func (v *voice) endless() { _ = v.say(endlessMessage()) }

const (
	endlessMegabytes = 64
	endlessID        = 8
)

// endlessMessage is made once: where the peer is in the test's own process, its
// memory is none that the test counts.
var endlessMessage = sync.OnceValue(func() []byte {
	msg := make([]byte, 0, endlessMegabytes<<20+100)
	msg = fmt.Appendf(msg, `{"id":%d,"jsonrpc":"2.0","result":"`, endlessID)
	for range endlessMegabytes << 10 {
		msg = append(msg, kilobyte...)
	}
	return append(msg, `"}`...)
})

var kilobyte = strings.Repeat("x", 1<<10)

// Descriptors counts the open file descriptors of this process, -1 where the
// system does not tell.
func Descriptors() int {
	entries, err := os.ReadDir("/dev/fd")
	if err != nil {
		return -1
	}
	return len(entries)
}
