package guard

import "testing"

func TestIsJSON(t *testing.T) {
	for _, c := range []struct {
		value string
		want  bool
	}{
		{"application/json", true},
		{"Application/JSON", true},
		{" application/json ", true},
		{"application/json;charset=utf-8", true},
		{"application/json; charset=utf-8", true},
		{"application/json ; Charset=UTF-8", true},
		{`application/json; charset="utf-8"`, true},
		{"application/json;", true},
		{"", false},
		{"text/plain", false},
		{"text/json", false},
		{"application/jsonp", false},
		{"application/json-rpc", false},
		{"application/vnd.api+json", false},
		{"application", false},
		{"application/json, text/plain", false},
		{"text/plain; application/json", false},
		{"application/json; charset=utf-16", false},
		{"application/json; charset=iso-8859-1", false},
		{"application/json; charset=", false},
		{"application/json; charset", false},
		{"application/json; charset=utf-8; charset=utf-7", false},
		{"application/json; boundary=x", false},
		{"application/j\u017fon", false},
		{"multipart/form-data; boundary=application/json", false},
	} {
		if got := isJSON([]byte(c.value)); got != c.want {
			t.Errorf("Content-Type %q: %v, want %v", c.value, got, c.want)
		}
	}
}

func TestIsIdentity(t *testing.T) {
	for _, c := range []struct {
		values []string
		want   bool
	}{
		{nil, true},
		{[]string{""}, true},
		{[]string{"identity"}, true},
		{[]string{"IDENTITY, identity"}, true},
		{[]string{"gzip"}, false},
		{[]string{"identity, gzip"}, false},
		{[]string{"identity", "br"}, false},
		{[]string{"zstd"}, false},
	} {
		if got := isIdentity(bytesOf(c.values)); got != c.want {
			t.Errorf("Content-Encoding %q: %v, want %v", c.values, got, c.want)
		}
	}
}

func TestAccepted(t *testing.T) {
	const both = AcceptJSON | AcceptEventStream
	for _, c := range []struct {
		values []string
		want   Accept
	}{
		{nil, 0},
		{[]string{""}, 0},
		{[]string{"application/json, text/event-stream"}, both},
		{[]string{"text/event-stream,application/json"}, both},
		{[]string{"APPLICATION/json,Text/Event-Stream"}, both},
		{[]string{"application/json", "text/event-stream"}, both},
		{[]string{"application/json"}, AcceptJSON},
		{[]string{"text/event-stream"}, AcceptEventStream},
		{[]string{"*/*"}, both},
		{[]string{"application/*"}, AcceptJSON},
		{[]string{"text/*"}, AcceptEventStream},
		{[]string{"application/*, text/*"}, both},
		{[]string{"text/html, application/xhtml+xml, */*;q=0.8"}, both},
		{[]string{"text/html"}, 0},
		{[]string{"*"}, 0},
		{[]string{"*/json"}, 0},
		{[]string{"application/jsonx, text/event-streams"}, 0},
		{[]string{"application/json;q=0, text/event-stream"}, AcceptEventStream},
		{[]string{"application/json;q=0.0, text/event-stream;q=0.000"}, 0},
		{[]string{"application/json ; Q=0 , text/event-stream ; q=1"}, AcceptEventStream},
		{[]string{"application/json;q=0.001, text/event-stream;q=0.5"}, both},
		{[]string{"application/json;charset=utf-8;q=0, */*"}, AcceptEventStream},
		{[]string{"*/*, application/json;q=0"}, AcceptEventStream},
		{[]string{"application/json;q=0, */*"}, AcceptEventStream},
		{[]string{"*/*;q=0, application/json, text/event-stream"}, both},
		{[]string{"text/*;q=0, text/event-stream, application/json"}, both},
		{[]string{"application/*;q=0", "*/*"}, AcceptEventStream},
		{[]string{"*/*;q=0"}, 0},
		{[]string{"application/json;charset=utf-8, text/event-stream;charset=utf-8"}, both},
		{[]string{", ,application/json,,text/event-stream,"}, both},
		{[]string{"application/json;q=, text/event-stream;q=x"}, both}, // no number, so no "no"
	} {
		if got := accepted(bytesOf(c.values)); got != c.want {
			t.Errorf("Accept %q: %b, want %b", c.values, got, c.want)
		}
	}
}

func bytesOf(values []string) [][]byte {
	var all [][]byte
	for _, v := range values {
		all = append(all, []byte(v))
	}
	return all
}
