package stream

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"strconv"

	"sidegate/proxy/refusal"
)

// replay is an outbox's account of the events that can be asked for again, in
// the order in which they came on it. Entries whose event is gone already are
// skipped. The outbox's lock guards it.
type replay struct {
	log    []entry
	events int
	bytes  int
	tag    string // begins every event id of the outbox
}

type entry struct {
	stream *Stream
	number uint64
}

// keep moves all events before number end from the account of what is in
// flight to the account of what can be replayed.
func (s *Stream) keep(end uint64) {
	for s.kept < end {
		msg := s.held[s.kept-s.first]
		msg.Discharge()
		s.inFlight -= len(msg.B)
		number := s.kept
		s.kept++
		if !s.box.account(s, number, len(msg.B)) {
			s.held[number-s.first] = nil
			s.forget(number + 1)
		}
	}
}

// forget drops all held events before number end. Their memory is left to the
// garbage collector: a writer may be reading it.
func (s *Stream) forget(end uint64) {
	for s.first < end {
		msg := s.held[0]
		s.held[0] = nil
		s.held = s.held[1:]
		switch {
		case msg == nil: // never came on an account
		case s.first < s.kept:
			s.box.replay.events--
			s.box.replay.bytes -= len(msg.B)
			s.box.options.Replay.Release(int64(len(msg.B)))
		default:
			s.inFlight -= len(msg.B)
			msg.Discharge()
		}
		if s.first >= s.written {
			s.box.options.Dropped("undelivered")
		}
		s.first++
	}
	s.kept = max(s.kept, s.first)
	s.written = max(s.written, s.first)
	if len(s.held) == 0 {
		s.held = nil
	}
	if s.conn != nil && s.conn.cursor < s.first {
		s.conn.sever() // it was replaying what has just gone
	}
	s.box.retire(s)
}

// account puts one event on the account of what can be replayed; older ones of
// this outbox make room. It tells whether the event could be kept: not where
// all outboxes together keep too much and this one has nothing to give.
func (b *Outbox) account(s *Stream, number uint64, size int) bool {
	if b.brief {
		return false
	}
	for !b.options.Replay.TryAcquire(int64(size)) {
		if !b.dropOldest() {
			return false
		}
	}
	r := &b.replay
	r.log = append(r.log, entry{s, number})
	r.events++
	r.bytes += size
	for r.events > b.options.ReplayEvents || r.bytes > b.options.ReplayBytes {
		b.dropOldest()
	}
	return true
}

// dropOldest forgets the oldest event that is kept; false: there is none.
func (b *Outbox) dropOldest() bool {
	r := &b.replay
	for len(r.log) > 0 {
		e := r.log[0]
		r.log[0] = entry{}
		r.log = r.log[1:]
		if e.number >= e.stream.first {
			e.stream.forget(e.number + 1)
			return true
		}
	}
	return false
}

// appendID appends the id of an event: the outbox's tag, the stream, the number.
// The tag tells another session's ids apart. Events of a single stream have
// none.
func (s *Stream) appendID(dst []byte, number uint64) []byte {
	if s.box.single {
		return dst
	}
	dst = append(append(dst, s.box.replay.name()...), '_')
	dst = append(strconv.AppendUint(dst, uint64(s.number), 10), '_')
	return strconv.AppendUint(dst, number, 10)
}

func (r *replay) name() string {
	if r.tag == "" {
		var random [4]byte
		_, _ = rand.Read(random[:]) // never fails (crypto/rand)
		r.tag = hex.EncodeToString(random[:])
	}
	return r.tag
}

// After is the number of the message after the first count ones of the main
// stream, for a client that counts them. A count that was never reached, or
// whose successor is no longer held, is refused: going on would skip messages.
func (b *Outbox) After(count uint64) (next uint64, refused *refusal.Refusal) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if s := b.mainStream(); count+1 < s.first || count >= s.next() {
		return 0, refusal.LastEventID
	}
	return count + 1, nil
}

// Find finds the stream that an event id names, and the number of the event
// that comes after it. An id that is malformed, not of this outbox, or whose
// successor is no longer held is refused: going on would skip messages.
func (b *Outbox) Find(id []byte) (s *Stream, next uint64, refused *refusal.Refusal) {
	b.mu.Lock()
	defer b.mu.Unlock()
	parts := bytes.Split(id, []byte("_"))
	if len(parts) != 3 || b.replay.tag == "" || string(parts[0]) != b.replay.tag {
		return nil, 0, refusal.LastEventID
	}
	name, err1 := strconv.ParseUint(string(parts[1]), 10, 32)
	number, err2 := strconv.ParseUint(string(parts[2]), 10, 63)
	if err1 != nil || err2 != nil {
		return nil, 0, refusal.LastEventID
	}
	if s = b.streams[uint32(name)]; name == 0 {
		s = b.mainStream()
	}
	if s == nil || number+1 < s.first || number+1 > s.next() {
		return nil, 0, refusal.LastEventID
	}
	return s, number + 1, nil
}
