package main

import (
	"strings"
	"testing"
)

func TestFileProblems(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"unknown key", "listen: :8080\nmax-mesage: 1\n", `gate.yaml:2:1: max-mesage: unknown key; did you mean "max-message"?`},
		{"unknown key, nothing near", "wibble: 1\n", `gate.yaml:1:1: wibble: unknown key`},
		{"misspelt backends", "backend-s: 1\n", `gate.yaml:1:1: backend-s: unknown key; did you mean "backends"?`},
		{"underscores", "max_message: 1\n", `gate.yaml:1:1: max_message: unknown key; did you mean "max-message"?`},
		{"unknown key of a backend", "backends:\n  web:\n    comand: [x]\n", `gate.yaml:3:5: backends.web.comand: unknown key; did you mean "command"?`},
		{"a key for all under one", "backends:\n  web:\n    command: [x]\n    listen: x\n", `gate.yaml:4:5: backends.web.listen: unknown key`},
		{"the file itself", "config: other.yaml\n", `gate.yaml:1:1: config: must stand on the command line, not in the file itself`},
		{"twice", "warm: 1\nlisten: x\nwarm: 2\n", `gate.yaml:3:1: warm: stands here a second time, after line 1`},
		{"twice, quoted", "warm: 1\n\"warm\": 2\n", `gate.yaml:2:1: warm: stands here a second time, after line 1`},
		{"a backend twice", "backends:\n  a: {command: [x]}\n  a: {command: [x]}\n", `gate.yaml:3:3: backends.a: stands here a second time, after line 2`},
		{"command twice", "backends: {a: {command: [x], command: [y]}}\n", `gate.yaml:1:30: backends.a.command: stands here a second time, after line 1`},
		{"a list for one", "listen: [a, b]\n", `gate.yaml:1:9: listen: must be one value, not a list`},
		{"a mapping for one", "listen: {a: b}\n", `gate.yaml:1:9: listen: must be a single value, not a mapping or a list in it`},
		{"a list in a list", "allow-host: [[a]]\n", `gate.yaml:1:14: allow-host: must be a list of single values, not a mapping or a list in it`},
		{"nothing", "listen:\n", `gate.yaml:1:8: listen: has no value: give it one, or leave the key out`},
		{"null", "allow-host: [~]\n", `gate.yaml:1:14: allow-host: has no value: give it one, or leave the key out`},
		{"an empty text", "token-file: ''\n", `gate.yaml:1:13: token-file: must not be empty`},
		{"a wrong size", "max-message: 16MB\n", `gate.yaml:1:14: max-message: must be bytes, as in 16777216 or 16MiB (KiB, MiB, GiB); it is "16MB"`},
		{"a size in hexadecimal", "max-message: 0x10\n", `gate.yaml:1:14: max-message: must be bytes, as in 16777216 or 16MiB (KiB, MiB, GiB); it is "0x10"`},
		{"a time without unit", "grace: 25\n", `gate.yaml:1:8: grace: must be a time with its unit, such as 30s, 5m or 1h30m; it is "25"`},
		{"an element of a list", "trust-proxy:\n  - 10.0.0.0/8\n  - here\n", `gate.yaml:2:3: trust-proxy: must be an address or a network such as 10.0.0.0/8; it is "here"`},
		{"a wrong value of a backend", "backends: {a: {command: [x], warm: few}}\n", `gate.yaml:1:36: backends.a.warm: must be a whole number; it is "few"`},
		{"two at once", "warm: x\nlimits: 1\n", "gate.yaml:2:1: limits: unknown key\ngate.yaml:1:7: warm: must be a whole number; it is \"x\""},
		{"two documents", "warm: 1\n---\nwarm: 2\n", `gate.yaml:2:1: a second document: there must be one`},
		{"an anchor", "warm: &n 1\n", `gate.yaml:1:7: warm: anchors, aliases and merge keys are not supported: write the value out`},
		{"an alias", "warm: &n 1\nmax-links: *n\n", "gate.yaml:1:7: warm: anchors, aliases and merge keys are not supported: write the value out\n" +
			"gate.yaml:2:12: max-links: anchors, aliases and merge keys are not supported: write the value out"},
		{"an anchor on a key", "&k warm: 1\n", `gate.yaml:1:1: anchors, aliases and merge keys are not supported: write the value out`},
		{"an anchor in a list", "env: [&a X=1]\n", `gate.yaml:1:7: env: anchors, aliases and merge keys are not supported: write the value out`},
		{"an anchor in a command", "backends: {a: {command: [&a x]}}\n", `gate.yaml:1:26: backends.a.command: anchors, aliases and merge keys are not supported: write the value out`},
		{"a merge key", "<<: {warm: 1}\n", `gate.yaml:1:1: anchors, aliases and merge keys are not supported: write the value out`},
		{"a tag", "warm: !!str 1\n", `gate.yaml:1:7: warm: tags are not supported: write the value without !!str`},
		{"a binary", "listen: !!binary aGk=\n", `gate.yaml:1:9: listen: tags are not supported: write the value without !!binary`},
		{"a NUL", "warm: 1\nlisten: a\x00b\n", `gate.yaml:2:10: NUL character`},
		{"an escaped NUL", "listen: \"a\\0b\"\n", `gate.yaml:1:9: listen: must not hold a NUL character`},
		{"not UTF-8", "listen: \xff\n", `gate.yaml:1:9: invalid UTF-8`},
		{"a list of keys", "? [warm]\n: 1\n", `gate.yaml:1:3: a key must be a single word`},
		{"a text", "hello\n", `gate.yaml:1:1: must be keys and values, as in listen: 127.0.0.1:8080`},
		{"a list", "- warm: 1\n", `gate.yaml:1:1: must be keys and values, as in listen: 127.0.0.1:8080`},
		{"not YAML", "warm: 1\nlisten: [x\nenv: y\n", `gate.yaml:2: not YAML: did not find expected ',' or ']'`},
		{"not YAML, first line", "warm: 1: 2\n", `gate.yaml:1: not YAML: mapping values are not allowed in this context`},
		{"not YAML, last line", "warm: 1\nlisten: ]\n", `gate.yaml:2: not YAML: did not find expected node content`},
		{"not YAML, a tabulator", "warm: 1\n\tlisten: x\n", `gate.yaml:2: not YAML: found a tab character that violates indentation`},
		{"not YAML, indented", "a:\n  b: 1\n c: 2\n", `gate.yaml:3: not YAML: did not find expected key`},
		{"not YAML, no colon", "warm: 1\nlisten\ncurl: true\n", `gate.yaml:2: not YAML: could not find expected ':'`},
		{"not YAML, second document", "warm: 1\n---\n]", `gate.yaml:3: not YAML: did not find expected node content`},
		{"command as text", "backends:\n  web:\n    command: npx -y some-server\n", `gate.yaml:3:14: backends.web.command: must be a list: write [npx, -y, some-server]`},
		{"command empty", "backends: {web: {command: []}}\n", `gate.yaml:1:27: backends.web.command: must be a list of the program and its arguments, as in [npx, -y, some-server]`},
		{"command missing its value", "backends: {web: {command: }}\n", `gate.yaml:1:27: backends.web.command: must be a list of the program and its arguments, as in [npx, -y, some-server]`},
		{"command with a mapping", "backends: {web: {command: [a: b]}}\n", `gate.yaml:1:28: backends.web.command: must be a list of single values, not a mapping or a list in it`},
		{"url as a list", "backends: {web: {url: [x]}}\n", `gate.yaml:1:23: backends.web.url: must be a URL`},
		{"backends as a list", "backends: [x]\n", `gate.yaml:1:11: backends: must map names to backends, as in: web: {command: [npx, -y, some-server]}`},
		{"backends empty", "backends: {}\n", `gate.yaml:1:11: backends: must map names to backends, as in: web: {command: [npx, -y, some-server]}`},
		{"a backend as text", "backends: {web: npx}\n", `gate.yaml:1:17: backends.web: must have command: or url:, as in: web: {command: [npx, -y, some-server]}`},
	} {
		if got := fileProblems(c.text); got != c.want {
			t.Errorf("%s:\ngot  %s\nwant %s", c.name, got, c.want)
		}
	}
}

// fileProblems parses text as gate.yaml and sets the flags from it.
func fileProblems(text string) string {
	s := defaults()
	flags := flagSet(s.groups())
	r := &resolver{settings: s, flags: flags, where: map[string]string{}}
	file := parseFile("gate.yaml", []byte(text), flags, &r.found)
	if file != nil {
		r.apply(file.settings)
		r.fileBackends(file.backends)
	}
	if err := r.found.err(); err != nil {
		return err.Error()
	}
	return ""
}

func TestFilesWithoutProblems(t *testing.T) {
	for _, text := range []string{
		"", "\n", "# nothing\n", "---\n", "null\n", "---\n# nothing\n...\n", "{}\n", "\ufeffwarm: 1\n", "warm: 1\r\nlisten: :1\r\n",
		"admin: off\n", "admin: 'off'\n", "log-level: warn\ncurl: true\n", "allow-host: a\n", "allow-host: [a, 'b,c']\n", "max-message: 16777216\n",
		"max-message: 16MiB\n", "backends: {a: {command: [x, '']}}\n", "%YAML 1.1\n---\nwarm: 1\n",
	} {
		if got := fileProblems(text); got != "" {
			t.Errorf("%q: %s", text, got)
		}
	}
}

// Each flag can be a key, except the one that names the file.
func TestEveryFlagIsAKey(t *testing.T) {
	flags := flagSet(defaults().groups())
	values := map[string]string{
		"curl": "true", "rate": "1", "address-rate": "1", "burst": "1", "address-burst": "1", "trust-proxy": "::1", "token-file": "x", "state-key-file": "x",
		"allow-host": "x", "allow-origin": "https://x", "env": "X", "pass": "/x", "probe": "/x", "backend": "http://x", "public-url": "https://x",
	}
	for _, name := range flagNames(flags) {
		value := values[name]
		if value == "" {
			value = flags.Lookup(name).DefValue
		}
		problems := fileProblems(name + ": " + value + "\n")
		if name == "config" != strings.Contains(problems, "command line") || name != "config" && problems != "" {
			t.Errorf("%s: %s: %s", name, value, problems)
		}
	}
}

func TestFileTooLarge(t *testing.T) {
	_, err := readBounded(writeFile(t, strings.Repeat("#", maxFile+1)))
	if err == nil || !strings.Contains(err.Error(), "at most 1048576 bytes") {
		t.Errorf("a file that is too large gave %v", err)
	}
	if data, err := readBounded(writeFile(t, strings.Repeat("#", maxFile))); err != nil || len(data) != maxFile {
		t.Errorf("the largest file gave %d bytes and %v", len(data), err)
	}
}
