package harness

import (
	"bufio"
	"bytes"
	"io"
	"strings"
	"sync"
	"testing"
	"time"
)

// Event is one event of a stream: a block of fields with an id or with data.
type Event struct {
	ID, Name, Data string
	HasID, HasData bool
}

// Message is the message that the event carries.
func (e Event) Message(t testing.TB) Message {
	t.Helper()
	return ParseMessage(t, e.Data)
}

// Events reads a stream as it arrives. It never makes the gate wait.
type Events struct {
	exchange *Exchange

	mu       sync.Mutex
	queue    []Event
	comments int
	retry    string // the last retry field, empty until one came
	over     bool
	err      error // why it is over: nil for a proper end
	news     chan struct{}
}

// Events reads the response's body as an event stream; the test fails if it is
// none.
func (e *Exchange) Events(t testing.TB) *Events {
	t.Helper()
	if e.Status != 200 || !strings.HasPrefix(e.Header.Get("Content-Type"), "text/event-stream") {
		body, _ := io.ReadAll(io.LimitReader(e.Body, 2000))
		t.Fatalf("no event stream: status %d, Content-Type %q, body %s", e.Status, e.Header.Get("Content-Type"), body)
	}
	s := &Events{exchange: e, news: make(chan struct{}, 1)}
	go s.read()
	return s
}

func (s *Events) read() {
	p := eventParser{emit: s.add, comment: s.addComment, retry: s.setRetry}
	r := bufio.NewReader(s.exchange.Body)
	for {
		line, err := r.ReadString('\n')
		if err == nil {
			p.line(strings.TrimRight(line, "\r\n"))
			continue
		}
		if err == io.EOF {
			err = nil
		}
		s.mu.Lock()
		s.over, s.err = true, err
		s.mu.Unlock()
		s.ring()
		return
	}
}

func (s *Events) add(e Event) {
	s.mu.Lock()
	s.queue = append(s.queue, e)
	s.mu.Unlock()
	s.ring()
}

func (s *Events) addComment() {
	s.mu.Lock()
	s.comments++
	s.mu.Unlock()
	s.ring()
}

func (s *Events) setRetry(value string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.retry = value
}

func (s *Events) ring() {
	select {
	case s.news <- struct{}{}:
	default:
	}
}

// Comments is how many comment lines have arrived.
func (s *Events) Comments() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.comments
}

// Retry is the last retry field that has arrived, empty where there was none.
func (s *Events) Retry() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.retry
}

// Poll is the next event if one has arrived.
func (s *Events) Poll() (Event, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.queue) == 0 {
		return Event{}, false
	}
	e := s.queue[0]
	s.queue = s.queue[1:]
	return e, true
}

// Next waits for the next event; false means that the stream is over.
func (s *Events) Next(t testing.TB) (Event, bool) {
	t.Helper()
	for deadline := time.After(Patience); ; {
		if e, ok := s.Poll(); ok {
			return e, true
		}
		if s.Over() {
			return s.Poll()
		}
		select {
		case <-s.news:
		case <-deadline:
			t.Fatalf("no event within %v", Patience)
		}
	}
}

// NextMessage waits for the next event that carries a message; the test fails
// if the stream ends first.
func (s *Events) NextMessage(t testing.TB) (Event, Message) {
	t.Helper()
	for {
		e, ok := s.Next(t)
		if !ok {
			t.Fatalf("the stream ended (%v) before a message came", s.Err())
		}
		if e.Data != "" {
			return e, e.Message(t)
		}
	}
}

// Over tells whether the stream has ended, properly or not.
func (s *Events) Over() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.over
}

// Err is why the stream is over: nil for a proper end.
func (s *Events) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// Rest waits for the end and returns the events that came until then.
func (s *Events) Rest(t testing.TB) []Event {
	t.Helper()
	var list []Event
	for {
		e, ok := s.Next(t)
		if !ok {
			return list
		}
		list = append(list, e)
	}
}

// WantProperEnd waits for the end and fails the test if it was a cut.
func (s *Events) WantProperEnd(t testing.TB) []Event {
	t.Helper()
	rest := s.Rest(t)
	if err := s.Err(); err != nil {
		t.Errorf("the stream was cut instead of ended: %v", err)
	}
	return rest
}

// Cut closes the connection as a client does that vanishes.
func (s *Events) Cut() { s.exchange.Cut() }

// ReadEvents reads a stream until it ends, and hands over each event as it
// comes. It returns nil for a proper end.
func ReadEvents(r io.Reader, emit func(Event)) error {
	p := eventParser{emit: emit, comment: func() {}, retry: func(string) {}}
	for lines := bufio.NewReader(r); ; {
		line, err := lines.ReadString('\n')
		switch err {
		case nil:
			p.line(strings.TrimRight(line, "\r\n"))
		case io.EOF:
			return nil
		default:
			return err
		}
	}
}

// ParseEvents reads a whole stream.
func ParseEvents(body []byte) []Event {
	var list []Event
	p := eventParser{emit: func(e Event) { list = append(list, e) }, comment: func() {}, retry: func(string) {}}
	for line := range bytes.Lines(body) {
		p.line(strings.TrimRight(string(line), "\r\n"))
	}
	return list
}

// eventParser reads an event stream line by line, as the HTML standard says in
// "Interpreting an event stream".
type eventParser struct {
	emit    func(Event)
	comment func()
	retry   func(string)
	event   Event
}

func (p *eventParser) line(line string) {
	if line == "" {
		if p.event.HasID || p.event.HasData {
			p.emit(p.event)
		}
		p.event = Event{}
		return
	}
	name, value, _ := strings.Cut(line, ":")
	value = strings.TrimPrefix(value, " ")
	if name == "" {
		p.comment()
		return
	}
	switch name {
	case "id":
		p.event.ID, p.event.HasID = value, true
	case "event":
		p.event.Name = value
	case "retry":
		p.retry(value)
	case "data":
		if p.event.HasData {
			value = p.event.Data + "\n" + value
		}
		p.event.Data, p.event.HasData = value, true
	}
}
