package lines

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"sidegate/proxy/wire"
)

// noted keeps what a reader reports, as texts.
type noted struct{ events []string }

func (n *noted) Message(msg *wire.Buffer, env *wire.Envelope) {
	n.events = append(n.events, fmt.Sprintf("%s id=%s", msg.B, env.ID.Of(msg.B)))
	msg.Release()
}

func (n *noted) TooLong(id []byte, size int64) {
	n.events = append(n.events, fmt.Sprintf("too long %s %d", id, size))
}
func (n *noted) Garbage(id []byte) { n.events = append(n.events, fmt.Sprintf("garbage %s", id)) }

// none is a budget without room.
type none struct{}

func (none) TryAcquire(int64) bool { return false }
func (none) Release(int64)         { panic("nothing was acquired") }

// some is a budget that lets one message through.
type some struct{ left int64 }

func (s *some) TryAcquire(n int64) bool {
	if n > s.left {
		return false
	}
	s.left -= n
	return true
}
func (s *some) Release(int64) {}

func TestReader(t *testing.T) {
	const result = `{"jsonrpc":"2.0","id":1,"result":{}}`
	long := `{"jsonrpc":"2.0","id":7,"result":"` + strings.Repeat("x", 200) + `"}`
	for _, c := range []struct {
		name, text string
		budget     wire.Budget
		want       []string
	}{
		{"messages", result + "\n\n" + result + "\r\n", nil, []string{result + " id=1", result + " id=1"}},
		{"byte order mark", "\xef\xbb\xbf" + result + "\n", nil, []string{result + " id=1"}},
		{"without its end", result, nil, []string{result + " id=1"}},
		{"white space", "{\"jsonrpc\":\"2.0\",\r\"id\":1,\"result\":{}}\n", nil, []string{`{"jsonrpc":"2.0", "id":1,"result":{}} id=1`}},
		{"garbage", "hello\n{\"id\":3,\"result\":{},}\n", nil, []string{"garbage ", "garbage 3"}},
		{"too long", long + "\n" + result + "\n", nil, []string{"too long 7 236", result + " id=1"}},
		{"batch", "[" + result + ",[1]," + result + "]\n", nil, []string{result + " id=1", "garbage ", result + " id=1"}},
		{"batch that is too large", "[1" + strings.Repeat(",1", 80) + "]\n[]\n", nil, slices.Concat(slices.Repeat([]string{"garbage "}, 81), []string{"garbage "})},
		{"no room", result + "\n", none{}, []string{"too long 1 36"}},
		{"no room for its elements", "[" + result + "]\n", &some{40}, []string{"too long 1 36"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got noted
			err := NewReader(strings.NewReader(c.text), &got, Options{MaxMessage: 200, Budget: c.budget, Log: zap.NewNop()}).Run()
			if !errors.Is(err, io.EOF) {
				t.Errorf("Run: %v, want the end", err)
			}
			if !slices.Equal(got.events, c.want) {
				t.Errorf("reported\n%q\nwant\n%q", got.events, c.want)
			}
		})
	}
}

// TestReaderSaysTheRest: what the throttle has kept back is counted at the end.
func TestReaderSaysTheRest(t *testing.T) {
	core, logs := observer.New(zapcore.InfoLevel)
	options := Options{MaxMessage: 200, Log: zap.New(core), Sender: "the tool server", Where: " to its standard output"}
	_ = NewReader(strings.NewReader(strings.Repeat("secret?\n", 100)), &noted{}, options).Run() // io.EOF
	entries := logs.All()
	if n := len(entries); n != 6 {
		t.Fatalf("%d entries, want the burst of 5 and the rest", n)
	}
	if text := entries[0].Message; text != "the tool server wrote something to its standard output that is no message; it has been dropped" {
		t.Errorf("the log says %q", text)
	}
	if n := entries[5].ContextMap()["dropped_lines"]; n != int64(95) {
		t.Errorf("%v lines were dropped, want 95", n)
	}
}
