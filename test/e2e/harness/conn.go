package harness

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// Conn is a connection to the gate, on which a test writes what it likes. It
// is closed at the end of the test.
type Conn struct {
	net.Conn
	r *bufio.Reader
}

// Dial connects to the gate.
func (g *Gate) Dial(t testing.TB) *Conn {
	t.Helper()
	return dial(t, g.network, g.Addr)
}

// DialAdmin connects to the gate's admin listener.
func (g *Gate) DialAdmin(t testing.TB) *Conn {
	t.Helper()
	if path, ok := strings.CutPrefix(g.Admin, "unix://"); ok {
		return dial(t, "unix", path)
	}
	return dial(t, "tcp", g.Admin)
}

func dial(t testing.TB, network, addr string) *Conn {
	t.Helper()
	c, err := tryDial(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// TryDial is Dial for where the gate may refuse; the caller closes.
func (g *Gate) TryDial() (*Conn, error) { return tryDial(g.network, g.Addr) }

func tryDial(network, addr string) (*Conn, error) {
	c, err := net.DialTimeout(network, addr, Patience)
	if err != nil {
		return nil, err
	}
	c.SetDeadline(time.Now().Add(2 * Patience))
	return &Conn{c, bufio.NewReaderSize(c, 16<<10)}, nil
}

// Send sends bytes; the test fails if the gate does not take them. Use
// net.Conn's own Write, as c.Conn.Write, where it may refuse.
func (c *Conn) Send(t testing.TB, b []byte) {
	t.Helper()
	if _, err := c.Conn.Write(b); err != nil {
		t.Fatalf("the gate does not take what is sent: %v", err)
	}
}

// HalfClose says that nothing more will be sent.
func (c *Conn) HalfClose() { c.Conn.(interface{ CloseWrite() error }).CloseWrite() }

// Begin reads the head of the next response.
func (c *Conn) Begin(t testing.TB, method string) *Exchange {
	t.Helper()
	e, err := c.TryBegin(method)
	if err != nil {
		t.Fatalf("no response: %v", err)
	}
	return e
}

// TryBegin is Begin for where there may be no response.
func (c *Conn) TryBegin(method string) (*Exchange, error) {
	resp, err := http.ReadResponse(c.r, &http.Request{Method: method})
	if err != nil {
		return nil, err
	}
	return &Exchange{Status: resp.StatusCode, Header: resp.Header, Body: resp.Body, Response: resp, conn: c}, nil
}

// Read reads the next response, whole.
func (c *Conn) Read(t testing.TB, method string) *Response {
	t.Helper()
	return c.Begin(t, method).Finish(t)
}

// Closed waits until the gate closes the connection, and returns what it sent
// before. A reset counts as closed.
func (c *Conn) Closed(t testing.TB) []byte {
	t.Helper()
	sent, err := io.ReadAll(c.r)
	if nerr, ok := err.(net.Error); ok && nerr.Timeout() {
		t.Fatalf("the gate does not close the connection; it sent %q", sent)
	}
	return sent
}

// Exchange is a response whose body is still to be read.
type Exchange struct {
	Status   int
	Header   http.Header
	Body     io.Reader
	Response *http.Response

	conn *Conn
}

// Finish reads the rest; the test fails if the response is cut short.
func (e *Exchange) Finish(t testing.TB) *Response {
	t.Helper()
	body, err := io.ReadAll(e.Body)
	if err != nil {
		t.Fatalf("the response (status %d) was cut short after %d bytes of body: %v", e.Status, len(body), err)
	}
	return &Response{e.Status, e.Header, body}
}

// Cut closes the connection as a client does that vanishes.
func (e *Exchange) Cut() { e.conn.Conn.Close() }

// Begin sends a request on a connection of its own and reads the head of the
// response.
func (g *Gate) Begin(t testing.TB, r *Request) *Exchange {
	t.Helper()
	c := g.Dial(t)
	c.Send(t, r.Bytes(g.Host()))
	return c.Begin(t, r.Method)
}

// Do sends a request on a connection of its own and reads the whole response.
func (g *Gate) Do(t testing.TB, r *Request) *Response {
	t.Helper()
	c := g.Dial(t)
	defer c.Conn.Close()
	c.Send(t, r.Bytes(g.Host()))
	return c.Read(t, r.Method)
}

// DoAdmin is Do on the admin listener.
func (g *Gate) DoAdmin(t testing.TB, r *Request) *Response {
	t.Helper()
	c := g.DialAdmin(t)
	defer c.Conn.Close()
	host := g.Admin
	if strings.HasPrefix(host, "unix://") {
		host = "localhost"
	}
	c.Send(t, r.Bytes(host))
	return c.Read(t, r.Method)
}

// Host is what an ordinary client of this gate puts into the Host field.
func (g *Gate) Host() string {
	if g.network == "unix" {
		return "localhost"
	}
	return g.Addr
}
