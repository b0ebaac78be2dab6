package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sidegate/test/e2e/harness"
)

// tokenFile writes a token file and returns its path.
func tokenFile(t *testing.T, lines ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tokens")
	writeTokens(t, path, lines...)
	return path
}

// writeTokens replaces a token file as careful people do: beside it, then
// renamed over it.
func writeTokens(t *testing.T, path string, lines ...string) {
	t.Helper()
	next := path + ".next"
	if err := os.WriteFile(next, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, path); err != nil {
		t.Fatal(err)
	}
}

func TestToken(t *testing.T) {
	t.Parallel()
	g := gate(t, "--token-file", tokenFile(t, "0123456789abcdef", "alice=fedcba9876543210"))
	for name, header := range map[string]string{
		"none": "", "wrong": "Bearer 0123456789abcdeX", "prefix": "Bearer 0123456789abcde", "longer": "Bearer 0123456789abcdef0",
		"empty": "Bearer ", "basic": "Basic 0123456789abcdef", "bare": "0123456789abcdef",
		"name and token": "Bearer alice=fedcba9876543210", "name": "Bearer alice",
	} {
		t.Run(name, func(t *testing.T) {
			for _, r := range []*harness.Request{harness.Client{}.Initialize(), harness.Get(), harness.Delete()} {
				if header != "" {
					r.Add("Authorization", header)
				}
				resp := g.Do(t, r)
				resp.WantRefusal(t, 401, invalidRequest, "")
				if !strings.HasPrefix(resp.Header.Get("WWW-Authenticate"), "Bearer") {
					t.Errorf("WWW-Authenticate is %q", resp.Header.Get("WWW-Authenticate"))
				}
			}
		})
	}
	t.Run("right", func(t *testing.T) {
		for _, token := range []string{"0123456789abcdef", "fedcba9876543210"} {
			alive(t, g.Open(t, harness.Client{Token: token}))
		}
	})
	t.Run("scheme in another case", func(t *testing.T) {
		g.Do(t, harness.Client{}.Initialize().Add("Authorization", "bearer 0123456789abcdef")).WantStatus(t, 200)
	})
	t.Run("healthz needs none", func(t *testing.T) {
		g.Do(t, harness.Bare("GET", "/healthz")).WantStatus(t, 200)
	})
	t.Run("it is not logged", func(t *testing.T) {
		for _, token := range []string{"0123456789abcdef", "fedcba9876543210"} {
			if strings.Contains(g.Log(), token) {
				t.Error("the log has a token in it")
			}
		}
	})
}

func TestTokenFileIsReadAgain(t *testing.T) {
	t.Parallel()
	file := tokenFile(t, "old-old-old-old-old")
	g := gate(t, "--token-file", file)
	s := g.Open(t, harness.Client{Token: "old-old-old-old-old"})
	writeTokens(t, file, "new-new-new-new-new")
	harness.Eventually(t, "the new token is let in", func() bool {
		return g.Do(t, harness.Client{Token: "new-new-new-new-new"}.Initialize()).Status == 200
	})
	s.Do(t, ping("1")).WantRefusal(t, 401, invalidRequest, "")
	t.Run("a bad file keeps the old state", func(t *testing.T) {
		os.Remove(file)
		alive(t, g.Open(t, harness.Client{Token: "new-new-new-new-new"}))
		writeTokens(t, file, "third-third-third-third")
		harness.Eventually(t, "the third token is let in", func() bool {
			return g.Do(t, harness.Client{Token: "third-third-third-third"}.Initialize()).Status == 200
		})
	})
}
