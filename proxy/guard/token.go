package guard

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"sidegate/proxy/refusal"
)

// recheck is how often the token file is looked at, and so how long a token
// that was taken out of it may go on letting requests in. What was let in
// before is not cut: a stream that is open stays open, and a call in flight is
// answered.
const recheck = time.Second

// tokens are those of the token file, read again when it changes. It is looked
// at on use: a gate that nobody asks for anything reads nothing.
type tokens struct {
	path string
	log  *zap.Logger
	set  atomic.Pointer[tokenSet]

	start time.Time
	due   atomic.Int64 // when to look next, in nanoseconds since start

	mu      sync.Mutex  // one looks at a time, and the others go on with what there is
	info    os.FileInfo // of the file that was read last, in use or not
	problem string      // what was logged last, so that it is logged once
}

// openTokens reads the token file for the first time. Then an error is the
// caller's; later ones are logged, and the tokens that were read before stay.
func openTokens(path string, log *zap.Logger) (*tokens, error) {
	t := &tokens{path: path, log: log, start: time.Now()}
	set, info, err := readTokens(path)
	if err != nil {
		return nil, err
	}
	t.set.Store(&set)
	t.info = info
	t.due.Store(int64(recheck))
	return t, nil
}

// refresh reads the file again where that is due and it has changed.
func (t *tokens) refresh() {
	now := int64(time.Since(t.start))
	if now < t.due.Load() || !t.mu.TryLock() {
		return
	}
	defer t.mu.Unlock()
	t.due.Store(now + int64(recheck))
	if info, err := os.Stat(t.path); err == nil && (sameFile(info, t.info) || !info.Mode().IsRegular()) {
		return // a pipe was read at the start; to read it again could wait for ever
	}
	set, info, err := readTokens(t.path)
	if info != nil {
		t.info = info // also of a file that is no good: it is not read over and over
	}
	if err != nil {
		if t.problem != err.Error() {
			t.problem = err.Error()
			t.log.Error("the token file cannot be used; the tokens read before stay valid", zap.Error(err))
		}
		return
	}
	t.problem = ""
	t.set.Store(&set)
	t.log.Info("the token file was read again", zap.String("path", t.path), zap.Int("tokens", len(set)))
}

// sameFile tells whether a file is as it was. A secret that is mounted into a
// container changes by a renamed link: that is another inode.
func sameFile(a, b os.FileInfo) bool {
	return os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size()
}

// A challenge is a refusal with the WWW-Authenticate header that goes with it
// (RFC 6750, section 3).
type challenge struct {
	refusal *refusal.Refusal
	header  string
}

var (
	missing = &challenge{refusal.Token, `Bearer realm="sidegate"`}
	unknown = &challenge{refusal.Token.With("this bearer token is not known here; it may have been withdrawn"),
		`Bearer realm="sidegate", error="invalid_token"`}
	several = &challenge{refusal.Token.With("there are several Authorization headers; send one"),
		`Bearer realm="sidegate", error="invalid_request"`}
)

// check returns the principal of the one Authorization header there must be.
func (t *tokens) check(authorization [][]byte) (principal string, c *challenge) {
	t.refresh()
	switch len(authorization) {
	case 0:
		return "", missing
	case 1:
	default:
		return "", several
	}
	scheme, token, _ := bytes.Cut(authorization[0], []byte(" "))
	if !equalFold(scheme, "bearer") {
		return "", missing
	}
	principal, ok := t.set.Load().find(bytes.TrimLeft(token, " "))
	if !ok {
		return "", unknown
	}
	return principal, nil
}

// A tokenSet is what one reading of the file gave. It is not changed.
type tokenSet []token

// A token is kept as its digest: the gate need not remember the secret.
type token struct {
	principal string
	digest    [sha256.Size]byte
}

// find returns the principal of a presented token. Its duration says nothing
// about any token: digests are compared, in constant time, and all of them
// whether one was equal or not.
func (s tokenSet) find(presented []byte) (principal string, ok bool) {
	digest := sha256.Sum256(presented)
	found := -1
	for i := range s {
		found = subtle.ConstantTimeSelect(subtle.ConstantTimeCompare(digest[:], s[i].digest[:]), i, found)
	}
	if found < 0 {
		return "", false
	}
	return s[found].principal, true
}
