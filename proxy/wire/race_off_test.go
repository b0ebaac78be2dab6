//go:build !race

package wire

import "testing"

func skipUnderRace(*testing.T) {}
