//go:build !linux

package main

import (
	"bytes"
	"testing"
)

// Where there is no Linux only the plan can be had. (Where there is, a test of
// these commands needs a network namespace of its own: test/fence.)
func TestFenceIsLinux(t *testing.T) {
	for _, args := range [][]string{{"apply", "--tool-port=8080", "--tool-uid=1000"}, {"verify", "--tool-port=8080", "--tool-uid=1000"}, {"remove"}} {
		var out, errs bytes.Buffer
		if code := execute(append([]string{"fence"}, args...), &out, &errs); code != exitFailed {
			t.Errorf("%v: exit code %d, %s", args, code, &errs)
		}
	}
}
