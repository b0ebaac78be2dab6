//go:build linux

package chaos

import (
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sidegate/test/e2e/harness"
	"sidegate/test/load/serve"
)

// roles are what else this program is: the processes that the tests start.
var roles = map[string]func(args []string) error{
	"chaos-client": client,
	"chaos-stdio":  stdioServer,
	"chaos-http":   httpServer,
}

func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		if role := roles[os.Args[1]]; role != nil {
			if err := role(os.Args[2:]); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
			return
		}
	}
	os.Exit(tests(m))
}

// tests builds a gate only where one is needed.
func tests(m *testing.M) int {
	if os.Getenv(AllVariable) != "1" {
		return m.Run()
	}
	var err error
	if workshop, err = os.MkdirTemp("", "sidegate-chaos"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(workshop)
	return harness.Main(m, toxiproxys()...)
}

// toxiproxys are the goroutines that toxiproxy leaves behind when a connection
// is closed at both of its ends at once: they wait for each other for ever.
func toxiproxys() []goleak.Option {
	const its = "github.com/Shopify/toxiproxy/v2"
	return []goleak.Option{
		goleak.IgnoreAnyFunction(its + ".(*ToxicLink).read"),
		goleak.IgnoreAnyFunction(its + ".(*ToxicLink).write"),
		goleak.IgnoreAnyFunction(its + "/toxics.(*ToxicStub).Run"),
	}
}

// role is the command line of a role.
func role(name string, args ...string) []string {
	path, err := os.Executable()
	if err != nil {
		panic(err)
	}
	return append([]string{path, name}, args...)
}

// What a server on stdio is told: to write a line to stderr for whatever it
// reads, which the gate relays to its own log; or to go into another cgroup, by
// the file behind the colon, since the memory of the gate's is the gate's alone.
const (
	isLoud = "loud"
	goTo   = "go-to:"
)

// stdioServer answers lines.
func stdioServer(args []string) error {
	var in io.Reader = os.Stdin
	for _, arg := range args {
		if file, ok := strings.CutPrefix(arg, goTo); ok {
			os.WriteFile(file, []byte("0"), 0o600)
		} else {
			in = loud{in}
		}
	}
	return serve.Tools{}.Stdio(in, os.Stdout)
}

type loud struct{ io.Reader }

func (l loud) Read(b []byte) (int, error) {
	n, err := l.Reader.Read(b)
	fmt.Fprintf(os.Stderr, "the server has read %d bytes\n", n)
	return n, err
}

// httpServer answers at an address, at which its forerunner may have been
// killed a moment ago.
func httpServer(args []string) error {
	for end := time.Now().Add(harness.Patience); ; time.Sleep(10 * time.Millisecond) {
		l, err := net.Listen("tcp", args[0])
		if err == nil {
			fmt.Println("serves at", l.Addr())
			return serve.Tools{}.Fast(l)
		}
		if time.Now().After(end) {
			return err
		}
	}
}
