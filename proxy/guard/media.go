package guard

import (
	"bytes"
	"strings"
)

// Accept is a set of the forms in which the gate answers.
type Accept uint8

// The forms: one JSON object, or a stream of events.
const (
	AcceptJSON Accept = 1 << iota
	AcceptEventStream
)

// forms are the media types of the forms, in the order of their bits.
var forms = [...]struct{ kind, subtype string }{
	{"application", "json"},
	{"text", "event-stream"},
}

// isJSON tells whether a Content-Type is application/json, by itself or with
// charset=utf-8. Every other parameter is one whose meaning we would have to
// guess.
func isJSON(contentType []byte) bool {
	media, rest, more := bytes.Cut(contentType, []byte(";"))
	if !equalFold(bytes.Trim(media, " \t"), "application/json") {
		return false
	}
	for more {
		var parameter []byte
		parameter, rest, more = bytes.Cut(rest, []byte(";"))
		parameter = bytes.Trim(parameter, " \t")
		if len(parameter) > 0 && !equalFold(parameter, "charset=utf-8") && !equalFold(parameter, `charset="utf-8"`) {
			return false
		}
	}
	return true
}

// isIdentity tells whether the Content-Encoding headers ask for no decoding.
func isIdentity(encodings [][]byte) bool {
	for _, list := range encodings {
		for coding := range bytes.SplitSeq(list, []byte(",")) {
			if coding = bytes.Trim(coding, " \t"); len(coding) > 0 && !equalFold(coding, "identity") {
				return false
			}
		}
	}
	return true
}

// accepted is the set of forms that the Accept headers take in (RFC 9110,
// section 12.5.1). Of several ranges that match a form the most specific
// decides, whatever its place; q=0 says no. Without the header nothing is
// accepted: the specification asks clients to list what they can read.
func accepted(headers [][]byte) Accept {
	var set Accept
	var best [len(forms)]int // specificity of what decided so far
	for _, list := range headers {
		for element := range bytes.SplitSeq(list, []byte(",")) {
			media, parameters, _ := bytes.Cut(element, []byte(";"))
			media = bytes.Trim(media, " \t")
			for i := range forms {
				s := specificity(media, i)
				if s == 0 || s < best[i] {
					continue
				}
				best[i] = s
				set &^= 1 << i
				if !isRefused(parameters) {
					set |= 1 << i
				}
			}
		}
	}
	return set
}

// specificity is 0 where the media range does not match the form, and more the
// closer it does.
func specificity(media []byte, form int) int {
	kind, subtype, ok := bytes.Cut(media, []byte("/"))
	switch {
	case !ok:
		return 0
	case string(kind) == "*" && string(subtype) == "*":
		return 1
	case !equalFold(kind, forms[form].kind):
		return 0
	case string(subtype) == "*":
		return 2
	case equalFold(subtype, forms[form].subtype):
		return 3
	}
	return 0
}

// isRefused tells whether the parameters of a media range hold a q of zero.
func isRefused(parameters []byte) bool {
	for p := range bytes.SplitSeq(parameters, []byte(";")) {
		name, value, ok := bytes.Cut(bytes.Trim(p, " \t"), []byte("="))
		if ok && equalFold(name, "q") {
			return len(value) > 0 && value[0] == '0' && len(bytes.Trim(value, "0.")) == 0
		}
	}
	return false
}

// equalFold tells whether b is lower but for the case of ASCII letters.
// bytes.EqualFold would also take U+017F for an s, and U+212A for a k.
func equalFold(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// isToken tells whether b is a token as header names are (RFC 9110, section
// 5.6.2).
func isToken(b []byte) bool {
	for _, c := range b {
		if !('0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0) {
			return false
		}
	}
	return len(b) > 0
}
