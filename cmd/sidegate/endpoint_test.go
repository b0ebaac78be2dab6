package main

import "testing"

func TestEndpoints(t *testing.T) {
	for _, c := range []struct {
		listen, url string
		warned      bool
	}{
		{"127.0.0.1:8080", "http://127.0.0.1:8080/mcp", false},
		{"127.0.0.5:1", "http://127.0.0.5:1/mcp", false},
		{"[::1]:8080", "http://[::1]:8080/mcp", false},
		{"[::ffff:127.0.0.1]:1", "http://[::ffff:127.0.0.1]:1/mcp", false},
		{"localhost:8080", "http://localhost:8080/mcp", false},
		{":8080", "http://127.0.0.1:8080/mcp", true},
		{"0.0.0.0:8080", "http://127.0.0.1:8080/mcp", true},
		{"[::]:8080", "http://127.0.0.1:8080/mcp", true},
		{"10.0.0.1:8080", "http://10.0.0.1:8080/mcp", true},
		{"gate.example:8080", "http://gate.example:8080/mcp", true},
		{"unix:///run/gate.sock", "unix:///run/gate.sock", false},
	} {
		if got := endpoint(c.listen, mcpPath); got != c.url {
			t.Errorf("%s is served at %s; want %s", c.listen, got, c.url)
		}
		if got := openWarning(c.listen, "") != ""; got != c.warned {
			t.Errorf("%s: warned is %v; want %v", c.listen, got, c.warned)
		}
		if got := adminWarning(c.listen) != ""; got != c.warned {
			t.Errorf("%s for admin: warned is %v; want %v", c.listen, got, c.warned)
		}
		if got := openWarning(c.listen, "tokens"); got != "" {
			t.Errorf("%s with tokens: %s", c.listen, got)
		}
	}
}

func TestNoAdminNoWarning(t *testing.T) {
	if got := adminWarning("off"); got != "" {
		t.Error(got)
	}
}

func TestShellQuote(t *testing.T) {
	for text, want := range map[string]string{"": "''", "a b": "'a b'", "it's": `'it'\''s'`, "$x": "'$x'"} {
		if got := shellQuote(text); got != want {
			t.Errorf("shellQuote(%q) = %s; want %s", text, got, want)
		}
	}
}
