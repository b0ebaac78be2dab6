package main

import (
	"context"
	"encoding/json"
	"slices"
	"sync"

	"sidegate/test/conformance/servers/tools"
)

// behind is how many changes a listener may be behind; it misses those beyond.
const behind = 16

// listeners are the open subscriptions/listen.
type listeners struct {
	mu  sync.Mutex
	all []chan string
}

func (l *listeners) changed(list string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, changes := range l.all {
		select {
		case changes <- list:
		default:
		}
	}
}

func (l *listeners) join() (changes chan string, leave func()) {
	changes = make(chan string, behind)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, changes)
	return changes, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.all = slices.DeleteFunc(l.all, func(c chan string) bool { return c == changes })
	}
}

// listen serves one subscriptions/listen until ctx ends.
func (s *server) listen(ctx context.Context, r *request, tell func(tools.Result)) error {
	var p struct{ Notifications tools.Result }
	if err := json.Unmarshal(r.Params, &p); err != nil || p.Notifications == nil {
		return &tools.Error{Code: codeInvalidParams, Message: "no notifications are asked for"}
	}
	notify := func(method string, params tools.Result) {
		params["_meta"] = tools.Result{metaPrefix + "subscriptionId": r.ID}
		tell(tools.Result{"jsonrpc": "2.0", "method": "notifications/" + method, "params": params})
	}
	changes, leave := s.listeners.join()
	defer leave()
	notify("subscriptions/acknowledged", tools.Result{"notifications": p.Notifications})
	for {
		select {
		case list := <-changes:
			if p.Notifications[list+"ListChanged"] == true {
				notify(list+"/list_changed", tools.Result{})
			}
		case <-ctx.Done():
			return nil
		}
	}
}
