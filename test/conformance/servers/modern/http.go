package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"

	"sidegate/test/conformance/servers/tools"
)

// maxBody bounds a request's body, in bytes.
const maxBody = 4 << 20

// ServeHTTP is modern Streamable HTTP: one request a POST, answered with JSON,
// or with a stream where something is told before the answer.
func (s *server) ServeHTTP(w http.ResponseWriter, h *http.Request) {
	if !local(h) {
		http.Error(w, "only for clients of this machine", http.StatusForbidden)
		return
	}
	if h.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "only POST", http.StatusMethodNotAllowed)
		return
	}
	r := &request{}
	if err := json.NewDecoder(http.MaxBytesReader(w, h.Body, maxBody)).Decode(r); err != nil || r.Method == "" {
		write(w, http.StatusBadRequest, failed(r, &tools.Error{Code: codeInvalidRequest, Message: "not a request"}))
		return
	}
	if r.ID == nil {
		w.WriteHeader(http.StatusAccepted)
		return
	}
	if err := r.read(); err != nil {
		write(w, http.StatusBadRequest, failed(r, err))
		return
	}
	if err := compare(h.Header, r); err != nil {
		write(w, http.StatusBadRequest, failed(r, err))
		return
	}
	out := &stream{w: w}
	answer := s.answer(h.Context(), r, out.tell)
	if out.begun {
		out.tell(answer)
		return
	}
	write(w, status(answer), answer)
}

// local tells whether a request is for this machine by its own names, and from
// no foreign page: what protects against DNS rebinding.
func local(h *http.Request) bool {
	names := []string{h.Host}
	if origin := h.Header.Get("Origin"); origin != "" {
		u, err := url.Parse(origin)
		if err != nil {
			return false
		}
		names = append(names, u.Host)
	}
	for _, name := range names {
		if host, _, err := net.SplitHostPort(name); err == nil {
			name = host
		}
		if address := net.ParseIP(strings.Trim(name, "[]")); name != "localhost" && (address == nil || !address.IsLoopback()) {
			return false
		}
	}
	return true
}

// compare holds the headers to the body.
func compare(h http.Header, r *request) error {
	wanted := map[string]string{"Mcp-Protocol-Version": r.meta.Revision, "Mcp-Method": r.Method}
	switch r.Method {
	case "tools/call", "prompts/get", "resources/read":
		wanted["Mcp-Name"] = r.name
	}
	if region, given := regionOf(r); given {
		wanted["Mcp-Param-Region"] = region
	}
	for name, value := range wanted {
		if len(h.Values(name)) != 1 || decode(h.Get(name)) != value {
			return &tools.Error{Code: codeHeaderMismatch, Message: fmt.Sprintf("%s is %q, want %q", name, h.Values(name), value)}
		}
	}
	return nil
}

// regionOf is the one argument of all tools that is a header too.
func regionOf(r *request) (string, bool) {
	var p struct {
		Arguments struct{ Region *string }
	}
	if r.Method != "tools/call" || r.name != "test_x_mcp_header" || json.Unmarshal(r.Params, &p) != nil || p.Arguments.Region == nil {
		return "", false
	}
	return *p.Arguments.Region, true
}

// decode undoes the encoding of values that are no plain text. What is not
// encoded well is no value at all.
func decode(value string) string {
	value = strings.TrimSpace(value)
	encoded, wrapped := strings.CutPrefix(value, "=?base64?")
	encoded, ended := strings.CutSuffix(encoded, "?=")
	if !wrapped || !ended {
		return value
	}
	plain, err := base64.StdEncoding.Strict().DecodeString(encoded)
	if err != nil {
		return "\x00"
	}
	return string(plain)
}

// status is the HTTP status of an answer that is no stream.
func status(answer tools.Result) int {
	e, _ := answer["error"].(*tools.Error)
	switch {
	case e == nil:
		return http.StatusOK
	case e.Code == codeNotFound:
		return http.StatusNotFound
	case e.Code == codeHeaderMismatch, e.Code == codeMissingCapability, e.Code == codeUnsupportedVersion:
		return http.StatusBadRequest
	}
	return http.StatusOK
}

func write(w http.ResponseWriter, status int, answer tools.Result) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(answer) // the client may have left
}

// A stream is a response that becomes an event stream once something is told.
type stream struct {
	w     http.ResponseWriter
	begun bool
}

func (s *stream) tell(m tools.Result) {
	if !s.begun {
		s.begun = true
		s.w.Header().Set("Content-Type", "text/event-stream")
		s.w.Header().Set("X-Accel-Buffering", "no")
	}
	event, err := json.Marshal(m)
	if err != nil {
		panic(err) // we made it
	}
	_, _ = fmt.Fprintf(s.w, "data: %s\n\n", event) // the client may have left
	_ = http.NewResponseController(s.w).Flush()
}
