package conformance

import (
	"bytes"
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"testing"
)

// needed are the tools and prompts without which a scenario of the modern suite
// cannot pass.
var needed = map[string][]string{
	"server-stateless":                              {"test_missing_capability", "test_streaming_elicitation", "test_logging_tool"},
	"input-required-result-basic-elicitation":       {"test_input_required_result_elicitation"},
	"input-required-result-basic-sampling":          {"test_input_required_result_sampling"},
	"input-required-result-basic-list-roots":        {"test_input_required_result_list_roots"},
	"input-required-result-request-state":           {"test_input_required_result_request_state"},
	"input-required-result-multiple-input-requests": {"test_input_required_result_multiple_inputs"},
	"input-required-result-multi-round":             {"test_input_required_result_multi_round"},
	"input-required-result-non-tool-request":        {"test_input_required_result_prompt"},
	"input-required-result-result-type":             {"test_input_required_result_elicitation"},
	"input-required-result-tampered-state":          {"test_input_required_result_tampered_state"},
	"input-required-result-capability-check":        {"test_input_required_result_capabilities"},
}

// ofLack is what the suite says where a tool or a prompt is lacking: the
// server's own error, that it could not test, or, where it does not look at the
// error, what it waited for in vain.
var ofLack = regexp.MustCompile(`(?i)unknown (tool|prompt)|Not testable: .*does not list|` +
	`could not get initial InputRequiredResult|Expected InputRequiredResult with inputRequests and requestState`)

// onlyLacks wants of each scenario that fails that what it needs is lacking,
// and that no check of it failed for another reason.
func (e *eras) onlyLacks(t *testing.T, s standing, found results) {
	t.Helper()
	for _, name := range e.suites[1].requirements.Scored {
		v := found[name]
		if v.passes() {
			continue
		}
		unexplained := slices.DeleteFunc(slices.Clone(v.failures), s.explains)
		if len(v.failures) > 0 && len(unexplained) == 0 {
			continue
		}
		needs := needed[name]
		if len(needs) == 0 || slices.ContainsFunc(needs, func(n string) bool { return slices.Contains(e.lists[s.name], n) }) {
			t.Errorf("%s: %s fails, and the server has what it needs (%q): %v", s.name, name, needs, v)
			continue
		}
		for _, failure := range unexplained {
			if !ofLack.MatchString(failure) {
				t.Errorf("%s: %s fails for something else than a lacking tool: %s", s.name, name, failure)
			}
		}
	}
}

// explains tells whether a failure comes of the server's own ways.
func (s standing) explains(failure string) bool {
	return slices.ContainsFunc(s.ways, func(way string) bool { return regexp.MustCompile(way).MatchString(failure) })
}

// listed are the names of the tools and prompts that a modern client is shown.
func listed(t *testing.T, url string) []string {
	t.Helper()
	type named struct{ Name string }
	var names []string
	for _, method := range []string{"tools/list", "prompts/list"} {
		var answer struct {
			Result struct{ Tools, Prompts []named }
		}
		if err := json.Unmarshal(ask(t, url, method), &answer); err != nil {
			t.Fatal(err)
		}
		for _, n := range append(answer.Result.Tools, answer.Result.Prompts...) {
			names = append(names, n.Name)
		}
	}
	if len(names) == 0 {
		t.Errorf("no tools and prompts are listed at %s", url)
	}
	return names
}

// ask sends a request of the modern era and returns the response's body.
func ask(t *testing.T, url, method string) []byte {
	t.Helper()
	body, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": 1, "method": method, "params": map[string]any{
		"_meta": map[string]any{
			"io.modelcontextprotocol/protocolVersion": modernRevision, "io.modelcontextprotocol/clientCapabilities": map[string]any{},
		},
	}})
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(bounded(t), http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Close = true // nothing is left open for goleak to find
	for name, value := range map[string]string{
		"Content-Type": "application/json", "Accept": "application/json, text/event-stream",
		"MCP-Protocol-Version": modernRevision, "Mcp-Method": method,
	} {
		request.Header.Set(name, value)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var got bytes.Buffer
	if _, err := got.ReadFrom(response.Body); err != nil {
		t.Fatal(err)
	}
	return got.Bytes()
}
