package main

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"sidegate/deploy/fence"
)

// What is wrong with what fence is told is exit code 2, before anything is
// looked at or run.
func TestFenceUsage(t *testing.T) {
	const sound = "--tool-port=8080 --tool-uid=1000 "
	for _, c := range []struct{ args, want string }{
		{"", "--tool-uid: is missing: name the user who runs the tool server"},
		{"", "--tool-uid: is missing: name the user who runs the tool server, by number, as the fence tells it from the gate by that\nsidegate: --tool-port: is missing"},
		{"--tool-uid=1000", "--tool-port: is missing"},
		{sound + "--tool-port=http", `--tool-port: must be a whole number; it is "http"`},
		{sound + "--tool-port=70000", "--tool-port: must be a port from 1 to 65535"},
		{sound + "--gate-uid=1000", "--tool-uid: must not be the gate's"},
		{"--tool-port=8080 --tool-uid=0", "--tool-uid: must not be 0: root may become the gate's user"},
		{sound + "--gate-uid=0", "--gate-uid: must not be 0"},
		{sound + "--gate-port=8080", "--gate-port: must not be a tool port"},
		{sound + "--mode=open", "--mode: must be redirect, refuse"},
		{sound + "--tool-pid=-1", "--tool-pid: must be a process's number"},
		{sound + "--egress-allow=10.0.0.0/8", "--egress-allow: must be a network and a port"},
		{sound + "--egress-allow=10.0.0.0/8:0", "--egress-allow: must be a network and a port"},
		{sound + "--egress-allow=[::ffff:10.0.0.0/104]:443", "--egress-allow: must be a network and a port"},
		{sound + "--egress-allow=example.com:443", "--egress-allow: must be a network and a port"},
		{sound + "--egress-allow=none,10.0.0.0/8:443", "--egress-allow: must not be none and something as well"},
		{sound + "--egress-port=15006", "--egress-port: must be a listener of its own"},
	} {
		for _, command := range []string{"plan", "apply", "verify"} {
			var out, errs bytes.Buffer
			code := execute(append([]string{"fence", command}, strings.Fields(c.args)...), &out, &errs)
			if code != exitUsage || !strings.HasPrefix(errs.String(), "sidegate: "+c.want) || out.Len() > 0 {
				t.Errorf("fence %s %s: exit code %d, %s%s; want %d, %s", command, c.args, code, &out, &errs, exitUsage, c.want)
			}
		}
	}
}

func TestFenceVariables(t *testing.T) {
	s := fenceDefaults()
	environ := []string{"SIDEGATE_TOOL_PORT=9090,8080,9090", "SIDEGATE_TOOL_UID=1000", "SIDEGATE_EGRESS_ALLOW=10.0.0.0/8:443,[2001:db8::/32]:443", "SIDEGATE_GATE_UID=7"}
	flags := s.flags()
	if err := flags.Parse([]string{"--gate-uid=8"}); err != nil {
		t.Fatal(err)
	}
	if err := s.resolve(flags, environ, true); err != nil {
		t.Fatal(err)
	}
	if c := s.config; !slices.Equal(c.ToolPorts, []int{8080, 9090}) || c.ToolUID != 1000 || c.GateUID != 8 || len(c.Egress.Allow) != 2 {
		t.Errorf("%+v", c)
	}
	err := fenceDefaults().resolve(fenceDefaults().flags(), []string{"SIDEGATE_TOOL_PRT=1", "SIDEGATE_MODE=x"}, true)
	if err == nil || !strings.Contains(err.Error(), `SIDEGATE_TOOL_PRT: unknown variable; did you mean "SIDEGATE_TOOL_PORT"?`) || !strings.Contains(err.Error(), "SIDEGATE_MODE: must be redirect, refuse") {
		t.Error(err)
	}
}

// The plan is printed alike as text, which a shell takes, and as JSON, on any
// machine.
func TestFencePlan(t *testing.T) {
	args := []string{"fence", "plan", "--tool-port=8080", "--tool-uid=1000", "--iptables=legacy", "--egress-allow=10.0.0.10:53/udp", "--output"}
	var text, object, errs bytes.Buffer
	if execute(append(args, "text"), &text, &errs) != exitDone || execute(append(args, "json"), &object, &errs) != exitDone {
		t.Fatal(errs.String())
	}
	var got struct {
		Backend  string
		Commands []fence.Command
	}
	if err := json.Unmarshal(object.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(text.String()) {
		if !strings.HasPrefix(line, "#") {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	if got.Backend != "legacy" || len(got.Commands) != len(lines) || len(lines) < 20 {
		t.Fatalf("backend %q, %d commands, %d lines", got.Backend, len(got.Commands), len(lines))
	}
	for i, c := range got.Commands {
		if strings.Join(c.Argv, " ") != lines[i] || c.Why == "" {
			t.Errorf("%v is the line %s", c, lines[i])
		}
	}
	if !strings.Contains(text.String(), "-d 10.0.0.10/32 --dport 53 -j RETURN") {
		t.Error(text.String())
	}
}
