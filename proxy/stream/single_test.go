package stream

import (
	"bufio"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// single makes a single stream whose client's leaving shows in left.
func (b *bench) single() (s *Stream, left chan struct{}) {
	left = make(chan struct{}, 2)
	return NewSingle(b.box.options, func() { left <- struct{}{} }), left
}

func wantLeft(t *testing.T, left chan struct{}, want bool) {
	t.Helper()
	wait := 20 * time.Millisecond
	if want {
		wait = 20 * time.Second
	}
	select {
	case <-left:
		if !want {
			t.Error("left was called")
		}
	case <-time.After(wait):
		if want {
			t.Fatal("left was not called")
		}
	}
}

func TestSingleAnswer(t *testing.T) {
	b := newBench(t, nil)
	s, left := b.single()
	s.Answer(b.msg(`{"a":1}`))
	msg, form := s.Wait(time.Second, 100)
	if msg == nil || string(msg.B) != `{"a":1}` || form.Status != 200 {
		t.Fatalf("got %v, %v", msg, form)
	}
	msg.Release()
	wantLeft(t, left, false)
}

// TestSingleEvents: events have no id, since nobody can come back for them.
func TestSingleEvents(t *testing.T) {
	b := newBench(t, nil)
	s, left := b.single()
	s.Send(b.msg(`{"n":1}`))
	client, reusable := b.hold(s, 0)
	s.Answer(b.msg(`{"a":1}`))
	res, err := http.ReadResponse(bufio.NewReader(client), nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(res.Body)
	if err != nil || strings.Contains(string(text), "id:") || !strings.Contains(string(text), `data: {"a":1}`) {
		t.Errorf("got %q, %v", text, err)
	}
	if !<-reusable {
		t.Error("the connection cannot be used again")
	}
	wantLeft(t, left, false)
}

// TestSingleLeft: its client leaves while it waits, before anything came and
// after, or does not come at all.
func TestSingleLeft(t *testing.T) {
	for _, test := range []struct {
		name string
		ends func(b *bench, s *Stream)
	}{
		{"before anything came", func(b *bench, s *Stream) {
			client, _ := b.hold(s, 0)
			client.Close()
		}},
		{"after an event", func(b *bench, s *Stream) {
			s.Send(b.msg(`{"n":1}`))
			client, _ := b.hold(s, 0)
			if _, err := http.ReadResponse(bufio.NewReader(client), nil); err != nil {
				b.t.Error(err)
			}
			client.Close()
		}},
		{"never there", func(_ *bench, s *Stream) { s.Abandon() }},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newBench(t, nil)
			s, left := b.single()
			test.ends(b, s)
			wantLeft(t, left, true)
			msg := b.msg(`{"n":2}`)
			if s.Send(msg) {
				t.Error("a stream without a client takes messages")
			} else {
				msg.Release()
			}
			s.Answer(b.msg(`{"a":1}`)) // goes nowhere
			wantLeft(t, left, false)
		})
	}
}
