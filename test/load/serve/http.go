package serve

import (
	"bytes"
	"crypto/rand"
	"io"
	"net"
	"net/http"

	"github.com/valyala/fasthttp"
)

// Fast serves Streamable HTTP as fast as we can: what is measured in front of
// it should not wait for it.
func (t Tools) Fast(l net.Listener) error {
	server := &fasthttp.Server{
		Handler: t.handle, NoDefaultServerHeader: true, NoDefaultDate: true, MaxRequestBodySize: 64 << 20,
	}
	return server.Serve(l)
}

func (t Tools) handle(ctx *fasthttp.RequestCtx) {
	switch {
	case ctx.IsDelete():
		return
	case !ctx.IsPost():
		ctx.SetStatusCode(http.StatusMethodNotAllowed)
		return
	}
	body := ctx.PostBody()
	ctx.Response.SetBodyRaw(nil)
	answer := t.Answer(nil, body)
	if answer == nil {
		ctx.SetStatusCode(http.StatusAccepted)
		return
	}
	ctx.SetContentType("application/json")
	if opens(body) {
		ctx.Response.Header.Set("Mcp-Session-Id", rand.Text())
	}
	ctx.Response.SetBodyRaw(answer[:len(answer)-1])
}

func opens(body []byte) bool {
	return bytes.Contains(body[:min(len(body), 100)], []byte(`"initialize"`))
}

// Plain serves Streamable HTTP as a server in Go that nobody has tuned.
func (t Tools) Plain(l net.Listener) error {
	return http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.Method {
		case http.MethodPost:
			t.post(w, r)
		case http.MethodDelete:
		default:
			w.WriteHeader(http.StatusMethodNotAllowed)
		}
	}))
}

func (t Tools) post(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	answer := t.Answer(nil, body)
	if answer == nil {
		w.WriteHeader(http.StatusAccepted)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if opens(body) {
		w.Header().Set("Mcp-Session-Id", rand.Text())
	}
	w.Write(answer[:len(answer)-1])
}
