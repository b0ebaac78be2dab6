//go:build linux

package fence

import (
	"bufio"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// personVariable makes the test binary a person: a process of the user whose
// number it holds.
const personVariable = "FENCE_TEST_BE_PERSON"

// Answers of a person's.
const (
	refused = "refused"
	silent  = "silent"
)

// patience bounds what has to happen at once, unless a rule drops it.
const patience = 10 * time.Second

// bePerson does what it is told, line by line, until there are no more lines.
func bePerson(uid string, in io.Reader, out io.Writer) int {
	n, err := strconv.Atoi(uid)
	if err == nil {
		err = errors.Join(syscall.Setgroups(nil), syscall.Setgid(n), syscall.Setuid(n))
	}
	if err != nil {
		fmt.Fprintln(out, "cannot be", uid, err)
		return 1
	}
	fmt.Fprintln(out, "ready")
	for lines := bufio.NewScanner(in); lines.Scan(); {
		words := strings.Fields(lines.Text())
		fmt.Fprintln(out, strings.ReplaceAll(errands[words[0]](words[1:]), "\n", " "))
	}
	return 0
}

// errands are what a person can be told to do.
var errands = map[string]func([]string) string{
	"listen":   func(a []string) string { return listen(a[0], a[1]) },
	"dial":     func(a []string) string { return dial(a[0]) },
	"exchange": func(a []string) string { return exchange(a[0], a[1]) },
	"push":     func(a []string) string { return push(a[0], a[1]) },
	"sunk":     func([]string) string { read <- true; return <-sunk },
	"udp":      func(a []string) string { return sendDatagram(a[0]) },
	"hear":     func(a []string) string { return hearDatagrams(a[0]) },
	"heard":    func([]string) string { return strconv.FormatInt(heard.Load(), 10) },
}

var (
	read  = make(chan bool)
	sunk  = make(chan string)
	heard atomic.Int64
)

// listen tells its name to whoever connects. One whose name is sink reads, and
// has so little room that most of what it has not read is still at the sender.
func listen(name, at string) string {
	var config net.ListenConfig
	if name == "sink" {
		config.Control = smallRoom
	}
	ln, err := config.Listen(context.Background(), "tcp", at)
	if err != nil {
		return err.Error()
	}
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				if name == "sink" {
					sunk <- sink(conn)
					return
				}
				fmt.Fprintln(conn, name)
				io.Copy(io.Discard, conn)
			}()
		}
	}()
	return "ok"
}

// smallRoom sets segments that fit into it, or they would trickle.
func smallRoom(_, _ string, c syscall.RawConn) error {
	var err error
	control := c.Control(func(fd uintptr) {
		err = errors.Join(
			syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 64<<10),
			syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_MAXSEG, 1400))
	})
	return errors.Join(control, err)
}

// sink reads until there are lastBytes to come, and the rest when it is told
// that the other end has closed. It returns how many bytes came.
func sink(conn net.Conn) string {
	conn.SetReadDeadline(time.Now().Add(patience))
	total, err := io.ReadFull(conn, make([]byte, wholeBytes-lastBytes))
	<-read
	buf := make([]byte, 64<<10)
	for n := 0; err == nil; total += n {
		conn.SetReadDeadline(time.Now().Add(5 * time.Second))
		n, err = conn.Read(buf)
	}
	return strconv.Itoa(total)
}

// dial returns the name of who answers.
func dial(at string) string {
	conn, err := net.DialTimeout("tcp", at, patience)
	if errors.Is(err, syscall.ECONNREFUSED) {
		return refused
	}
	if err != nil {
		return silent + ": " + err.Error()
	}
	defer conn.Close()
	conn.SetReadDeadline(time.Now().Add(patience))
	name, err := bufio.NewReader(conn).ReadString('\n')
	if errors.Is(err, syscall.ECONNRESET) {
		return refused
	}
	if err != nil {
		return silent + ": " + err.Error()
	}
	return strings.TrimSpace(name)
}

// exchange sends bytes and returns all that comes back, both as hex digits.
func exchange(at, request string) string {
	conn, err := net.DialTimeout("tcp", at, patience)
	if err != nil {
		return err.Error()
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	bytes, _ := hex.DecodeString(request)
	if _, err := conn.Write(bytes); err != nil {
		return err.Error()
	}
	answer, err := io.ReadAll(conn)
	if err != nil {
		return err.Error()
	}
	return hex.EncodeToString(answer)
}

// push sends so many bytes and closes.
func push(at, bytes string) string {
	n, _ := strconv.Atoi(bytes)
	conn, err := net.DialTimeout("tcp", at, patience)
	if err != nil {
		return err.Error()
	}
	defer conn.Close()
	conn.(*net.TCPConn).SetWriteBuffer(200 << 10)
	if _, err := conn.Write(make([]byte, n)); err != nil {
		return err.Error()
	}
	return "ok"
}

// sendDatagram tells whether one was refused. One that was let out to nobody,
// or into nothing, is "sent".
func sendDatagram(at string) string {
	conn, err := net.Dial("udp", at)
	if err != nil {
		return err.Error()
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("x")); err != nil {
		return refused
	}
	conn.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
	if _, err := conn.Read(make([]byte, 1)); errors.Is(err, syscall.ECONNREFUSED) {
		return refused
	}
	return "sent"
}

func hearDatagrams(at string) string {
	conn, err := net.ListenPacket("udp", at)
	if err != nil {
		return err.Error()
	}
	go func() {
		for buf := make([]byte, 64); ; {
			if _, _, err := conn.ReadFrom(buf); err != nil {
				return
			}
			heard.Add(1)
		}
	}()
	return "ok"
}

// A person is one of them, seen from the test.
type person struct {
	name string
	pid  int
	mu   sync.Mutex
	in   io.Writer
	out  *bufio.Reader
}

// newPerson starts one, by a command line that ends in the test binary's. It
// ends with the test, when its input does.
func newPerson(t *testing.T, name string, uid int, attr *syscall.SysProcAttr, before ...string) *person {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	line := append(before, self)
	cmd := exec.Command(line[0], line[1:]...)
	cmd.Env = append(os.Environ(), personVariable+"="+strconv.Itoa(uid))
	cmd.SysProcAttr = attr
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		cmd.Wait()
	})
	p := &person{name: name, pid: cmd.Process.Pid, in: in, out: bufio.NewReader(out)}
	if said := p.read(); said != "ready" {
		t.Fatalf("%s says: %s", name, said)
	}
	return p
}

func (p *person) read() string {
	said, err := p.out.ReadString('\n')
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(said)
}

// ask gives p an errand and returns what came of it.
func (p *person) ask(words ...string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	fmt.Fprintln(p.in, strings.Join(words, " "))
	return p.read()
}
