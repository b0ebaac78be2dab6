//go:build linux

package kube

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"sidegate/test/e2e/harness"
	"sidegate/test/netns"
)

// A pod is what the kubelet makes of a manifest: containers in one network
// namespace, with the pod's volumes. The node, which asks the probes, is
// outside, as are clients.
type pod struct {
	t    testing.TB
	name string
	spec *core.PodSpec
	dir  string // of the volumes and the containers
	net  netns.Pair
	node *http.Client

	persons []*netns.Person // of the test, in the pod's network

	sidecars, containers []*container // in their order
}

// newPod has its network and its volumes; nothing runs yet.
func newPod(t testing.TB, name string, spec *core.PodSpec) *pod {
	t.Helper()
	p := &pod{t: t, name: name, spec: spec, dir: t.TempDir(), net: netns.NewPair(t)}
	p.refuseUnknown()
	for _, v := range spec.Volumes {
		dir := p.volume(v.Name)
		if err := errors.Join(os.MkdirAll(dir, 0o755), os.Chmod(dir, 0o777)); err != nil { // anybody may write to an emptyDir
			t.Fatal(err)
		}
	}
	p.node = p.client(p.net.Host)
	return p
}

// client speaks HTTP from where somebody lives, with a connection for each
// request.
func (p *pod) client(who *netns.Person) *http.Client {
	web := &http.Transport{DialContext: who.DialContext, DisableKeepAlives: true}
	p.t.Cleanup(web.CloseIdleConnections)
	return &http.Client{Transport: web}
}

// start starts the containers in the kubelet's order: an init container has
// ended well, and a sidecar has started, before the next; then all others.
// It returns when all are ready.
func (p *pod) start() {
	p.t.Helper()
	for i := range p.spec.InitContainers {
		c := &p.spec.InitContainers[i]
		if c.RestartPolicy == nil || *c.RestartPolicy != core.ContainerRestartPolicyAlways {
			p.finish(p.run(c))
			continue
		}
		sidecar := p.run(c)
		p.sidecars = append(p.sidecars, sidecar)
		p.awaitStarted(sidecar)
	}
	for i := range p.spec.Containers {
		p.containers = append(p.containers, p.run(&p.spec.Containers[i]))
	}
	for _, c := range p.containers {
		p.awaitStarted(c)
	}
	for _, c := range p.all() {
		p.awaitReady(c)
	}
}

// all are the containers that stay.
func (p *pod) all() []*container { return slices.Concat(p.sidecars, p.containers) }

// finish waits for an init container.
func (p *pod) finish(c *container) {
	p.t.Helper()
	harness.Eventually(p.t, c.Name+" ends", c.hasEnded)
	if c.code != 0 {
		p.t.Fatalf("%s: exit code %d\n%s", c.Name, c.code, c.log())
	}
}

// awaitStarted asks the startup probe, as often as the manifest lets it fail.
func (p *pod) awaitStarted(c *container) {
	p.t.Helper()
	probe := c.StartupProbe
	if probe == nil {
		return
	}
	for failures := int32(1); ; failures++ {
		err := p.probe(c, probe)
		if err == nil {
			return
		}
		if c.hasEnded() || failures == threshold(probe) {
			p.t.Fatalf("%s has not started after %d probes: %v\n%s", c.Name, failures, err, c.log())
		}
		time.Sleep(time.Duration(probe.PeriodSeconds) * time.Second)
	}
}

// threshold is how often in turn a probe may fail.
func threshold(probe *core.Probe) int32 {
	if probe.FailureThreshold == 0 {
		return 3 // as Kubernetes fills it in
	}
	return probe.FailureThreshold
}

// passes asks a probe as often as it may fail in turn, without the pauses.
func (p *pod) passes(c *container, probe *core.Probe) error {
	var err error
	for range threshold(probe) {
		if err = p.probe(c, probe); err == nil {
			return nil
		}
	}
	return err
}

// awaitReady asks the readiness probe, for which the kubelet would wait for
// ever, and more often than the kubelet.
func (p *pod) awaitReady(c *container) {
	p.t.Helper()
	if c.ReadinessProbe == nil {
		return
	}
	last := errors.New("not asked")
	p.t.Cleanup(func() {
		if last != nil {
			p.t.Logf("%s was not ready: %v", c.Name, last)
		}
	})
	harness.Eventually(p.t, c.Name+" is ready", func() bool {
		last = p.probe(c, c.ReadinessProbe)
		return last == nil || c.hasEnded()
	})
}

// probe asks once, as the kubelet does: from the node by the pod's address, or
// inside by a command.
func (p *pod) probe(c *container, probe *core.Probe) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(max(1, probe.TimeoutSeconds))*time.Second)
	defer cancel()
	switch {
	case probe.HTTPGet != nil:
		return p.get(ctx, c, probe.HTTPGet)
	case probe.Exec != nil:
		return c.exec(ctx, fmt.Sprintf("probe-%d", time.Now().UnixNano()), probe.Exec.Command)
	}
	return fmt.Errorf("a probe that these tests do not know: %v", probe)
}

func (p *pod) get(ctx context.Context, c *container, get *core.HTTPGetAction) error {
	scheme := strings.ToLower(string(get.Scheme))
	if scheme == "" {
		scheme = "http"
	}
	url := fmt.Sprintf("%s://%s%s", scheme, p.address(portOf(c.Container, get.Port)), get.Path)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	request.Header.Set("User-Agent", "kube-probe/1.34")
	for _, h := range get.HTTPHeaders {
		request.Header.Set(h.Name, h.Value)
		if strings.EqualFold(h.Name, "Host") {
			request.Host = h.Value
		}
	}
	response, err := p.node.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	said, err := io.ReadAll(io.LimitReader(response.Body, 10<<10))
	if err == nil && (response.StatusCode < 200 || response.StatusCode >= 400) {
		err = fmt.Errorf("%s: status %d: %s", url, response.StatusCode, said)
	}
	return err
}

// address is the pod's own, with a port.
func (p *pod) address(port int) string { return net.JoinHostPort(netns.Pod4, strconv.Itoa(port)) }

// portOf finds a port by number or by name, among the container's own; 0 where
// there is none.
func portOf(c *core.Container, port intstr.IntOrString) int {
	if port.Type == intstr.Int {
		return int(port.IntVal)
	}
	for _, one := range c.Ports {
		if one.Name == port.StrVal {
			return int(one.ContainerPort)
		}
	}
	return 0
}

// end ends the pod as the kubelet does: all preStop hooks begin together; each
// container gets SIGTERM when its own is over, and a sidecar when besides all
// that started after it have ended. All have to end by themselves, with exit code 0,
// within the pod's time.
func (p *pod) end() {
	grace := time.Duration(*p.spec.TerminationGracePeriodSeconds) * time.Second
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	var containers, all sync.WaitGroup
	for _, c := range p.containers {
		containers.Go(func() { p.stop(ctx, c, func() {}) })
	}
	for i, c := range p.sidecars {
		all.Go(func() {
			p.stop(ctx, c, func() {
				containers.Wait()
				for _, later := range p.sidecars[i+1:] {
					<-later.ended
				}
			})
		})
	}
	containers.Wait()
	all.Wait()
}

func (p *pod) stop(ctx context.Context, c *container, turn func()) {
	p.preStop(ctx, c)
	turn()
	if c.hasEnded() {
		p.t.Errorf("%s ended before it was told to, with exit code %d", c.Name, c.code)
		return
	}
	c.signal("TERM")
	select {
	case <-c.ended:
		if c.code != 0 {
			p.t.Errorf("%s: exit code %d", c.Name, c.code)
		}
	case <-ctx.Done():
		p.t.Errorf("%s has not ended within terminationGracePeriodSeconds: %d", c.Name, *p.spec.TerminationGracePeriodSeconds)
		c.signal("KILL")
		<-c.ended
	}
}

// preStop runs a container's hook to its end.
func (p *pod) preStop(ctx context.Context, c *container) {
	if c.Lifecycle == nil || c.Lifecycle.PreStop == nil {
		return
	}
	switch hook := c.Lifecycle.PreStop; {
	case hook.Exec != nil:
		if err := c.exec(ctx, "pre-stop", hook.Exec.Command); err != nil {
			p.t.Errorf("%s: preStop: %v", c.Name, err)
		}
	case hook.Sleep != nil:
		select {
		case <-time.After(time.Duration(hook.Sleep.Seconds) * time.Second):
		case <-c.ended:
		case <-ctx.Done():
		}
	default:
		p.t.Errorf("%s: a preStop hook that these tests do not know: %v", c.Name, hook)
	}
}

// processes are those that live in the pod's network, but for the test's own.
func (p *pod) processes() []string {
	p.t.Helper()
	namespace, err := os.Readlink(p.net.Pod.Namespace())
	if err != nil {
		p.t.Fatal(err)
	}
	links, err := filepath.Glob("/proc/[0-9]*/ns/net")
	if err != nil {
		p.t.Fatal(err)
	}
	var all []string
	for _, link := range links {
		pid := strings.Split(link, "/")[2]
		to, err := os.Readlink(link)
		ours := slices.ContainsFunc(append(p.persons, p.net.Pod), func(who *netns.Person) bool { return strconv.Itoa(who.PID) == pid })
		if err != nil || to != namespace || ours { // an error: it has ended
			continue
		}
		line, _ := os.ReadFile("/proc/" + pid + "/cmdline")
		all = append(all, pid+" "+strings.ReplaceAll(string(line), "\x00", " "))
	}
	return all
}
