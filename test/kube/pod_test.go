//go:build linux

package kube

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"

	"sidegate/test/clients/need"
	"sidegate/test/netns"
)

// The test binary is a person in a pod, too.
func init() {
	if code, person := netns.Main(map[string]netns.Errand{"exchange": netns.Exchange}); person {
		os.Exit(code)
	}
}

// TestPod runs a pod of each profile, of deploy/kubernetes and by sidegate
// inject, as the kubelet does: what is run, with which user, rights, volumes,
// probes and hooks, is read from the rendered manifest. From a second namespace
// a client calls the tool server, and whoever could go round the gate tries to.
// Then the pod ends, with a call in flight.
func TestPod(t *testing.T) {
	needPod(t)
	for _, profile := range profiles {
		t.Run(profile, func(t *testing.T) {
			t.Parallel()
			testPod(t, render(t, profile), demoAsks)
		})
		t.Run("injected "+profile, func(t *testing.T) {
			t.Parallel()
			testPod(t, injectedPlain(t, profile), fixtureAsks)
		})
	}
}

// needPod ends the test where something is missing.
func needPod(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		need.Missing(t, "namespaces, users and packet filters need root")
	}
	for program, pack := range map[string]string{
		"runc": "runc", "ip": "iproute2", "nsenter": "util-linux", "iptables-nft": "iptables", "ip6tables-nft": "iptables",
	} {
		if _, err := exec.LookPath(program); err != nil {
			need.Missing(t, fmt.Sprintf("%s is not in PATH: install %s", program, pack))
		}
	}
	needMemory(t)
}

// injectedPlain is a Deployment without a gate, of a tool server as the profile
// is for, with the gate added.
func injectedPlain(t testing.TB, profile string) []byte {
	t.Helper()
	name := "testdata/stdio.yaml"
	if profile == "fenced" {
		name = "testdata/http.yaml"
	}
	plain, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	out := sidegate(t, plain, "inject", "-f", "-", "--profile", profile)
	if bytes.Equal(out, plain) {
		t.Fatal("nothing was added")
	}
	return out
}

func testPod(t *testing.T, stream []byte, asks *mcp.CallToolParams) {
	objects := decode(t, stream)
	template := pods(objects)[0]
	p := newPod(t, strings.ReplaceAll(t.Name()[len("TestPod/"):], "_", "-"), &template.Spec)
	p.start()
	url := "http://" + p.address(servicePort(t, objects, &template)) + "/mcp"
	c := connect(t, p, url)
	c.echo()
	p.wantProbes()
	p.wantSockets()
	p.wantNoWayRound()

	answered := c.ask(asks)
	var end sync.WaitGroup
	end.Go(p.end)
	t.Cleanup(end.Wait)
	c.awaitTurnedAway(url)
	p.wantLeaving()
	c.answer()
	if err := <-answered; err != nil {
		t.Errorf("the call in flight: %v", err)
	}
	end.Wait()
	if left := p.processes(); len(left) > 0 {
		t.Errorf("processes of the pod are left:\n%s", strings.Join(left, "\n"))
	}
}

// servicePort is where the Service leads its clients in the pod.
func servicePort(t testing.TB, objects []runtime.Object, template *core.PodTemplateSpec) int {
	t.Helper()
	for _, o := range objects {
		s, ok := o.(*core.Service)
		if !ok || !labels.SelectorFromSet(s.Spec.Selector).Matches(labels.Set(template.Labels)) {
			continue
		}
		for _, c := range append(template.Spec.Containers, template.Spec.InitContainers...) {
			if port := portOf(&c, s.Spec.Ports[0].TargetPort); port != 0 {
				return port
			}
		}
	}
	t.Fatal("no Service leads to a port of the pod")
	return 0
}

// wantProbes wants every probe of the manifest to be answered as in a pod that
// is well.
func (p *pod) wantProbes() {
	p.t.Helper()
	for _, c := range p.all() {
		for kind, probe := range map[string]*core.Probe{"startup": c.StartupProbe, "liveness": c.LivenessProbe, "readiness": c.ReadinessProbe} {
			if probe == nil {
				continue
			}
			if err := p.passes(c, probe); err != nil {
				p.t.Errorf("%s: the %s probe: %v", c.Name, kind, err)
			}
		}
	}
}

// wantLeaving wants the gate to be unready and alive, as the kubelet sees it.
func (p *pod) wantLeaving() {
	p.t.Helper()
	gate := p.all()[0]
	if err := p.passes(gate, gate.ReadinessProbe); err == nil || !strings.Contains(err.Error(), "status 503") {
		p.t.Errorf("while it drains, the readiness probe: %v", err)
	}
	if err := p.passes(gate, gate.LivenessProbe); err != nil {
		p.t.Errorf("while it drains, the liveness probe: %v", err)
	}
}
