package main

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"strings"

	"sidegate/test/conformance/servers/tools"
)

// A sealer makes requestState: the answers of the rounds so far, and a code
// that nobody can make who has not the key, bound to method and name.
type sealer struct{ key []byte }

func newSealer() sealer {
	key := make([]byte, sha256.Size)
	_, _ = rand.Read(key) // it never fails
	return sealer{key}
}

func (s sealer) seal(r *request, answers tools.Answers) string {
	plain, err := json.Marshal(answers)
	if err != nil {
		panic(err) // they were read as JSON
	}
	encode := base64.RawURLEncoding.EncodeToString
	return encode(plain) + "." + encode(s.code(r, plain))
}

// open returns the answers, or an error where the state is not ours.
func (s sealer) open(r *request) (tools.Answers, error) {
	answers := tools.Answers{}
	if r.state == "" {
		return answers, nil
	}
	first, second, _ := strings.Cut(r.state, ".")
	plain, err := base64.RawURLEncoding.DecodeString(first)
	code, cut := base64.RawURLEncoding.DecodeString(second)
	if err != nil || cut != nil || !hmac.Equal(code, s.code(r, plain)) || json.Unmarshal(plain, &answers) != nil {
		return nil, &tools.Error{Code: codeInvalidParams, Message: "requestState is not what this server gave out"}
	}
	return answers, nil
}

func (s sealer) code(r *request, plain []byte) []byte {
	mac := hmac.New(sha256.New, s.key)
	for _, part := range []string{r.Method, r.name, string(plain)} {
		mac.Write([]byte(part))
		mac.Write([]byte{0})
	}
	return mac.Sum(nil)
}
