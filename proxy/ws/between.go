package ws

// The heads of the control frames that are read here, in one piece and masked
// as a client's have to be (RFC 6455, section 5.2).
const (
	pingHead   = 0x80 | ping
	pongHead   = 0x80 | kindPong
	masked     = 0x80
	headSize   = 2 + 4 // with the mask
	maxControl = 125   // bytes of a payload
)

// Between takes the pings and pongs that stand before the next message, so that
// nobody need wait in Next for a message after the last of them. Pings are
// answered: the answers are pending. more is how many bytes the source has at
// hand; it is not asked for others. What is not whole, or not right, is left to
// Next. Only who calls Next may call it.
// A compressed message whose client ends it before its frame ends is the one case
// in which Next would judge otherwise: what is left of the frame may be taken for
// a ping, by which such a client harms itself alone.
// It fails where the peer does not read the answers.
func (c *Conn) Between(more int) error {
	for have := c.in.Buffered() + more; ; {
		size := c.control(have)
		if c.out.overflown() {
			return errFlood
		}
		if size == 0 {
			return nil
		}
		have -= size
	}
}

// control takes a control frame out of the first have bytes, and returns its
// size; 0: there is none.
func (c *Conn) control(have int) int {
	if have < headSize {
		return 0
	}
	head, err := c.in.Peek(2)
	if err != nil || head[0] != pingHead && head[0] != pongHead || head[1]&masked == 0 {
		return 0
	}
	size := headSize + int(head[1]&^masked)
	if size > headSize+maxControl || size > have {
		return 0
	}
	frame, err := c.in.Peek(size)
	if err != nil {
		return 0
	}
	if frame[0] == pingHead {
		control(c.lib, kindPong, unmasked(frame))
	}
	_, _ = c.in.Discard(size) // it is there
	return size
}

// unmasked is a copy of a short frame's payload.
func unmasked(frame []byte) []byte {
	mask, payload := frame[2:headSize], append([]byte(nil), frame[headSize:]...)
	for i := range payload {
		payload[i] ^= mask[i%len(mask)]
	}
	return payload
}
