// Package metrics holds the gate's Prometheus collectors in one struct without
// globals, so that two gates in one process (as in tests) count apart. The
// rooms move the numbers; this one names them. It imports nothing of ours.
package metrics

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// Metrics are the collectors of one gate. All names start with sidegate_.
type Metrics struct {
	Registry *prometheus.Registry

	Refusals     *prometheus.CounterVec // reason: as in package refusal
	Dropped      *prometheus.CounterVec // what: messages that had nowhere to go
	Streams      *prometheus.GaugeVec   // frontend: open streams
	CallSeconds  prometheus.Histogram   // from a call's arrival to its answer
	LinkRestarts prometheus.Counter
	Cache        *prometheus.CounterVec // what: as in package cache

	calls *prometheus.CounterVec
}

// New makes the collectors and registers them, with Go's and the process's own.
func New() *Metrics {
	m := &Metrics{
		Registry: prometheus.NewRegistry(),
		Refusals: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sidegate_refusals_total", Help: "Requests the gate answered by itself, by reason."}, []string{"reason"}),
		Dropped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sidegate_dropped_total", Help: "Messages dropped because nobody waited for them, by kind."}, []string{"what"}),
		Streams: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "sidegate_streams", Help: "Open streams towards clients."}, []string{"frontend"}),
		CallSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "sidegate_call_seconds", Help: "Seconds from a call's arrival to its answer.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 60, 600}}),
		LinkRestarts: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "sidegate_link_restarts_total", Help: "Links started again because one died before it was used."}),
		Cache: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sidegate_cache_total", Help: "Calls that an answer for many could serve, by what became of them."}, []string{"what"}),
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sidegate_calls_total", Help: "Calls by the way they ended."}, []string{"frontend", "era", "method", "outcome"}),
	}
	m.Registry.MustRegister(m.Refusals, m.Dropped, m.Streams, m.CallSeconds, m.LinkRestarts, m.Cache, m.calls,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Gauge registers sidegate_<name>, read from value at each scrape. With
// constant labels the same name may be registered once for each set of them.
func (m *Metrics) Gauge(name, help string, labels prometheus.Labels, value func() float64) {
	m.Registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "sidegate_" + name, Help: help, ConstLabels: labels}, value))
}

// Limit registers sidegate_<name>_limit, so that each limit shows its capacity
// beside what is in use.
func (m *Metrics) Limit(name string, limit float64) {
	m.Gauge(name+"_limit", "The most there may be of sidegate_"+name+"; 0 is no limit.", nil,
		func() float64 { return limit })
}

// An Outcome says how a call ended.
type Outcome uint8

// The outcomes of a call, and their labels in sidegate_calls_total.
const (
	OK        Outcome = iota // the server's result
	Failed                   // the server's error
	Timeout                  // the gate's answer: too late
	Lost                     // the gate's answer: link, session or message was lost
	Cancelled                // the client cancelled it and the server kept silent
	outcomes
)

var outcomeNames = [outcomes]string{"ok", "error", "timeout", "lost", "cancelled"}

// methodNames are the methods with a label of their own. Clients choose method
// names freely, so all others share one label: a label may not grow without end.
var methodNames = []string{"other", "initialize", "ping", "tools/list", "tools/call", "resources/list",
	"resources/templates/list", "resources/read", "resources/subscribe", "resources/unsubscribe",
	"prompts/list", "prompts/get", "completion/complete", "logging/setLevel",
	"tasks/get", "tasks/list", "tasks/result", "tasks/cancel", "tasks/update", "server/discover", "subscriptions/listen"}

var methodIndex = func() map[string]int {
	index := make(map[string]int, len(methodNames))
	for i, name := range methodNames {
		index[name] = i
	}
	return index
}()

// Calls counts the ended calls of one frontend and era. Its counters are
// resolved once: a look-up by four labels for each call would cost more than
// the rest of the bookkeeping.
type Calls struct {
	counters [][outcomes]prometheus.Counter
}

// Calls returns the counters of one frontend and era.
func (m *Metrics) Calls(frontend, era string) *Calls {
	c := &Calls{counters: make([][outcomes]prometheus.Counter, len(methodNames))}
	for i, method := range methodNames {
		for o, outcome := range outcomeNames {
			c.counters[i][o] = m.calls.WithLabelValues(frontend, era, method, outcome)
		}
	}
	return c
}

// Method is the index under which Ended counts a method.
func Method(name []byte) int { return methodIndex[string(name)] }

// Ended counts one call. method comes from Method.
func (c *Calls) Ended(method int, outcome Outcome) { c.counters[method][outcome].Inc() }
