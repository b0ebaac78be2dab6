package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"

	"sidegate/proxy"
)

// A configFile is what a YAML file says. Its keys are the flags' names, and
// its values become text again and go through the flags: YAML decides the
// shape, the flag decides the meaning.
type configFile struct {
	settings []setting
	backends []fileBackend
}

// A fileBackend is one entry of backends:.
type fileBackend struct {
	name     string
	command  []string
	url      string
	settings []setting
	// For problems; the latter two are empty where the key is missing.
	place, commandPlace, urlPlace string
}

// fileParser walks the nodes of one file and collects what is wrong with them.
type fileParser struct {
	name  string
	found *problems
}

// parseFile reads data, strictly: one document, no key twice, none unknown, no
// anchors, no tags. flags are the ones that may stand at the top.
func parseFile(name string, data []byte, flags *pflag.FlagSet, found *problems) *configFile {
	p := &fileParser{name, found}
	root := p.document(data)
	if root == nil {
		return nil
	}
	file := &configFile{}
	p.eachKey(root, "", func(path string, key, val *yaml.Node) {
		switch {
		case key.Value == "backends":
			file.backends = p.backends(path, val)
		case key.Value == "config":
			p.problem(key, path, "must stand on the command line, not in the file itself")
		default:
			file.settings = append(file.settings, p.setting(path, key, val, flags, "backends")...)
		}
	})
	return file
}

// document returns the one mapping that the file is, nil for an empty file and
// after a problem.
func (p *fileParser) document(data []byte) *yaml.Node {
	if where, what := badText(data); what != "" {
		p.found.add(p.name+":"+where, what)
		return nil
	}
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var doc, second yaml.Node
	if err := decoder.Decode(&doc); err != nil {
		if !errors.Is(err, io.EOF) {
			p.syntax(err)
		}
		return nil
	}
	if err := decoder.Decode(&second); err == nil {
		p.problem(&second, "", "a second document: there must be one")
		return nil
	} else if !errors.Is(err, io.EOF) {
		p.syntax(err)
		return nil
	}
	root := doc.Content[0]
	if root.Kind == yaml.ScalarNode && root.Tag == "!!null" {
		return nil
	}
	if root.Kind != yaml.MappingNode {
		p.problem(root, "", "must be keys and values, as in listen: 127.0.0.1:8080")
		return nil
	}
	return root
}

// badText finds what YAML does not allow in any place, with its line and
// column: the parser's own error has none for these.
func badText(data []byte) (where, what string) {
	line, column := 1, 1
	for i := 0; i < len(data); {
		r, size := utf8.DecodeRune(data[i:])
		switch {
		case r == 0:
			what = "NUL character"
		case r == utf8.RuneError && size == 1:
			what = "invalid UTF-8"
		}
		if what != "" {
			return fmt.Sprintf("%d:%d", line, column), what
		}
		column++
		if r == '\n' {
			line, column = line+1, 1
		}
		i += size
	}
	return "", ""
}

var (
	syntaxError = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)$`)
	// The YAML package counts lines from 0 in the errors of its parser, from 1
	// in those of its scanner, and leaves a 0 out. These are the parser's.
	fromZero = regexp.MustCompile(`^did not find expected (<|node content|key|'-'|',')|^found (undefined tag|duplicate %|incompatible)`)
)

// syntax reports that the file is no YAML. There is a line, but no column.
func (p *fileParser) syntax(err error) {
	line, what := 0, err.Error()
	if m := syntaxError.FindStringSubmatch(what); m != nil {
		line, _ = strconv.Atoi(m[1]) // 0 where there is none
		what = m[2]
	}
	if fromZero.MatchString(what) {
		line++
	}
	p.found.add(fmt.Sprintf("%s:%d", p.name, max(line, 1)), "not YAML: "+what)
}

// eachKey visits the pairs of a mapping whose keys are sound.
func (p *fileParser) eachKey(mapping *yaml.Node, path string, visit func(path string, key, val *yaml.Node)) {
	firstLine := map[string]int{}
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		key, val := mapping.Content[i], mapping.Content[i+1]
		if key.Kind != yaml.ScalarNode {
			p.problem(key, path, "a key must be a single word")
			continue
		}
		if !p.plain(key, path) || !p.plain(val, join(path, key.Value)) {
			continue
		}
		if line, ok := firstLine[key.Value]; ok {
			p.problem(key, join(path, key.Value), fmt.Sprintf("stands here a second time, after line %d", line))
			continue
		}
		firstLine[key.Value] = key.Line
		visit(join(path, key.Value), key, val)
	}
}

// plain refuses what makes one text mean another: anchors, merges, tags, NULs.
func (p *fileParser) plain(n *yaml.Node, path string) bool {
	switch {
	case n.Kind == yaml.AliasNode || n.Anchor != "" || n.Tag == "!!merge":
		p.problem(n, path, "anchors, aliases and merge keys are not supported: write the value out")
	case n.Style&yaml.TaggedStyle != 0:
		p.problem(n, path, "tags are not supported: write the value without "+n.Tag)
	case strings.ContainsRune(n.Value, 0):
		p.problem(n, path, "must not hold a NUL character")
	default:
		return true
	}
	return false
}

// setting reads one key that must be a flag's name; others are the names that
// may stand beside them. It returns one setting or none.
func (p *fileParser) setting(path string, key, val *yaml.Node, flags *pflag.FlagSet, others ...string) []setting {
	flag := flags.Lookup(key.Value)
	if flag == nil {
		p.problem(key, path, "unknown key"+didYouMean(key.Value, append(flagNames(flags), others...)))
		return nil
	}
	if val.Kind == yaml.SequenceNode && !isList(flag) {
		p.problem(val, path, "must be one value, not a list")
		return nil
	}
	values, ok := p.texts(path, val)
	if !ok {
		return nil
	}
	return []setting{{flag: flag.Name, where: p.place(val, path), values: values}}
}

// texts returns a scalar as one text, a list as several.
func (p *fileParser) texts(path string, val *yaml.Node) ([]string, bool) {
	items := []*yaml.Node{val}
	if val.Kind == yaml.SequenceNode {
		items = val.Content
	}
	var texts []string
	for _, item := range items {
		if !p.plain(item, path) {
			return nil, false
		}
		if item.Kind != yaml.ScalarNode {
			p.problem(item, path, "must be "+oneOrList(val)+", not a mapping or a list in it")
			return nil, false
		}
		if item.Tag == "!!null" {
			p.problem(item, path, "has no value: give it one, or leave the key out")
			return nil, false
		}
		texts = append(texts, item.Value)
	}
	return texts, true
}

func oneOrList(val *yaml.Node) string {
	if val.Kind == yaml.SequenceNode {
		return "a list of single values"
	}
	return "a single value"
}

func (p *fileParser) backends(path string, val *yaml.Node) []fileBackend {
	if val.Kind != yaml.MappingNode || len(val.Content) == 0 {
		p.problem(val, path, "must map names to backends, as in: web: {command: [npx, -y, some-server]}")
		return nil
	}
	var all []fileBackend
	p.eachKey(val, path, func(path string, key, val *yaml.Node) {
		if val.Kind != yaml.MappingNode {
			p.problem(val, path, "must have command: or url:, as in: "+key.Value+": {command: [npx, -y, some-server]}")
			return
		}
		all = append(all, p.backend(path, key, val))
	})
	return all
}

func (p *fileParser) backend(path string, key, val *yaml.Node) fileBackend {
	b := fileBackend{name: key.Value, place: p.place(key, path)}
	flags := backendFlags(&proxy.BackendConfig{})
	p.eachKey(val, path, func(path string, key, val *yaml.Node) {
		switch key.Value {
		case "command":
			b.commandPlace = p.place(val, path)
			b.command = p.command(path, val)
		case "url":
			b.urlPlace = p.place(val, path)
			if val.Kind == yaml.ScalarNode && val.Value != "" {
				b.url = val.Value
			} else {
				p.problem(val, path, "must be a URL")
			}
		default:
			b.settings = append(b.settings, p.setting(path, key, val, flags, "command", "url")...)
		}
	})
	return b
}

// command takes a list alone: how a string is split into arguments is a
// shell's affair, and every reader guesses another shell.
func (p *fileParser) command(path string, val *yaml.Node) []string {
	if val.Kind == yaml.ScalarNode && strings.TrimSpace(val.Value) != "" {
		p.problem(val, path, "must be a list: write ["+strings.Join(strings.Fields(val.Value), ", ")+"]")
		return nil
	}
	if val.Kind != yaml.SequenceNode || len(val.Content) == 0 {
		p.problem(val, path, "must be a list of the program and its arguments, as in [npx, -y, some-server]")
		return nil
	}
	argv, _ := p.texts(path, val)
	return argv
}

func (p *fileParser) problem(n *yaml.Node, path, what string) {
	p.found.add(p.place(n, path), what)
}

// place is a node's file, line and column, and its path if it has one.
func (p *fileParser) place(n *yaml.Node, path string) string {
	where := fmt.Sprintf("%s:%d:%d", p.name, n.Line, n.Column)
	if path != "" {
		where += ": " + path
	}
	return where
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func flagNames(flags *pflag.FlagSet) []string {
	var names []string
	flags.VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
	return names
}
