package serve

import "net"

// Relay passes bytes between each connection and one of its own to addr, with
// a read and a write for what comes in one piece: the least that anything
// between a client and a server can do. It looks at nothing.
func Relay(l net.Listener, addr string) error {
	for {
		client, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			server, err := net.Dial("tcp", addr)
			if err != nil {
				client.Close()
				return
			}
			go pass(client, server)
			pass(server, client)
		}()
	}
}

// pass copies without io.Copy, which would have the kernel splice.
func pass(to, from net.Conn) {
	defer to.Close()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}
