package guard

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

func TestParseTokens(t *testing.T) {
	unnamed := func(token string) string {
		digest := sha256.Sum256([]byte(token))
		return "token-" + hex.EncodeToString(digest[:4])
	}
	const padded = "3q2+7wAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
	for _, c := range []struct {
		name, text string
		want       map[string]string // token to principal
		err        string
	}{
		{"named", "ann=s3cret", map[string]string{"s3cret": "ann"}, ""},
		{"unnamed", "s3cret", map[string]string{"s3cret": unnamed("s3cret")}, ""},
		{"several, comments, blank lines", "# who\n\nann=one\n  bob=two  \r\n\t\n#three\nfour", map[string]string{"one": "ann", "two": "bob", "four": unnamed("four")}, ""},
		{"padding", padded, map[string]string{padded: unnamed(padded)}, ""},
		{"a name and padding", "ann=" + padded, map[string]string{padded: "ann"}, ""},
		{"a name and short padding", "ann=dG9r==", map[string]string{"dG9r==": "ann"}, ""},
		{"every character", "ann=aZ09-._~+/", map[string]string{"aZ09-._~+/": "ann"}, ""},
		{"an address for a name", "ann@example.com=s3cret", map[string]string{"s3cret": "ann@example.com"}, ""},

		{"nothing", "", nil, "holds no token"},
		{"comments only", "# ann=s3cret\n\n", nil, "holds no token"},
		{"the same token", "ann=s3cret\n\nbob=s3cret", nil, "line 3: has the same token as line 1"},
		{"the same token, unnamed", "s3cret\ns3cret", nil, "line 2: has the same token as line 1"},
		{"the same token, named and not", "s3cret\nann=s3cret", nil, "line 2: has the same token as line 1"},
		{"the same name", "ann=one\nann=two", nil, `line 2: has the same name as line 1, "ann"`},
		{"another's made-up name", "s3cret\n" + unnamed("s3cret") + "=two", nil, "line 2: has the same name as line 1"},
		{"a name alone", "ok\nann=", nil, "line 2: the token after = is missing"},
		{"a longer name alone", "service.account.one=", nil, "line 1: the token after = is missing"},
		{"no name", "=s3cret", nil, "line 1: a name has"},
		{"a token in two words", "s3cret word", nil, "line 1: a token has"},
		{"a named token in two words", "ann=s3cret word", nil, "line 1: a token has"},
		{"a comment behind", "ann=s3cret # hers", nil, "line 1: a token has"},
		{"= within the token", "ann=s3=cret", nil, "line 1: a token has"},
		{"a name with a space", "ann b=s3cret", nil, "line 1: a name has"},
		{"a name that is not ASCII", "änn=s3cret", nil, "line 1: a name has"},
		{"a name that is too long", strings.Repeat("n", 65) + "=s3cret", nil, "line 1: a name has"},
		{"a scheme before it", "Bearer s3cret", nil, "line 1: a token has"},
	} {
		set, err := parseTokens([]byte(c.text))
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: error %v, want %q", c.name, err, c.err)
			} else if strings.Contains(err.Error(), "s3cret") {
				t.Errorf("%s: the error tells a secret: %v", c.name, err)
			}
			continue
		}
		if err != nil || len(set) != len(c.want) {
			t.Errorf("%s: %d tokens, error %v", c.name, len(set), err)
		}
		for token, principal := range c.want {
			if got, ok := set.find([]byte(token)); !ok || got != principal {
				t.Errorf("%s: %s is %q's, want %q", c.name, token, got, principal)
			}
		}
	}
}

func TestAuthorization(t *testing.T) {
	set, err := parseTokens([]byte("ann=one\nbob=two\nlong=" + strings.Repeat("x", 5000)))
	if err != nil {
		t.Fatal(err)
	}
	file := &tokens{start: time.Now()}
	file.set.Store(&set)
	file.due.Store(int64(time.Hour))
	for _, c := range []struct {
		fields    []string
		principal string
		want      *challenge
	}{
		{[]string{"Bearer one"}, "ann", nil},
		{[]string{"bearer two"}, "bob", nil},
		{[]string{"BEARER  two"}, "bob", nil},
		{[]string{"Bearer " + strings.Repeat("x", 5000)}, "long", nil},
		{nil, "", missing},
		{[]string{""}, "", missing},
		{[]string{"Basic YW5uOm9uZQ=="}, "", missing},
		{[]string{"one"}, "", missing},
		{[]string{"Bearerone"}, "", missing},
		{[]string{"Bearer"}, "", unknown},
		{[]string{"Bearer "}, "", unknown},
		{[]string{"Bearer On"}, "", unknown},
		{[]string{"Bearer One"}, "", unknown},
		{[]string{"Bearer one "}, "", unknown},
		{[]string{"Bearer onee"}, "", unknown},
		{[]string{"Bearer ann=one"}, "", unknown},
		{[]string{"Bearer one, Bearer two"}, "", unknown},
		{[]string{"Bearer one", "Bearer one"}, "", several},
		{[]string{"Bearer wrong", "Bearer one"}, "", several},
	} {
		principal, got := file.check(bytesOf(c.fields))
		if principal != c.principal || got != c.want {
			t.Errorf("%q: %q, %v", c.fields, principal, got)
		}
	}
}

// TestChallenge: a 401 says how to do better (RFC 6750, section 3).
func TestChallenge(t *testing.T) {
	g := mustNew(t, Config{TokenFile: tokenFile(t, "ann=s3cret")})
	for _, c := range []struct {
		fields []string
		want   string
	}{
		{nil, `Bearer realm="sidegate"`},
		{[]string{"Authorization: Basic YQ=="}, `Bearer realm="sidegate"`},
		{[]string{"Authorization: Bearer wrong"}, `Bearer realm="sidegate", error="invalid_token"`},
		{[]string{tokenField, tokenField}, `Bearer realm="sidegate", error="invalid_request"`},
	} {
		ctx := request(t, loopback, "DELETE /mcp HTTP/1.1", append(c.fields, hostField)...)
		v, r := g.Door(ctx, endpoint)
		if r == nil || r.Status != 401 || r.Reason != "token" || v.Principal != "" {
			t.Errorf("%s: %+v, %v", c.fields, v, r)
		}
		if got := string(ctx.Response.Header.Peek("WWW-Authenticate")); got != c.want {
			t.Errorf("%s: %s, want %s", c.fields, got, c.want)
		}
	}
	ctx := request(t, loopback, "DELETE /mcp HTTP/1.1", tokenField, hostField)
	if v, r := g.Door(ctx, endpoint); r != nil || v.Principal != "ann" {
		t.Errorf("%+v, %v", v, r)
	}
}

func TestReload(t *testing.T) {
	path := tokenFile(t, "ann=one")
	write := func(t *testing.T, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zapcore.InfoLevel)
		file, err := openTokens(path, zap.New(core))
		if err != nil {
			t.Fatal(err)
		}
		expect := func(step, principal, token string, known bool) {
			t.Helper()
			got, c := file.check([][]byte{[]byte("Bearer " + token)})
			if (c == nil) != known || got != principal {
				t.Errorf("%s: %s is %q's, refused %v", step, token, got, c != nil)
			}
		}
		logged := func(step string, level zapcore.Level, part string) {
			t.Helper()
			all := logs.TakeAll()
			if part == "" {
				if len(all) > 0 {
					t.Errorf("%s: logged %v", step, all)
				}
				return
			}
			if len(all) != 1 || all[0].Level != level || !strings.Contains(all[0].Message, part) {
				t.Errorf("%s: logged %v, want one line with %q", step, all, part)
			}
			for _, entry := range all {
				for _, field := range entry.Context {
					if strings.Contains(field.String, "one") || strings.Contains(field.String, "two") {
						t.Errorf("%s: the log tells a token: %v", step, field)
					}
				}
			}
		}

		expect("at first", "ann", "one", true)
		write(t, "ann=two, and more\n")
		expect("changed, but just looked at", "ann", "one", true)
		time.Sleep(recheck)
		expect("changed for the worse", "ann", "one", true)
		logged("changed for the worse", zapcore.ErrorLevel, "cannot be used")
		time.Sleep(recheck)
		expect("still bad", "ann", "one", true)
		logged("still bad", 0, "")

		write(t, "bob=two\n")
		time.Sleep(recheck)
		expect("mended", "bob", "two", true)
		expect("mended", "", "one", false)
		logged("mended", zapcore.InfoLevel, "read again")

		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			time.Sleep(recheck)
			expect("gone", "bob", "two", true)
		}
		logged("gone", zapcore.ErrorLevel, "cannot be used")

		// As a mounted secret changes: another file under the old name, here
		// of the old size.
		other := path + ".new"
		if err := os.WriteFile(other, []byte("ann=one\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(other, path); err != nil {
			t.Fatal(err)
		}
		time.Sleep(recheck)
		expect("renamed", "ann", "one", true)
		logged("renamed", zapcore.InfoLevel, "read again")

		time.Sleep(time.Hour)
		expect("long after", "ann", "one", true)
		logged("long after", 0, "")
	})
}

func TestTokenFileIsBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(path, make([]byte, largestTokenFile+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := readTokens(path); err == nil || !strings.Contains(err.Error(), "larger than") || !strings.Contains(err.Error(), path) {
		t.Errorf("error %v", err)
	}
	if _, _, err := readTokens(filepath.Dir(path)); err == nil || !strings.HasPrefix(err.Error(), "--token-file") {
		t.Errorf("a folder: error %v", err)
	}
}

// TestReloadWhileInUse is for the race detector.
func TestReloadWhileInUse(t *testing.T) {
	path := tokenFile(t, "ann=one")
	file, err := openTokens(path, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	var users sync.WaitGroup
	for range 4 {
		users.Go(func() {
			for range 200 {
				file.due.Store(0)
				if principal, c := file.check([][]byte{[]byte("Bearer one")}); c != nil || principal != "ann" {
					t.Errorf("%q, %v", principal, c)
				}
			}
		})
	}
	for i := range 50 {
		other := path + ".new"
		text := "ann=one\n" + strings.Repeat("# \n", i)
		if err := os.WriteFile(other, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(other, path); err != nil {
			t.Fatal(err)
		}
	}
	users.Wait()
}

func BenchmarkFindToken(b *testing.B) {
	var lines strings.Builder
	for i := range 1000 {
		lines.WriteString(strings.Repeat("x", i+1) + "\n")
	}
	set, err := parseTokens([]byte(lines.String()))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		set.find([]byte("a token of the usual length, more or less"))
	}
}

// TestPipe: tokens may come through a pipe, which is read once.
func TestPipe(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := w.WriteString("ann=one\n"); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	path := fmt.Sprintf("/dev/fd/%d", r.Fd())
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zapcore.InfoLevel)
		file, err := openTokens(path, zap.New(core))
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if principal, c := file.check([][]byte{[]byte("Bearer one")}); c != nil || principal != "ann" {
				t.Errorf("%q, %v", principal, c)
			}
			time.Sleep(recheck)
		}
		if logs.Len() > 0 {
			t.Errorf("logged %v", logs.All())
		}
	})
}
