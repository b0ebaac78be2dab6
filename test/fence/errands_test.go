//go:build linux

package fence

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"sidegate/test/netns"
)

// refused is what a person says whom nobody lets connect.
const refused = netns.Refused

// errands are what a person can be told to do.
var errands = map[string]netns.Errand{
	"listen":   func(a []string) string { return listen(a[0], a[1]) },
	"dial":     netns.Dial,
	"exchange": netns.Exchange,
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
	conn.SetReadDeadline(time.Now().Add(netns.Patience))
	total, err := io.ReadFull(conn, make([]byte, wholeBytes-lastBytes))
	<-read
	buf := make([]byte, 64<<10)
	for n := 0; err == nil; total += n {
		conn.SetReadDeadline(time.Now().Add(5 * time.Second))
		n, err = conn.Read(buf)
	}
	return strconv.Itoa(total)
}

// push sends so many bytes and closes.
func push(at, bytes string) string {
	n, _ := strconv.Atoi(bytes)
	conn, err := net.DialTimeout("tcp", at, netns.Patience)
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
