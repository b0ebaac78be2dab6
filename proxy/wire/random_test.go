package wire

import (
	"math/rand/v2"
	"strings"
	"testing"
)

// The fuzzer seldom writes a message that is nearly right. This does: members
// that matter, in any order, some twice, some spelt otherwise, with values of
// every type, and now and then one byte changed.

var (
	randomKeys = []string{
		`jsonrpc`, `id`, `method`, `params`, `result`, `error`, `name`, `uri`, `arguments`, `_meta`, `progressToken`, `requestId`,
		`protocolVersion`, `capabilities`, `code`, `message`, `io.modelcontextprotocol/protocolVersion`, `x`, `y`, ``,
		`\u0069d`, `n\u0061me`, `m\u0065thod`, `\u0078`, `_m\u0065ta`, `ID`, `Name`, `param\u017f`, `é`, `\u00e9`, `\ud800`, `\u0000`, `\ud83d\ude00`, "\U0001f600",
	}
	randomValues = []string{
		`1`, `-7`, `0`, `-0`, `1.0`, `1e3`, `12345678901234567890`, `"a"`, `""`, `"\u0061\n"`, `"\ud800"`, `"\ud83d\ude00"`, `"語"`, `true`, `false`, `null`,
		`[]`, `{}`, `[1,{"a":[]}]`, `"2.0"`, `"2025-11-25"`, `"tools/call"`, `"initialize"`, `"notifications/progress"`, `"notifications/cancelled"`,
		`"a long text of more than a word with \"escapes\" and ümläuts"`, `{"a":1,"a":2}`, "\"\xff\"", `01`, `"` + "\n" + `"`,
	}
	randomSpace = []string{"", "", "", "", "", " ", "\n", "\t\r\n  ", "          "}
)

type writer struct {
	strings.Builder
	*rand.Rand
}

func (w *writer) one(of []string) string { return of[w.IntN(len(of))] }
func (w *writer) put(text string)        { w.WriteString(text + w.one(randomSpace)) }
func (w *writer) chance(n int) bool      { return w.IntN(n) == 0 }

// message writes an object in which most of what must be there is there.
func (w *writer) message() {
	w.put("")
	w.put("{")
	w.put(`"jsonrpc"`)
	w.put(":")
	w.put(`"2.0"`)
	shapes := [][]string{{"id", "method", "params"}, {"method", "params"}, {"params", "method"}, {"result", "id"}, {"id", "error"}, {"error"}}
	shape := shapes[w.IntN(len(shapes))]
	for _, key := range shape {
		if !w.chance(20) {
			w.put(",")
			w.member(key, 1)
		}
	}
	for w.chance(3) {
		w.put(",")
		w.member(w.one(randomKeys), 1)
	}
	w.put("}")
}

func (w *writer) member(key string, depth int) {
	w.put(`"` + key + `"`)
	w.put(":")
	switch {
	case key == "params" || key == "result" || key == "_meta" || key == "error":
		w.object(key, depth+1)
	case key == "id" && !w.chance(4):
		w.put(w.one([]string{`1`, `"a"`, `"\u0061"`, `9007199254740993`}))
	case key == "method" && !w.chance(8):
		w.put(w.one([]string{`"m"`, `"initialize"`, `"notifications/progress"`, `"notifications/cancelled"`, `"tools\/call"`}))
	default:
		w.put(w.one(randomValues))
	}
}

func (w *writer) object(of string, depth int) {
	if depth > 4 || w.chance(20) {
		w.put(w.one(randomValues))
		return
	}
	w.put("{")
	members := w.IntN(6)
	if w.chance(10) {
		members = 12 // enough for the hashed table
	}
	if of == "error" && !w.chance(4) {
		w.put(`"code":-32000,"message":"m\u0061"`)
		members /= 4
		if members > 0 {
			w.put(",")
		}
	}
	for i := range members {
		if i > 0 {
			w.put(",")
		}
		w.member(w.one(randomKeys), depth)
	}
	w.put("}")
}

func TestScanRandomMessages(t *testing.T) {
	const messages = 20_000
	r := rand.New(rand.NewPCG(1, 2))
	passed := 0
	for range messages {
		w := &writer{Rand: r}
		w.message()
		msg := []byte(w.String())
		if w.chance(10) {
			msg[w.IntN(len(msg))] = byte(w.IntN(256))
		}
		if w.chance(20) {
			msg = msg[:w.IntN(len(msg))]
		}
		checkScan(t, msg)
		if t.Failed() {
			t.Fatalf("message %q", msg)
		}
		var e Envelope
		if e.Scan(msg) == nil {
			passed++
		}
	}
	// Neither side may be so rare that the other is all that was tested.
	if passed < messages/10 || passed > messages*9/10 {
		t.Errorf("%d of %d messages passed", passed, messages)
	}
}
