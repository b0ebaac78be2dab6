//go:build linux

package netns

import (
	"bufio"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"time"
)

// Answers to Dial.
const (
	Refused = "refused"
	Silent  = "silent" // with the reason behind it
)

// Patience bounds what has to happen at once, unless a rule drops it.
const Patience = 10 * time.Second

// Dial is the errand of connecting to an address: it returns the name that who
// answers tells in a line, or Refused, or Silent.
func Dial(words []string) string {
	conn, err := net.DialTimeout("tcp", words[0], Patience)
	if errors.Is(err, syscall.ECONNREFUSED) {
		return Refused
	}
	if err != nil {
		return Silent + ": " + err.Error()
	}
	defer conn.Close()
	_ = conn.SetReadDeadline(time.Now().Add(Patience))
	name, err := bufio.NewReader(conn).ReadString('\n')
	if errors.Is(err, syscall.ECONNRESET) {
		return Refused
	}
	if err != nil {
		return Silent + ": " + err.Error()
	}
	return strings.TrimSpace(name)
}

// Exchange is the errand of sending bytes to an address, both its words. It
// returns all that comes back; the bytes are hex digits either way.
func Exchange(words []string) string {
	conn, err := net.DialTimeout("tcp", words[0], Patience)
	if err != nil {
		return err.Error()
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(Patience))
	bytes, err := hex.DecodeString(words[1])
	if err != nil {
		return err.Error()
	}
	if _, err := conn.Write(bytes); err != nil {
		return err.Error()
	}
	answer, err := io.ReadAll(conn)
	if err != nil {
		return err.Error()
	}
	return hex.EncodeToString(answer)
}
