package main

import (
	"bytes"
	"encoding/base64"
	"fmt"
)

const (
	stateKeySize  = 32 // bytes
	mostStateKeys = 2
)

// readStateKeys reads a file of keys, one in base64 on each line; empty lines,
// and those that begin with "#", are skipped. Errors name the file and the line
// and never quote it: it is a secret.
func readStateKeys(path string) ([][]byte, error) {
	if path == "" {
		return nil, nil
	}
	text, err := readBounded(path)
	if err != nil {
		return nil, fmt.Errorf("--state-key-file: %w", err)
	}
	var keys [][]byte
	n := 0
	for line := range bytes.Lines(text) {
		n++
		line = bytes.TrimSpace(line)
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		key, err := base64.StdEncoding.DecodeString(string(line))
		if err != nil || len(key) != stateKeySize {
			return nil, fmt.Errorf("--state-key-file %s:%d: must be %d bytes in base64, as from: head -c %d /dev/urandom | base64", path, n, stateKeySize, stateKeySize)
		}
		keys = append(keys, key)
	}
	if len(keys) < 1 || len(keys) > mostStateKeys {
		return nil, fmt.Errorf("--state-key-file %s: must hold one key, or two while keys change; it holds %d", path, len(keys))
	}
	return keys, nil
}
