package e2e

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"testing"

	"sidegate/test/e2e/harness"
)

// decode reads raw JSON.
func decode(t *testing.T, raw []byte, into any) {
	t.Helper()
	if err := json.Unmarshal(raw, into); err != nil {
		t.Fatalf("%v in %s", err, harness.Short(string(raw)))
	}
}

// writeArguments are arguments for tool write: text as it is, with $ID
// replaced by the call's id, and then a proper answer if answer is set.
func writeArguments(text string, answer bool) string {
	return fmt.Sprintf(`{"base64":%q,"answer":%v}`, base64.StdEncoding.EncodeToString([]byte(text)), answer)
}
