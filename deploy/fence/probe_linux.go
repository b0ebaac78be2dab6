package fence

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// probeTime is how long a probe waits for an answer. Here everything answers
// at once, unless a rule drops it.
const probeTime = 5 * time.Second

// errTaken says that somebody listens there already.
var errTaken = errors.New("somebody listens there")

// asUser runs f on a thread whose files, and so sockets, belong to uid: that is
// what the kernel compares with a rule's owner. The thread ends with it.
func asUser(uid uint32, f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		_, _ = unix.SetfsuidRetUid(int(uid)) // tells the user before, and never an error
		if now, _ := unix.SetfsuidRetUid(-1); now != int(uid) {
			done <- fmt.Errorf("cannot act as user %d: %w", uid, errSetUID)
			return
		}
		done <- f()
	}()
	return <-done
}

// socket opens one of uid's that does not block. It is the caller's to close.
func socket(uid uint32, family, kind int) (fd int, err error) {
	err = asUser(uid, func() error {
		fd, err = unix.Socket(family, kind|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		return err
	})
	return fd, err
}

// A standIn listens in the place of one who is not there yet, and holds what
// connects until it is closed.
type standIn struct {
	port int
	tcp  net.Listener
	udp  net.PacketConn
	gone chan struct{} // closed when the accepting goroutine has ended

	mu   sync.Mutex
	held []net.Conn
}

// maxHeld bounds what others than the probes may make a stand-in hold.
const maxHeld = 1024

// listenAs listens on all addresses, for uid, until close. Port 0 is any free
// one. The error is errTaken where somebody else listens.
func listenAs(uid uint32, port int) (*standIn, error) {
	tcp, err := bound(uid, unix.SOCK_STREAM, port)
	if err != nil {
		return nil, err
	}
	defer tcp.Close()
	ln, err := net.FileListener(tcp)
	if err != nil {
		return nil, fmt.Errorf("cannot listen on port %d: %w", port, err)
	}
	s := &standIn{port: ln.Addr().(*net.TCPAddr).Port, tcp: ln, gone: make(chan struct{})}
	go s.accept()
	udp, err := bound(uid, unix.SOCK_DGRAM, s.port)
	if err != nil {
		return s, nil // only the canary needs it, and says so
	}
	defer udp.Close()
	if s.udp, err = net.FilePacketConn(udp); err != nil {
		s.close()
		return nil, fmt.Errorf("cannot listen on port %d/udp: %w", s.port, err)
	}
	return s, nil
}

// bound is a socket on all addresses of the families that there are.
func bound(uid uint32, kind, port int) (*os.File, error) {
	var at unix.Sockaddr = &unix.SockaddrInet6{Port: port}
	fd, err := socket(uid, unix.AF_INET6, kind)
	if errors.Is(err, unix.EAFNOSUPPORT) {
		at = &unix.SockaddrInet4{Port: port}
		fd, err = socket(uid, unix.AF_INET, kind)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot open a socket as user %d: %w", uid, err)
	}
	f := os.NewFile(uintptr(fd), "socket")
	if _, both := at.(*unix.SockaddrInet6); both {
		err = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 0)
	}
	if err == nil {
		err = unix.Bind(fd, at)
	}
	if err == nil && kind == unix.SOCK_STREAM {
		err = unix.Listen(fd, 128)
	}
	if err == nil {
		return f, nil
	}
	f.Close()
	if errors.Is(err, unix.EADDRINUSE) {
		return nil, errTaken
	}
	return nil, fmt.Errorf("cannot listen on port %d: %w", port, err)
}

// accept ends when the listener is closed.
func (s *standIn) accept() {
	defer close(s.gone)
	for {
		conn, err := s.tcp.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		if len(s.held) < maxHeld {
			s.held = append(s.held, conn)
		} else {
			conn.Close()
		}
		s.mu.Unlock()
	}
}

func (s *standIn) close() {
	s.tcp.Close()
	<-s.gone
	for _, c := range s.held {
		c.Close()
	}
	if s.udp != nil {
		s.udp.Close()
	}
}

// attempts are how often a probe is made anew where who answers was not to be
// found: a redirect gives a connection another port if there was one from the
// same port just before.
const attempts = 5

// connect knocks at to as uid, and tells who answers.
func (v *verifier) connect(uid uint32, to netip.AddrPort) (string, error) {
	for range attempts {
		answers, err := v.connectOnce(uid, to)
		if answers != "" || err != nil {
			return answers, err
		}
	}
	return otherAnswers, nil
}

// connectOnce returns "" where somebody answers of whom nothing was to be found.
func (v *verifier) connectOnce(uid uint32, to netip.AddrPort) (string, error) {
	fd, err := socket(uid, addressFamily(to), unix.SOCK_STREAM)
	if err != nil {
		return "", fmt.Errorf("cannot open a socket as user %d: %w", uid, err)
	}
	defer unix.Close(fd)
	err = unix.Connect(fd, sockaddr(to))
	if errors.Is(err, unix.EINPROGRESS) || errors.Is(err, unix.EINTR) {
		err = outcome(fd, probeTime)
	}
	switch {
	case err == nil:
		return v.who(fd, to)
	case errors.Is(err, unix.ECONNREFUSED):
		return refused, nil
	default:
		return silent, nil // as after a time, or without a way there
	}
}

// outcome waits until a socket that connects has done so, or may not.
func outcome(fd int, within time.Duration) error {
	for deadline := time.Now().Add(within); ; {
		left := time.Until(deadline)
		if left <= 0 {
			return unix.ETIMEDOUT
		}
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, int(left.Milliseconds())+1)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return err
		}
		if n > 0 {
			return pending(fd)
		}
	}
}

// pending is the error that a socket holds, once.
func pending(fd int) error {
	errno, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		return err
	}
	if errno != 0 {
		return unix.Errno(errno)
	}
	return nil
}

// who finds the other end of a connection within this network namespace, and
// tells by its port whose it is; "" where there is none for a second.
func (v *verifier) who(fd int, to netip.AddrPort) (string, error) {
	name, err := unix.Getsockname(fd)
	if err != nil {
		return "", fmt.Errorf("cannot tell a probe's own address: %w", err)
	}
	self := addrPort(name)
	for deadline := time.Now().Add(probeTime / attempts); ; time.Sleep(10 * time.Millisecond) {
		ports, err := otherEnds(self)
		if err != nil {
			return "", err
		}
		for _, port := range ports {
			if name := v.owner(port, to); name != "" {
				return name, nil
			}
		}
		if time.Now().After(deadline) {
			return "", nil
		}
	}
}

// owner is whose a port is.
func (v *verifier) owner(port int, to netip.AddrPort) string {
	c := v.config
	switch {
	case port == c.GatePort:
		return gateAnswers
	case c.Egress != nil && port == c.Egress.Port:
		return egressAnswers
	}
	for _, p := range c.ToolPorts {
		if p == port {
			return toolAnswers
		}
	}
	if port == int(to.Port()) {
		return otherAnswers
	}
	return ""
}

// datagram sends one to a stand-in as uid, and tells whether it arrives.
func (v *verifier) datagram(uid uint32, to netip.AddrPort, at *standIn) (string, error) {
	if at.udp == nil {
		return "", fmt.Errorf("cannot listen on port %d/udp: %w", at.port, errTaken)
	}
	fd, err := socket(uid, addressFamily(to), unix.SOCK_DGRAM)
	if err != nil {
		return "", fmt.Errorf("cannot open a socket as user %d: %w", uid, err)
	}
	defer unix.Close(fd)
	if err := unix.Connect(fd, sockaddr(to)); err != nil {
		return silent, nil // there is no way to it
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		return "", fmt.Errorf("cannot tell a probe's own address: %w", err)
	}
	if _, err := unix.Write(fd, []byte(strconv.Itoa(int(uid)))); err != nil {
		return refused, nil // whichever it is, it does not go out
	}
	self := addrPort(name)
	for deadline := time.Now().Add(probeTime); time.Now().Before(deadline); {
		if errors.Is(pending(fd), unix.ECONNREFUSED) {
			return refused, nil
		}
		if at.heard(self) {
			return otherAnswers, nil
		}
	}
	return silent, nil
}

// heard tells whether a datagram of self's has arrived; it waits for a moment.
func (s *standIn) heard(self netip.AddrPort) bool {
	_ = s.udp.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
	for buf := make([]byte, 64); ; {
		_, from, err := s.udp.ReadFrom(buf)
		if err != nil {
			return false
		}
		if from, ok := from.(*net.UDPAddr); ok && from.Port == int(self.Port()) {
			return true
		}
	}
}

func addressFamily(a netip.AddrPort) int {
	if a.Addr().Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	to := &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
	if i, err := net.InterfaceByName(a.Addr().Zone()); err == nil {
		to.ZoneId = uint32(i.Index)
	}
	return to
}

func addrPort(s unix.Sockaddr) netip.AddrPort {
	switch s := s.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(s.Addr), uint16(s.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(s.Addr).Unmap(), uint16(s.Port))
	}
	return netip.AddrPort{}
}
