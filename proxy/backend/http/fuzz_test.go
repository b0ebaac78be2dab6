package http

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"testing"

	"sidegate/proxy/wire"
)

// FuzzResponse reads any bytes as a response. What is taken for one, net/http
// takes for the same, with the same body and the same end.
func FuzzResponse(f *testing.F) {
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Type: application/json\r\n\r\n{} rest"))
	f.Add([]byte("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\n{}\r\n0\r\nA: b\r\n\r\nrest"))
	f.Add([]byte("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\nuntil the end"))
	f.Add([]byte("HTTP/1.1 204 \r\nKeep-Alive: timeout=5\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length : 1\r\n\r\n"))
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n1\nx\r\n0\r\n\r\n"))
	f.Add([]byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nno colon\r\n\r\n"))
	f.Add([]byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n00000000000000001\r\nx\r\n0\r\n\r\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 60_000 {
			return
		}
		var h head
		ours := bufio.NewReaderSize(bytes.NewReader(data), 4<<10)
		if err := h.read(ours); err != nil {
			return
		}
		var b body
		b.start(ours, &h, "POST")
		got, err := io.ReadAll(&b)
		if err != nil {
			if b.over {
				t.Errorf("a body that failed with %v is over", err)
			}
			return
		}
		want, wanted, rest := judgeResponse(t, data)
		if h.status != want || !bytes.Equal(got, wanted) {
			t.Errorf("status %d and %q; net/http says %d and %q", h.status, got, want, wanted)
		}
		if left, _ := io.ReadAll(ours); !bytes.Equal(left, rest) {
			t.Errorf("%q is left; net/http leaves %q", left, rest)
		}
	})
}

// judgeResponse is the second opinion.
func judgeResponse(t *testing.T, data []byte) (status int, body, rest []byte) {
	r := bufio.NewReader(bytes.NewReader(data))
	for {
		response, err := http.ReadResponse(r, &http.Request{Method: "POST"})
		if err != nil {
			t.Fatalf("net/http refuses the response: %v", err)
		}
		if response.StatusCode/100 == 1 {
			continue
		}
		if body, err = io.ReadAll(response.Body); err != nil {
			t.Fatalf("net/http refuses the body: %v", err)
		}
		rest, _ = io.ReadAll(r)
		return response.StatusCode, body, rest
	}
}

// TestBodyFails: a body that was cut or misframed stays so.
func TestBodyFails(t *testing.T) {
	h := head{length: -1, chunked: true}
	var b body
	b.start(bufio.NewReader(bytes.NewReader([]byte("3\r\nabcde\r\n"))), &h, "POST")
	got, err := io.ReadAll(&b)
	if bad := misframed(""); string(got) != "abc" || !errors.As(err, &bad) {
		t.Errorf("%q and %v", got, err)
	}
	for range 2 {
		if n, again := b.Read(make([]byte, 10)); n != 0 || again != err {
			t.Errorf("after the end: %d bytes and %v", n, again)
		}
	}
	if _, err := wire.NewEventReader(&b, 10, nil).Next(); err == nil {
		t.Error("an event was read from a body that failed")
	}
}
