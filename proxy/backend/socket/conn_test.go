package socket

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	"golang.org/x/sys/unix"

	"sidegate/proxy/backend"
	"sidegate/proxy/backend/contract"
	"sidegate/proxy/rawio"
)

const answer = `{"jsonrpc":"2.0","id":1,"result":{}}`

// TestHalfClosedPeer: a server that has ended its direction answers no more,
// also when it still reads. What it had said arrives.
func TestHalfClosedPeer(t *testing.T) {
	for _, network := range []string{"unix", "tcp"} {
		t.Run(network, func(t *testing.T) {
			c, r, peer := open(t, listen(t, network))
			if _, err := io.WriteString(peer, answer+"\n"); err != nil {
				t.Fatal(err)
			}
			if err := peer.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if got := r.Next(t); got != answer {
				t.Errorf("message %s", got)
			}
			wantEnd(t, r, "closed the connection")
			if err := c.Send(contract.Message("{}")); !errors.Is(err, backend.ErrClosed) {
				t.Errorf("Send: %v", err)
			}
			if n, err := peer.Read(make([]byte, 1)); err != io.EOF {
				t.Errorf("the peer read %d bytes and %v, want the end", n, err)
			}
		})
	}
}

// TestDiesInALine: half a message is none, and its call is named where it can be.
func TestDiesInALine(t *testing.T) {
	_, r, peer := open(t, listen(t, "unix"))
	if _, err := io.WriteString(peer, answer+"\n"+answer[:len(answer)-1]); err != nil {
		t.Fatal(err)
	}
	_ = peer.Close()
	if got := r.Next(t); got != answer {
		t.Errorf("message %s", got)
	}
	if got := r.Next(t); got != "garbage 1" {
		t.Errorf("half a message is %s", got)
	}
	wantEnd(t, r, "closed the connection")
}

// TestReset: a peer that goes with unread input is told as what it is.
func TestReset(t *testing.T) {
	c, r, peer := open(t, listen(t, "tcp"))
	if err := c.Send(contract.Message(answer)); err != nil {
		t.Fatal(err)
	}
	if _, err := peer.Read(make([]byte, 1)); err != nil { // so that it has arrived
		t.Fatal(err)
	}
	_ = peer.(*net.TCPConn).SetLinger(0)
	_ = peer.Close()
	wantEnd(t, r, "broke the connection off")
}

// TestClosesItsInput: a server that takes nothing more and does not go is cut.
func TestClosesItsInput(t *testing.T) {
	c, r, peer := open(t, listen(t, "unix"), func(c *Config) { c.StopTimeout = 50 * time.Millisecond })
	if err := peer.(*net.UnixConn).CloseRead(); err != nil {
		t.Fatal(err)
	}
	if err := c.Send(contract.Message(answer)); err != nil {
		t.Fatal(err)
	}
	wantEnd(t, r, "broke the connection off")
}

// TestLatePeer: the server accepts long after the connection was made, and gets
// all that was sent meanwhile.
func TestLatePeer(t *testing.T) {
	ln := listen(t, "unix")
	r := contract.NewRecorder()
	c, err := newBackend(t, urlOf(ln)).Open(context.Background(), r)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.Background())
	for range 100 {
		if err := c.Send(contract.Message(answer)); err != nil {
			t.Fatal(err)
		}
	}
	peer, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	lines := bufio.NewScanner(peer)
	for n := range 100 {
		if !lines.Scan() || lines.Text() != answer {
			t.Fatalf("line %d is %q: %v", n, lines.Text(), lines.Err())
		}
	}
}

// TestFullBacklog: a server whose queue of connections is full is waited for,
// but not for ever.
func TestFullBacklog(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("a full queue is refused there, and not told apart from nobody listening")
	}
	path := filepath.Join(shortDir(t), "s")
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrUnix{Name: path}), unix.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	b := newBackend(t, "unix://"+path, func(c *Config) { c.ConnectTimeout = 100 * time.Millisecond })
	var conns []backend.Conn
	for err == nil && len(conns) < 100 {
		var c backend.Conn
		if c, err = b.Open(context.Background(), contract.NewRecorder()); err == nil {
			conns = append(conns, c)
		}
	}
	if err == nil || !strings.Contains(err.Error(), "does not accept connections") {
		t.Errorf("Open with %d connections waiting: %v", len(conns), err)
	}
	b.config.ConnectTimeout = contract.Patience
	opened := make(chan error, 1)
	go func() {
		c, err := b.Open(context.Background(), contract.NewRecorder())
		if err == nil {
			c.Close(hurried())
		}
		opened <- err
	}()
	for range 2 {
		accepted, _, err := unix.Accept(fd)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(accepted)
	}
	if err := <-opened; err != nil {
		t.Errorf("Open once there was room: %v", err)
	}
	for _, c := range conns {
		c.Close(hurried())
	}
}

// hurried is a context that is done.
func hurried() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// TestOpenFails with words that help.
func TestOpenFails(t *testing.T) {
	dir := shortDir(t)
	stale, plain, datagrams := filepath.Join(dir, "stale"), filepath.Join(dir, "plain"), filepath.Join(dir, "dgram")
	ln, err := net.Listen("unix", stale)
	if err != nil {
		t.Fatal(err)
	}
	ln.(*net.UnixListener).SetUnlinkOnClose(false)
	_ = ln.Close()
	if err := os.WriteFile(plain, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	packets, err := net.ListenPacket("unixgram", datagrams)
	if err != nil {
		t.Fatal(err)
	}
	defer packets.Close()
	closed := listen(t, "tcp")
	_ = closed.Close()
	for url, c := range map[string]struct {
		opens, checks string
	}{
		"unix://" + dir + "/none":                        {"is the tool server running?", "is the tool server running?"},
		"unix://" + stale:                                {"has ended and left its socket behind", ""},
		"unix://" + plain:                                {"nobody listens on it", "is no socket"},
		"unix://" + datagrams:                            {"datagrams", ""},
		"unix://" + dir + "/" + strings.Repeat("x", 120): {"too long", "is the tool server running?"},
		urlOf(closed):                                    {"is the tool server running, and is this its port?", ""},
		"tcp://no-such-host.invalid:1":                   {"not known here", "not known here"},
	} {
		b := newBackend(t, url)
		_, err := b.Open(context.Background(), contract.NewRecorder())
		if err == nil || !strings.Contains(err.Error(), c.opens) || !strings.HasPrefix(err.Error(), `the tool server "test" cannot be reached: `) {
			t.Errorf("%s: Open: %v, want %q", url, err, c.opens)
		}
		err = b.Check(context.Background())
		if c.checks == "" && !errors.Is(err, backend.ErrUnsure) || c.checks != "" && (err == nil || !strings.Contains(err.Error(), c.checks)) {
			t.Errorf("%s: Check: %v, want %q", url, err, c.checks)
		}
	}
}

// TestCheckDoesNotConnect: behind a socket a connection may start a process.
func TestCheckDoesNotConnect(t *testing.T) {
	for _, network := range []string{"unix", "tcp"} {
		ln := listen(t, network)
		if err := newBackend(t, urlOf(ln)).Check(context.Background()); !errors.Is(err, backend.ErrUnsure) {
			t.Errorf("%s: %v", network, err)
		}
		type deadline interface{ SetDeadline(time.Time) error }
		_ = ln.(deadline).SetDeadline(time.Now().Add(50 * time.Millisecond))
		if c, err := ln.Accept(); err == nil {
			c.Close()
			t.Errorf("%s: Check has connected", network)
		}
	}
}

// TestKeepAlive: a host that is gone shall be noticed without a word.
func TestKeepAlive(t *testing.T) {
	s, err := newBackend(t, urlOf(listen(t, "tcp"))).dial(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	raw, err := s.(*rawio.Conn).Conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var on int
	if err := errors.Join(raw.Control(func(fd uintptr) {
		on, err = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_KEEPALIVE)
	}), err); err != nil || on == 0 {
		t.Errorf("SO_KEEPALIVE is %d, %v", on, err)
	}
}

// TestRealServer: the SDK's server on a socket.
func TestRealServer(t *testing.T) {
	ln := listen(t, "unix")
	server := mcp.NewServer(&mcp.Implementation{Name: "real", Version: "1"}, nil)
	type input struct {
		Text string `json:"text"`
	}
	mcp.AddTool(server, &mcp.Tool{Name: "say"}, func(_ context.Context, _ *mcp.CallToolRequest, in input) (*mcp.CallToolResult, any, error) {
		return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: in.Text}}}, nil, nil
	})
	ctx, cancel := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	defer serving.Wait()
	defer cancel()
	serving.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			session, err := server.Connect(ctx, &mcp.IOTransport{Reader: c, Writer: c}, nil)
			if err != nil {
				t.Error(err)
				return
			}
			serving.Go(func() { _ = session.Wait() }) // the other end says how it ended
		}
	})
	defer ln.Close()
	b := newBackend(t, urlOf(ln), func(c *Config) { c.StopTimeout = contract.Patience })
	for range 3 { // each connection is a session of its own
		r := contract.NewRecorder()
		c, err := b.Open(ctx, r)
		if err != nil {
			t.Fatal(err)
		}
		for _, step := range []struct{ send, want string }{
			{`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"test","version":"0"}}}`, `"name":"real"`},
			{`{"jsonrpc":"2.0","method":"notifications/initialized"}`, ""},
			{`{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"say","arguments":{"text":"hello"}}}`, `"text":"hello"`},
		} {
			if err := c.Send(contract.Message(step.send)); err != nil {
				t.Fatal(err)
			}
			if step.want == "" {
				continue
			}
			if got := r.Next(t); !strings.Contains(got, step.want) {
				t.Errorf("answer %s, want %s in it", got, step.want)
			}
		}
		c.Close(ctx)
		if err := r.End(t); err != nil {
			t.Errorf("Closed: %v, want nil", err)
		}
	}
}
