package conformance

import (
	"os"
	"sync"
	"testing"

	"sidegate/test/e2e/harness"
)

// suiteRuns is how many runs of the suite go on at the same time.
const suiteRuns = 2

// scoredModern is how many scenarios the modern revision scores for a server.
const scoredModern = 37

// A standing is a server as it is judged.
type standing struct {
	name string
	// start returns the gate's flags and the command that it is to run, one of
	// the two.
	start func(*testing.T, *eras) (flags, command []string)
	// alone are the servers of eras.alone that say, for each suite, what the
	// same server does without the gate; empty where it has no HTTP of its own.
	alone [2]string
	want  [2]int // scenarios that pass behind the gate, for each suite
	// lacks says that the server lacks tools that the modern suite wants, and
	// that nothing else may be why a scenario fails, except for what its own
	// ways explain: a failure that one of these expressions finds.
	lacks bool
	ways  []string
}

// standings are the table's rows.
var standings = []standing{
	{name: "go-sdk v1.6.0, legacy, stdio", start: command(func(e *eras) string { return e.old }),
		alone: [2]string{"v1.6.0", "v1.6.0"}, want: [2]int{30, 26}, lacks: true},
	{name: "ours, legacy, stdio", start: command(func(e *eras) string { return e.legacy }),
		want: [2]int{30, 37}},
	{name: "go-sdk v1.8.0, dual-era, stdio", start: command(func(e *eras) string { return e.dual }),
		alone: [2]string{"v1.8.0 stateful", "v1.8.0 stateless"}, want: [2]int{30, 37}},
	{name: "go-sdk v1.8.0, HTTP, stateful", start: upstream("v1.8.0 stateful"),
		alone: [2]string{"v1.8.0 stateful", "v1.8.0 stateful"}, want: [2]int{30, 35}, lacks: true,
		ways: []string{
			`missing expected key "user_name"`,                             // it gives its questions numbers for ids
			`Expected new InputRequiredResult with different requestState`, // it asks a legacy client once, and what it asks next is in a complete result
		}},
	{name: "go-sdk v1.8.0, HTTP, stateless", start: upstream("v1.8.0 stateless"),
		alone: [2]string{"v1.8.0 stateless", "v1.8.0 stateless"}, want: [2]int{26, 37}},
	{name: "ours, modern, stdio", start: command(func(e *eras) string { return e.modern }),
		alone: [2]string{"", "modern"}, want: [2]int{30, 37}},
	{name: "ours, modern, HTTP", start: upstream("modern"),
		alone: [2]string{"", "modern"}, want: [2]int{30, 37}},
}

// An eras holds what all rows need, and what became of them.
type eras struct {
	suites                    [2]*suite
	old, dual, legacy, modern string            // programs
	alone                     map[string]string // URLs of servers that listen
	running                   chan struct{}     // holds a place for each run of the suite

	mu            sync.Mutex
	behind, alike map[string]*[2]results // by standing, and by name in alone
	lists         map[string][]string    // by standing: tools and prompts, as they are behind the gate
}

// TestConformance joins both suites with servers of every era, prints the table
// and wants its numbers.
func TestConformance(t *testing.T) {
	e := &eras{
		suites: [2]*suite{loadRevision(t, revision), loadRevision(t, modernRevision)},
		old:    buildServer(t), dual: build(t, "everything18", everythingServer),
		legacy: build(t, ".", "./servers/legacy"), modern: build(t, ".", "./servers/modern"),
		running: make(chan struct{}, suiteRuns),
		behind:  map[string]*[2]results{}, alike: map[string]*[2]results{}, lists: map[string][]string{},
	}
	for i, want := range []int{scoredScenarios, scoredModern} {
		if n := len(e.suites[i].requirements.Scored); n != want {
			t.Errorf("the suite for %s scores %d scenarios, want %d: is it the pinned one?", e.suites[i].revision, n, want)
		}
	}
	e.alone = map[string]string{
		"v1.6.0":           startServer(t, e.old),
		"v1.8.0 stateful":  startServer(t, e.dual, "-stateless=false"),
		"v1.8.0 stateless": startServer(t, e.dual, "-stateless=true"),
		"modern":           startServer(t, e.modern),
	}
	t.Run("runs", e.runAll)
	e.write(os.Stdout)
	for _, s := range standings {
		e.judge(t, s)
	}
}

// runAll runs every suite against every server, alone and behind the gate.
func (e *eras) runAll(t *testing.T) {
	for name, url := range e.alone {
		found := &[2]results{}
		e.alike[name] = found
		for i := range e.suites {
			t.Run(name+" alone "+e.suites[i].revision, func(t *testing.T) {
				t.Parallel()
				e.run(t, i, url, found)
			})
		}
	}
	for _, s := range standings {
		found := &[2]results{}
		e.behind[s.name] = found
		for i := range e.suites {
			t.Run(s.name+" "+e.suites[i].revision, func(t *testing.T) {
				t.Parallel()
				flags, command := s.start(t, e)
				gate := harness.Start(t, harness.Setup{Flags: append([]string{"--admin", "off"}, flags...), Command: command})
				url := "http://" + gate.Addr + "/mcp"
				e.run(t, i, url, found)
				if s.lacks && e.suites[i].revision == modernRevision {
					names := listed(t, url)
					e.mu.Lock()
					defer e.mu.Unlock()
					e.lists[s.name] = names
				}
			})
		}
	}
}

// run waits for a place and runs one suite.
func (e *eras) run(t *testing.T, suite int, url string, into *[2]results) {
	t.Helper()
	e.running <- struct{}{}
	defer func() { <-e.running }()
	found := e.suites[suite].run(t, url)
	e.mu.Lock()
	defer e.mu.Unlock()
	into[suite] = found
}

// command is a server that the gate starts.
func command(program func(*eras) string) func(*testing.T, *eras) (flags, command []string) {
	return func(_ *testing.T, e *eras) ([]string, []string) { return nil, []string{program(e)} }
}

// upstream is a server that listens already.
func upstream(name string) func(*testing.T, *eras) (flags, command []string) {
	return func(_ *testing.T, e *eras) ([]string, []string) {
		return []string{"--backend", e.alone[name]}, []string{}
	}
}

// judge holds one row to what is wanted of it.
func (e *eras) judge(t *testing.T, s standing) {
	t.Helper()
	for i, suite := range e.suites {
		found, scored := e.behind[s.name][i], suite.requirements.Scored
		if n := found.count(scored); n < s.want[i] {
			t.Errorf("%s: %d scenarios of %s pass behind the gate, want %d", s.name, n, suite.revision, s.want[i])
		}
		if s.lacks && suite.revision == modernRevision {
			e.onlyLacks(t, s, found)
		}
		alone := e.aloneOf(s, i)
		for _, name := range alike {
			if alone[name].ok() && !found[name].ok() {
				t.Errorf("%s: %s of %s passes alone, and behind the gate not: %v", s.name, name, suite.revision, found[name])
			}
		}
	}
}

// aloneOf is what the row's server did without the gate, nil where it cannot.
func (e *eras) aloneOf(s standing, suite int) results {
	if found := e.alike[s.alone[suite]]; found != nil {
		return found[suite]
	}
	return nil
}

// alike are the scenarios that are not scored and have to pass where the server
// alone passes them.
var alike = []string{"http-header-validation", "http-custom-header-server-validation", "json-schema-2020-12"}
