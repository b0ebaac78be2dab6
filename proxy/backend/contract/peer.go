package contract

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
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
// connection has to end at once. Deaf never returns.
func Serve(peer string, in io.Reader, out io.Writer) {
	if peer == Deaf {
		for {
			time.Sleep(time.Hour)
		}
	}
	lines := bufio.NewReaderSize(in, 64<<10)
	w := bufio.NewWriterSize(out, 64<<10)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return
		}
		if peer == Silent {
			continue
		}
		ended := answer(w, line)
		if w.Flush() != nil || ended {
			return
		}
	}
}

// answer writes what the request's method stands for and tells whether the
// peer ends with it.
func answer(w io.Writer, line []byte) (ended bool) {
	var request struct {
		ID     json.RawMessage
		Method string
		Params json.RawMessage
	}
	if err := json.Unmarshal(line, &request); err != nil {
		fmt.Fprintf(w, `{"jsonrpc":"2.0","method":"broken","params":[%q]}`+"\n", err)
		return false
	}
	echo := fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":%s}`, request.ID, request.Params)
	switch request.Method {
	case "echo":
		fmt.Fprintln(w, echo)
	case "notify": // a message that is as large as can be
		const frame = `{"jsonrpc":"2.0","method":"large","params":[""]}`
		fmt.Fprintln(w, frame[:len(frame)-3]+strings.Repeat("x", maxMessage-len(frame))+frame[len(frame)-3:])
	case "long": // one byte more, with the id in front and at the end
		long(w, `{"jsonrpc":"2.0","id":%s,"result":"`, request.ID, `"}`)
		long(w, `{"jsonrpc":"2.0","result":"`, nil, fmt.Sprintf(`","id":%s}`, request.ID))
	case "endless":
		endless(w, request.ID)
	case "garbage":
		fmt.Fprint(w, "Listening on stdio\n\n\x00\xff\xfe\n\r\n{\n}\n[]\nnull\n")
		fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":{"a":1,}}`+"\n", request.ID)
		fmt.Fprintln(w, echo)
	case "batch":
		fmt.Fprintf(w, `[%s,[1],{"jsonrpc":"2.0","method":"between"} , %s]`+"\n", echo, echo)
	case "unended":
		fmt.Fprint(w, echo)
		return true
	case "partial":
		fmt.Fprint(w, echo[:len(echo)-3])
		return true
	case "die":
		return true
	}
	return false
}

func long(w io.Writer, head string, id []byte, tail string) {
	if id != nil {
		head = fmt.Sprintf(head, id)
	}
	fmt.Fprintln(w, head+strings.Repeat("x", maxMessage+1-len(head)-len(tail))+tail)
}

// endless is a line many times the limit, so long that holding it shows.
func endless(w io.Writer, id []byte) {
	fmt.Fprintf(w, `{"id":%s,"jsonrpc":"2.0","result":"`, id)
	megabyte := strings.Repeat("x", 1<<20)
	for range endlessMegabytes {
		if _, err := io.WriteString(w, megabyte); err != nil {
			return
		}
	}
	fmt.Fprintln(w, `"}`)
}

const endlessMegabytes = 64

// Descriptors counts the open file descriptors of this process, -1 where the
// system does not tell.
func Descriptors() int {
	entries, err := os.ReadDir("/dev/fd")
	if err != nil {
		return -1
	}
	return len(entries)
}
