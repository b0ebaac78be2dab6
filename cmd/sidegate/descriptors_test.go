package main

import (
	"strings"
	"testing"

	"sidegate/proxy"
)

func TestDescriptorWarning(t *testing.T) {
	c := &proxy.Config{MaxConnections: 100, Backends: []proxy.BackendConfig{{MaxLinks: 10}, {MaxLinks: 1}}}
	const need = 100 + 64 + 11*4
	if w := tooFewDescriptors(c, need); w != "" {
		t.Errorf("with enough open files: %s", w)
	}
	if w := tooFewDescriptors(c, need-1); !strings.Contains(w, "need up to 208 open files, and this process may have 207") {
		t.Errorf("with one open file too few: %q", w)
	}
	if w := descriptorWarning(&proxy.Config{}); w != "" {
		t.Errorf("for nearly nothing: %s", w)
	}
	if w := descriptorWarning(&proxy.Config{MaxConnections: 1 << 40}); w == "" {
		t.Error("for more than there can be: nothing")
	}
}
