package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"log"
	"sync"

	"sidegate/test/conformance/servers/tools"
)

// A stdio serves one client, a message a line.
type stdio struct {
	server *server

	writing sync.Mutex
	out     io.Writer

	mu      sync.Mutex
	cancels map[string]func() // of the requests in flight, by id
}

// serve reads until the input ends.
func (s *stdio) serve(in io.Reader) error {
	for lines := bufio.NewReader(in); ; {
		line, err := lines.ReadBytes('\n')
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		r := &request{}
		if err := json.Unmarshal(line, r); err != nil {
			s.send(tools.Result{"jsonrpc": "2.0", "error": &tools.Error{Code: codeParse, Message: err.Error()}})
			continue
		}
		s.take(r)
	}
}

func (s *stdio) take(r *request) {
	if r.Method == "notifications/cancelled" {
		s.cancel(r.Params)
	}
	if r.ID == nil {
		return
	}
	if err := r.read(); err != nil {
		s.send(failed(r, err))
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cancels[string(r.ID)] = cancel
	go func() {
		answer := s.server.answer(ctx, r, s.send)
		if ctx.Err() == nil {
			s.send(answer)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.cancels, string(r.ID))
		cancel()
	}()
}

// cancel ends a request, which is then not answered.
func (s *stdio) cancel(params json.RawMessage) {
	var p struct{ RequestID json.RawMessage }
	if err := json.Unmarshal(params, &p); err != nil {
		log.Print(err)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if cancel := s.cancels[string(p.RequestID)]; cancel != nil {
		cancel()
	}
}

func (s *stdio) send(m tools.Result) {
	line, err := json.Marshal(m)
	if err != nil {
		log.Fatal(err)
	}
	s.writing.Lock()
	defer s.writing.Unlock()
	if _, err := s.out.Write(append(line, '\n')); err != nil {
		log.Fatal(err)
	}
}
