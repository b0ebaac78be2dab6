package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestStateKeys(t *testing.T) {
	const key = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
	for _, test := range []struct{ name, text, want string }{
		{"one", key + "\n", ""},
		{"two, with a comment", "# new\n" + key + "\n\n " + key + " \r\n", ""},
		{"none", "# later\n", "it holds 0"},
		{"three", strings.Repeat(key+"\n", 3), "it holds 3"},
		{"a short one", "MDEy\n", ":1: must be 32 bytes in base64"},
		{"no base64", key + "\nsecret!\n", ":2: must be 32 bytes in base64"},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "keys")
			if err := os.WriteFile(path, []byte(test.text), 0o600); err != nil {
				t.Fatal(err)
			}
			keys, err := readStateKeys(path)
			switch {
			case test.want == "" && (err != nil || string(keys[0]) != "0123456789abcdef0123456789abcdef"):
				t.Errorf("got %q, %v", keys, err)
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "secret")):
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
	if keys, err := readStateKeys(""); keys != nil || err != nil {
		t.Errorf("no file: %v, %v", keys, err)
	}
	if _, err := readStateKeys("/does/not/exist"); err == nil || !strings.Contains(err.Error(), "--state-key-file") {
		t.Errorf("a file that is not there: %v", err)
	}
}
