package harness

import (
	"os"
	"testing"
	"time"
)

// LongVariable says how long tests run whose worth grows with their time: a
// duration, such as 60s. Without it they are short.
const LongVariable = "TEST_LONG"

// Long is how long such a test is to run: usual, or what the environment says.
func Long(t testing.TB, usual time.Duration) time.Duration {
	t.Helper()
	said := os.Getenv(LongVariable)
	if said == "" {
		return usual
	}
	d, err := time.ParseDuration(said)
	if err != nil || d <= 0 {
		t.Fatalf("%s is %q, want a duration such as 60s", LongVariable, said)
	}
	return d
}
