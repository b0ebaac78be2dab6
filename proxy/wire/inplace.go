package wire

// Discharge gives the buffer's charge back to its budget, and leaves its
// memory to the garbage collector once the last reader has let go of it. The
// bytes stay valid; Release must not follow. It is how a message ends that one
// goroutine drops while another may still be writing it out.
func (b *Buffer) Discharge() {
	if b.charged > 0 {
		b.budget.Release(b.charged)
	}
	b.budget = nil
	b.charged = 0
	b.live = false // a Release panics from here on
}

// Fit returns the message in no more memory than it needs, for who holds it
// long: b itself, or a copy that has taken b's charge over and for which b was
// released.
func (b *Buffer) Fit() *Buffer {
	if cap(b.B) < 2*len(b.B)+64 {
		return b
	}
	small := &Buffer{B: append(make([]byte, 0, len(b.B)), b.B...), budget: b.budget, charged: b.charged, live: true}
	b.budget, b.charged = nil, 0
	b.Release()
	return small
}

// Splice exchanges the bytes at span at for with, in place: what follows moves,
// and offsets behind at are no longer those of the scan. Splice from the back
// to the front.
func (b *Buffer) Splice(at Span, with []byte) {
	grow := len(with) - (at.End - at.Start)
	tail := b.B[at.End:]
	if grow > 0 {
		b.Grow(grow)
		tail = b.B[at.End:]
		b.B = b.B[:len(b.B)+grow]
	}
	copy(b.B[at.End+grow:], tail)
	copy(b.B[at.Start:], with)
	if grow < 0 {
		b.B = b.B[:len(b.B)+grow]
	}
}

// ChargeUpTo charges what is missing to total bytes. false: the budget is full
// and nothing more was charged.
func (b *Buffer) ChargeUpTo(budget Budget, total int64) bool {
	return b.Charge(budget, total-b.charged)
}
