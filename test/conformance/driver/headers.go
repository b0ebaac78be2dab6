package main

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
)

// headers are those of a request of this client's era.
func (c *client) headers(method string, params object) http.Header {
	h := http.Header{"Content-Type": {"application/json"}, "Accept": {"application/json, text/event-stream"}}
	if !c.modern {
		if c.session != "" {
			h.Set("Mcp-Session-Id", c.session)
			h.Set("Mcp-Protocol-Version", legacyRevision)
		}
		return h
	}
	h.Set("Mcp-Protocol-Version", modernRevision)
	h.Set("Mcp-Method", method)
	switch method {
	case "tools/call", "prompts/get":
		h.Set("Mcp-Name", encode(params["name"]))
	case "resources/read":
		h.Set("Mcp-Name", encode(params["uri"]))
	}
	if method == "tools/call" {
		c.mirror(h, params["name"], params["arguments"].(object))
	}
	return h
}

// mirror adds the arguments that the tool's schema wants as headers.
func (c *client) mirror(h http.Header, name any, arguments object) {
	for _, t := range c.tools {
		if t.Name != name {
			continue
		}
		for property, schema := range t.InputSchema.Properties {
			if value := arguments[property]; schema.Header != "" && value != nil {
				h.Set("Mcp-Param-"+schema.Header, encode(value))
			}
		}
	}
}

// encode makes a header value of an argument: as it is where it is plain text.
func encode(value any) string {
	s := fmt.Sprint(value)
	plain := strings.TrimSpace(s) == s && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' })
	if plain && !strings.HasPrefix(s, "=?base64?") {
		return s
	}
	return "=?base64?" + base64.StdEncoding.EncodeToString([]byte(s)) + "?="
}
