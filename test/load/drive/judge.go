package drive

import (
	"bytes"
	"fmt"

	"sidegate/test/load/rpc"
)

// An answer is what a response says to one call.
type answer struct {
	verdict Verdict
	reason  string
	twice   int64 // further answers in the same response
}

// judge compares a response with the call as it was marked last.
func judge(resp *response, m *message) answer {
	if resp.status != 200 {
		return answer{verdict: Refused, reason: fmt.Sprintf("status %d: %.200s", resp.status, resp.body)}
	}
	if !resp.events {
		verdict, reason := judgeMessage(resp.body, m)
		return answer{verdict: verdict, reason: reason}
	}
	a := answer{verdict: Lost, reason: "the stream ended without an answer"}
	for data := range datas(resp.body) {
		if rpc.Member(data, "id") == nil || rpc.Member(data, "method") != nil {
			continue // a notification, or a question
		}
		if a.verdict == Right {
			a.twice++
			continue
		}
		a.verdict, a.reason = judgeMessage(data, m)
	}
	return a
}

// judgeMessage compares one message with the call.
func judgeMessage(body []byte, m *message) (Verdict, string) {
	if id := rpc.Member(body, "id"); !bytes.Equal(id, m.markedID()) {
		return Wrong, fmt.Sprintf("id %.40s instead of %s: %.200s", id, m.markedID(), body)
	}
	result := rpc.Member(body, "result")
	if result == nil {
		return Refused, fmt.Sprintf("no result: %.200s", body)
	}
	if m.want > 0 && len(result) < m.want {
		return Wrong, fmt.Sprintf("a result of %d bytes instead of %d", len(result), m.want)
	}
	if m.token >= 0 && !bytes.Contains(result, m.markedText()) {
		return Wrong, fmt.Sprintf("the token is not %.20s: %.200s", m.markedText(), body)
	}
	return Right, ""
}

// datas are the data of the events in body, each of one line as all
// our peers write them.
func datas(body []byte) func(yield func(data []byte) bool) {
	return func(yield func(data []byte) bool) {
		for len(body) > 0 {
			var line []byte
			line, body, _ = bytes.Cut(body, []byte("\n"))
			if data, ok := bytes.CutPrefix(line, []byte("data:")); ok {
				if data = bytes.TrimSpace(data); len(data) > 0 && !yield(data) {
					return
				}
			}
		}
	}
}
