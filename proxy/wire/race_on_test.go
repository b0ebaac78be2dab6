//go:build race

package wire

import "testing"

func skipUnderRace(t *testing.T) {
	t.Helper()
	t.Skip("the race detector lets sync.Pool forget at random, so allocations cannot be counted")
}
