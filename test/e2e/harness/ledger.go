package harness

import (
	"bytes"
	"os"
)

// Ledger reads the file of the fixture's flag -ledger: how often each call was
// processed.
func Ledger(file string) (map[string]int, error) {
	text, err := os.ReadFile(file)
	times := map[string]int{}
	for line := range bytes.Lines(text) {
		times[string(bytes.TrimSuffix(line, []byte("\n")))]++
	}
	return times, err
}
