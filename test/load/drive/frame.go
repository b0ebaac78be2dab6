package drive

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// The opcodes of WebSocket frames that callers meet.
const (
	textFrame  = 1
	closeFrame = 8
	pingFrame  = 9
	pongFrame  = 10
)

// frame is a masked frame of a client. Its key is zero, which saves the
// masking here and nothing at the other end, where the key is random for all
// it knows.
func frame(opcode byte, payload []byte) []byte {
	b := []byte{0x80 | opcode}
	switch n := len(payload); {
	case n < 126:
		b = append(b, 0x80|byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), uint64(n))
	}
	return append(append(b, 0, 0, 0, 0), payload...)
}

// upgrade opens a WebSocket on the connection.
func (c *conn) upgrade(d Door) error {
	c.SetDeadline(time.Now().Add(patience))
	_, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: bG9hZCBsb2FkIGxvYWQgbA==\r\nSec-WebSocket-Protocol: mcp\r\n\r\n", d.path(), d.Addr)
	if err != nil {
		return err
	}
	var resp response
	if err := c.head(&resp); err != nil {
		return err
	}
	if resp.status == 101 {
		return nil
	}
	if err := c.rest(&resp); err != nil {
		return err
	}
	return fmt.Errorf("the upgrade got status %d: %.300s", resp.status, resp.body)
}

// greet opens the session of a WebSocket.
func (c *conn) greet() error {
	if _, err := c.Write(frame(textFrame, []byte(opening))); err != nil {
		return err
	}
	answer, err := c.frame()
	if err != nil {
		return err
	}
	if !bytes.Contains(answer, []byte(`"serverInfo"`)) {
		return fmt.Errorf("initialize got %.200s", answer)
	}
	_, err = c.Write(frame(textFrame, []byte(opened)))
	return err
}

// frame reads the next message, valid until the next read; pings are answered
// on the way.
func (c *conn) frame() ([]byte, error) {
	for {
		opcode, payload, err := c.anyFrame()
		if err != nil {
			return nil, err
		}
		switch opcode {
		case textFrame:
			return payload, nil
		case pingFrame:
			if _, err := c.Write(frame(pongFrame, payload)); err != nil {
				return nil, err
			}
		case closeFrame:
			return nil, fmt.Errorf("closed: %q", payload)
		case pongFrame:
		default:
			return nil, fmt.Errorf("a frame with opcode %d", opcode)
		}
	}
}

func (c *conn) anyFrame() (opcode byte, payload []byte, err error) {
	head, err := c.take(2)
	if err != nil {
		return 0, nil, err
	}
	opcode = head[0] & 0x0f
	if head[0]&0x80 == 0 || head[1]&0x80 != 0 {
		return 0, nil, errors.New("a frame in parts, or masked")
	}
	length := uint64(head[1])
	switch length {
	case 126:
		head, err = c.take(2)
		if err == nil {
			length = uint64(binary.BigEndian.Uint16(head))
		}
	case 127:
		head, err = c.take(8)
		if err == nil {
			length = binary.BigEndian.Uint64(head)
		}
	}
	if err == nil {
		payload, err = c.take(int(length))
	}
	return opcode, payload, err
}

// waiting tells whether there is a whole frame that need not be waited for.
func (c *conn) waiting() bool {
	b := c.buf[c.r:c.w]
	if len(b) < 2 {
		return false
	}
	switch length := int(b[1]); {
	case length < 126:
		return len(b) >= 2+length
	case length == 126 && len(b) >= 4:
		return len(b) >= 4+int(binary.BigEndian.Uint16(b[2:]))
	}
	return false
}
