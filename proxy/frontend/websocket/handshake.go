package websocket

import (
	"bytes"
	"encoding/base64"
	"strings"

	"github.com/valyala/fasthttp"

	"sidegate/proxy/refusal"
	"sidegate/proxy/ws"
)

// The header fields of a handshake (RFC 6455, section 11.3).
const (
	headerKey        = "Sec-WebSocket-Key"
	headerVersion    = "Sec-WebSocket-Version"
	headerProtocol   = "Sec-WebSocket-Protocol"
	headerExtensions = "Sec-WebSocket-Extensions"

	version   = "13"
	nonceSize = 16 // bytes of the key, decoded
)

// handshake reads what a request asks for (RFC 6455, section 4.2.1). Where it
// cannot be had, what the client could ask for instead is set on the response.
func handshake(ctx *fasthttp.RequestCtx) (h ws.Handshake, refused *refusal.Refusal) {
	in, out := &ctx.Request.Header, &ctx.Response.Header
	if !in.IsHTTP11() || !names(in, fasthttp.HeaderConnection, "upgrade") || !names(in, fasthttp.HeaderUpgrade, "websocket") {
		out.Set(fasthttp.HeaderUpgrade, "websocket")
		out.Set(fasthttp.HeaderConnection, "Upgrade")
		return h, refusal.Upgrade
	}
	if v := in.PeekAll(headerVersion); len(v) != 1 || string(v[0]) != version {
		out.Set(headerVersion, version)
		return h, refusal.Upgrade.With("this version of WebSocket is not spoken here, %s is", version)
	}
	h = ws.Handshake{Protocols: list(in, headerProtocol), Extensions: list(in, headerExtensions)}
	key := in.PeekAll(headerKey)
	if len(key) != 1 || !isNonce(key[0]) {
		return h, refusal.BadHTTP.With("%s has to stand once, and be %d bytes in base64", headerKey, nonceSize)
	}
	h.Key = string(key[0])
	if h.Protocols != "" && !names(in, headerProtocol, ws.Subprotocol) {
		return h, refusal.Subprotocol
	}
	return h, nil
}

// names tells whether a list in the header has a token, whatever its case.
func names(h *fasthttp.RequestHeader, field, token string) bool {
	for name := range strings.SplitSeq(list(h, field), ",") {
		if strings.EqualFold(strings.TrimSpace(name), token) {
			return true
		}
	}
	return false
}

// list is what all fields of a name say.
func list(h *fasthttp.RequestHeader, field string) string {
	return string(bytes.Join(h.PeekAll(field), []byte(",")))
}

func isNonce(key []byte) bool {
	nonce, err := base64.StdEncoding.DecodeString(string(key))
	return err == nil && len(nonce) == nonceSize
}
