package headers

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strconv"

	"sidegate/proxy/wire"
)

// safe is the largest integer that a reader of doubles still tells from its
// neighbours.
const safe = 1<<53 - 1

// Check holds the Mcp-Param-* lines of a request against the arguments of its
// call ("Server Behavior for Custom Headers"). arguments is the raw value of
// params.arguments out of a message that has passed the scan, nil where there is
// none; lines are header lines, each ended by CRLF. An error says in a sentence
// for a person which header is wrong, and quotes nothing of the arguments.
func Check(params []Param, arguments, lines []byte) error {
	for i := range params {
		p := &params[i]
		value, err := argument(arguments, p.Path)
		if err != nil {
			return fmt.Errorf("the argument for the header %s: %w", p.Name, err)
		}
		header, n := line(lines, p.Name)
		switch {
		case n > 1:
			return fmt.Errorf("the header %s stands more than once", p.Name)
		case n == 0 && value == nil:
			continue
		case n == 0:
			return fmt.Errorf("the header %s is missing: the tool's schema asks for it, and the call has the argument", p.Name)
		case value == nil:
			return fmt.Errorf("the header %s must be left out: the call does not have the argument", p.Name)
		}
		said, err := Decode(header)
		if err != nil {
			return fmt.Errorf("the header %s is malformed: %w", p.Name, err)
		}
		same, err := matches(said, value)
		if err != nil {
			return fmt.Errorf("the argument for the header %s: %w", p.Name, err)
		}
		if !same {
			return fmt.Errorf("the header %s does not say what the argument in the body says", p.Name)
		}
	}
	return nil
}

// AppendParams appends the header lines that the arguments of a call need, each
// ended by CRLF. An argument that no header can say is left to the server.
func AppendParams(dst []byte, params []Param, arguments []byte) []byte {
	for i := range params {
		value, err := argument(arguments, params[i].Path)
		if err != nil || value == nil {
			continue
		}
		said, err := said(value)
		if err != nil {
			continue
		}
		dst = append(append(dst, params[i].Name...), ": "...)
		dst = append(AppendValue(dst, said), "\r\n"...)
	}
	return dst
}

// argument is the raw value at a path, nil where there is none, or null.
func argument(arguments []byte, path []string) ([]byte, error) {
	at := wire.Span{End: len(arguments)}
	for _, key := range path {
		var err error
		if at, err = one(arguments, at, key); err != nil || at.Empty() {
			return nil, err
		}
	}
	value := at.Of(arguments)
	if string(value) == "null" {
		return nil, nil
	}
	return value, nil
}

// said is what a header says of a raw JSON value.
func said(value []byte) ([]byte, error) {
	switch c := value[0]; {
	case c == '"':
		return []byte(text(value)), nil
	case c == 't' || c == 'f':
		return value, nil
	case c == '{' || c == '[':
		return nil, fmt.Errorf("it must be a string, an integer or a boolean")
	}
	n, ok := integer(value)
	if !ok {
		return nil, fmt.Errorf("a number must be an integer between -(2^53-1) and 2^53-1")
	}
	return strconv.AppendInt(nil, n, 10), nil
}

// matches tells whether a header's decoded text says what the value does.
// Integers are compared as numbers: 42.0 is 42 ("Server Validation").
func matches(header, value []byte) (bool, error) {
	if value[0] == '"' && bytes.IndexByte(value, '\\') < 0 {
		return string(header) == string(value[1:len(value)-1]), nil
	}
	want, err := said(value)
	if err != nil {
		return false, err
	}
	if bytes.Equal(header, want) {
		return true, nil
	}
	if c := value[0]; c != '-' && (c < '0' || c > '9') {
		return false, nil
	}
	n, ok := integer(header)
	return ok && string(strconv.AppendInt(nil, n, 10)) == string(want), nil
}

// integer reads a number without a fraction, however it is written, if it is in
// the safe range.
func integer(number []byte) (int64, bool) {
	if n, err := strconv.ParseInt(string(number), 10, 64); err == nil {
		return n, number[0] != '+' && -safe <= n && n <= safe
	}
	for _, c := range number { // ParseFloat reads more than decimal numbers
		if (c < '0' || c > '9') && bytes.IndexByte([]byte("+-.eE"), c) < 0 {
			return 0, false
		}
	}
	f, err := strconv.ParseFloat(string(number), 64)
	if err != nil || f != math.Trunc(f) || math.Abs(f) > safe {
		return 0, false
	}
	return int64(f), true
}

// text is the text of a raw JSON string, "" where it is none.
func text(raw []byte) string {
	if len(raw) < 2 || raw[0] != '"' {
		return ""
	}
	if bytes.IndexByte(raw, '\\') < 0 {
		return string(raw[1 : len(raw)-1])
	}
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return s
}

// line is the value of the header in lines, and how often it stands there.
func line(lines []byte, name string) (value []byte, n int) {
	for len(lines) > 0 {
		var this []byte
		this, lines, _ = bytes.Cut(lines, []byte("\r\n"))
		key, rest, ok := bytes.Cut(this, []byte(":"))
		if ok && len(key) == len(name) && bytes.EqualFold(key, []byte(name)) { // both are ASCII
			value = rest
			n++
		}
	}
	return value, n
}
