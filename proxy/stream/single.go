package stream

// nobody is a Holder of streams that belong to no session.
type nobody struct{}

func (nobody) Hold()    {}
func (nobody) Release() {}

// NewSingle makes the stream of one request that belongs to no session. Its
// client cannot come back for it: events have no id and are not kept, and where
// the client leaves before the stream is over, left is called, once, by whoever
// notices. (2026-07-28, basic/transports/streamable-http, "Receiving Messages")
func NewSingle(o *Options, left func()) *Stream {
	single := &struct {
		box    Outbox
		stream Stream
	}{box: Outbox{options: o, holder: nobody{}, single: true, brief: true, left: left}}
	s := &single.stream
	*s = Stream{box: &single.box, first: 1, kept: 1, written: 1, pending: 1, awaited: true}
	return s
}

// abandoned returns what is to be called, without the outbox's lock, where the
// stream's client has left too early; nil for nothing. The lock is held.
func (s *Stream) abandoned() func() {
	if s.box.left == nil || s.over() || s.conn != nil || s.awaited {
		return nil
	}
	left := s.box.left
	s.box.left = nil
	return left
}
