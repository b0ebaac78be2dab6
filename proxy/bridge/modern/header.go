package modern

import "bytes"

// eachLine goes through header lines, each with its end.
func eachLine(lines []byte, visit func([]byte)) {
	for line := range bytes.Lines(lines) {
		visit(line)
	}
}

// hasPrefixFold tells whether a line begins with a name, in whatever case.
func hasPrefixFold(line []byte, name string) bool {
	return len(line) >= len(name) && bytes.EqualFold(line[:len(name)], []byte(name))
}

// containsFold tells whether one of the lines begins with a name.
func containsFold(lines []byte, name string) (found bool) {
	eachLine(lines, func(line []byte) { found = found || hasPrefixFold(line, name) })
	return found
}
