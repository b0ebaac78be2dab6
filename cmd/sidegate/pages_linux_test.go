package main

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// TestDropPages: the pages of the program's file go, and what is needed comes
// back: this very test runs on.
func TestDropPages(t *testing.T) {
	if len(clean()) == 0 {
		t.Fatal("no mapping of the program is found")
	}
	before := residentFile(t)
	dropPages()
	if after := residentFile(t); before-after < 1<<10 {
		t.Errorf("%d kB of files are resident after %d kB before", after, before)
	}
}

// residentFile returns how many kB of files this process has resident.
func residentFile(t *testing.T) (kB int) {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "RssFile:")
	if _, err := fmt.Sscan(rest, &kB); err != nil {
		t.Fatal(err)
	}
	return kB
}

// TestSpan reads the addresses of a mapping, and of none.
func TestSpan(t *testing.T) {
	for text, want := range map[string]mapping{
		"00400000-009f3000":                 {0x400000, 0x9f3000},
		"ffffffffff600000-ffffffffff601000": {0xffffffffff600000, 0xffffffffff601000},
		"400000-":                           {},
		"x-9f3000":                          {},
	} {
		if got := span(text); got != want {
			t.Errorf("%s: %x", text, got)
		}
	}
}
