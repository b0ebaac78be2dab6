package guard

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"regexp"
)

// largestTokenFile is in bytes: room for some ten thousand tokens. All are
// compared with each request.
const largestTokenFile = 1 << 20

// The two forms of a line. A bearer token is what RFC 6750, section 2.1, calls
// b64token: "=" stands at its end only, so NAME=TOKEN cannot be one.
var (
	tokenForm = regexp.MustCompile(`^[A-Za-z0-9._~+/-]+=*$`)
	nameForm  = regexp.MustCompile(`^[!-<>-~]{1,64}$`) // visible ASCII but "="
)

// readTokens reads a token file. The info is that of the file which was read,
// from before it was read, so that a later change shows; nil where the file
// could not be opened. Errors name the flag, the file, and the line, but never
// quote the line: it may be a secret.
func readTokens(path string) (tokenSet, os.FileInfo, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, fmt.Errorf("--token-file: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, nil, fmt.Errorf("--token-file: %w", err)
	}
	text, err := io.ReadAll(io.LimitReader(f, largestTokenFile+1))
	if err != nil {
		return nil, info, fmt.Errorf("--token-file: %w", err)
	}
	if len(text) > largestTokenFile {
		return nil, info, fmt.Errorf("--token-file %s: is larger than %d bytes", path, largestTokenFile)
	}
	set, err := parseTokens(text)
	if err != nil {
		return nil, info, fmt.Errorf("--token-file %s: %w", path, err)
	}
	return set, info, nil
}

// parseTokens reads the lines TOKEN and NAME=TOKEN; empty ones, and those that
// begin with "#", are skipped.
func parseTokens(text []byte) (tokenSet, error) {
	var set tokenSet
	tokenLines := make(map[[sha256.Size]byte]int)
	nameLines := make(map[string]int)
	n := 0
	for line := range bytes.Lines(text) {
		n++
		line = bytes.TrimSpace(line)
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		t, err := parseToken(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		if first := tokenLines[t.digest]; first > 0 {
			return nil, fmt.Errorf("line %d: has the same token as line %d; each caller needs its own", n, first)
		}
		if first := nameLines[t.principal]; first > 0 {
			return nil, fmt.Errorf("line %d: has the same name as line %d, %q; choose another", n, first, t.principal)
		}
		tokenLines[t.digest], nameLines[t.principal] = n, n
		set = append(set, t)
	}
	if len(set) == 0 {
		return nil, fmt.Errorf("holds no token, so nobody could come in; add a line TOKEN or NAME=TOKEN")
	}
	return set, nil
}

// parseToken reads one line.
func parseToken(line []byte) (token, error) {
	if tokenForm.Match(line) && !isNameAlone(line) {
		t := token{digest: sha256.Sum256(line)}
		// Without a name it goes by a part of its digest: the same after every
		// restart, and too little to find the token by.
		t.principal = "token-" + hex.EncodeToString(t.digest[:4])
		return t, nil
	}
	name, secret, ok := bytes.Cut(line, []byte("="))
	switch {
	case ok && len(secret) == 0:
		return token{}, fmt.Errorf("the token after = is missing; a line is TOKEN or NAME=TOKEN")
	case !ok || !tokenForm.Match(secret):
		return token{}, fmt.Errorf("a token has letters, digits and -._~+/ only, and = only at its end")
	case !nameForm.Match(name):
		return token{}, fmt.Errorf("a name has 1 to 64 visible ASCII characters")
	}
	return token{principal: string(name), digest: sha256.Sum256(secret)}, nil
}

// isNameAlone tells whether a line that ends in "=" is rather NAME= with its
// token missing, as an unset variable leaves it, than a token with the padding
// of base64. Taken for a token it would let in whoever guesses the name.
func isNameAlone(line []byte) bool {
	if line[len(line)-1] != '=' {
		return false
	}
	_, err := base64.StdEncoding.DecodeString(string(line))
	_, errURL := base64.URLEncoding.DecodeString(string(line))
	return len(line) < 16 || err != nil && errURL != nil
}
