// Package serve holds the tool servers that the load harness puts behind what
// it measures, and the relay that is the floor of anything between: fast, so
// that they do not hide the differences, and plain.
package serve

import (
	"bytes"
	"strconv"
	"time"

	"sidegate/test/load/rpc"
)

// A Tools answers messages: initialize, ping, tools/list and the calls of its
// tools. Echo returns its argument text; notify says first that the list of
// tools has changed; big returns as many bytes as it is told, and says so
// first as well, which makes the answer an event; stall never answers again,
// whatever it is asked.
type Tools struct {
	Modern bool // speak 2026-07-28 and nothing else

	lines bool // there is room for more than the answer
}

const (
	tools = `{"tools":[` +
		`{"name":"echo","inputSchema":{"type":"object","properties":{"text":{"type":"string"}}}},` +
		`{"name":"big","inputSchema":{"type":"object","properties":{"bytes":{"type":"integer"}}}},` +
		`{"name":"notify","inputSchema":{"type":"object"}},` +
		`{"name":"stall","inputSchema":{"type":"object"}}]`
	complete   = `,"resultType":"complete"`
	discovered = `{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{"tools":{}},` +
		`"serverInfo":{"name":"load","version":"1"},"ttlMs":60000,"cacheScope":"public"}`
	changed = `{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}` + "\n"
)

// Answer appends the answer to a message, a line with its end; nothing for
// what asks for no answer.
func (t Tools) Answer(dst, message []byte) []byte {
	id := rpc.Member(message, "id")
	method := rpc.Text(rpc.Member(message, "method"))
	if id == nil || method == nil {
		return dst
	}
	if string(method) == "tools/call" {
		return t.call(dst, id, rpc.Member(message, "params"))
	}
	dst = begin(dst, id)
	switch {
	case string(method) == "ping":
		dst = append(dst, "{}"...)
	case string(method) == "initialize" && !t.Modern:
		dst = initialized(dst, rpc.Member(rpc.Member(message, "params"), "protocolVersion"))
	case string(method) == "server/discover" && t.Modern:
		dst = append(dst, discovered...)
	case string(method) == "tools/list":
		dst = append(dst, tools...)
		dst = append(t.kind(dst, `,"ttlMs":60000,"cacheScope":"public"`), '}')
	default:
		dst = dst[:len(dst)-len(`"result":`)]
		dst = append(dst, `"error":{"code":-32601,"message":"no such method"}`...)
	}
	return append(dst, "}\n"...)
}

// kind appends what a modern result has beside a legacy one.
func (t Tools) kind(dst []byte, more string) []byte {
	if t.Modern {
		dst = append(append(dst, complete...), more...)
	}
	return dst
}

func begin(dst, id []byte) []byte {
	dst = append(dst, `{"jsonrpc":"2.0","id":`...)
	dst = append(dst, id...)
	return append(dst, `,"result":`...)
}

func initialized(dst, revision []byte) []byte {
	dst = append(dst, `{"protocolVersion":`...)
	dst = append(dst, revision...)
	return append(dst, `,"capabilities":{"tools":{"listChanged":true}},"serverInfo":{"name":"load","version":"1"}}`...)
}

func (t Tools) call(dst, id, params []byte) []byte {
	arguments := rpc.Member(params, "arguments")
	name := rpc.Text(rpc.Member(params, "name"))
	switch string(name) {
	case "notify", "big":
		if t.lines {
			dst = append(dst, changed...)
		}
	case "stall":
		time.Sleep(1 << 62)
	}
	dst = append(begin(dst, id), `{"content":[{"type":"text","text":"`...)
	switch string(name) {
	case "echo":
		dst = append(dst, rpc.Text(rpc.Member(arguments, "text"))...)
	case "big":
		n, _ := strconv.Atoi(string(rpc.Member(arguments, "bytes")))
		dst = append(dst, bytes.Repeat([]byte{'x'}, n)...)
	}
	dst = append(dst, `"}]`...)
	return append(t.kind(dst, ""), "}}\n"...)
}
