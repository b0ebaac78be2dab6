package kube

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// gateOf is the container that runs the gate, and the tool server's.
func gateOf(t testing.TB, pod *core.PodSpec, name string) (gate, tool *core.Container) {
	t.Helper()
	for i := range pod.InitContainers {
		if c := &pod.InitContainers[i]; c.Name == "sidegate" {
			gate = c
		}
	}
	i := slices.IndexFunc(pod.Containers, func(c core.Container) bool { return c.Lifecycle != nil && c.Lifecycle.PreStop != nil })
	if i < 0 {
		t.Fatalf("%s: no container has a preStop hook", name)
	}
	if gate == nil {
		return &pod.Containers[i], &pod.Containers[i]
	}
	return gate, &pod.Containers[i]
}

// checkGate wants what every pod with a gate must have.
func checkGate(t *testing.T, name string, pod *core.PodSpec) {
	t.Helper()
	gate, tool := gateOf(t, pod, name)
	sidecar := gate != tool
	if sidecar && (gate.RestartPolicy == nil || *gate.RestartPolicy != core.ContainerRestartPolicyAlways) {
		t.Errorf("%s: the gate is no native sidecar", name)
	}
	for kind, c := range map[string]struct {
		probe *core.Probe
		path  string
	}{"startup": {gate.StartupProbe, "/livez"}, "liveness": {gate.LivenessProbe, "/livez"}, "readiness": {gate.ReadinessProbe, "/readyz"}} {
		if c.probe == nil || c.probe.HTTPGet == nil && sidecar {
			t.Errorf("%s: the gate has no %s probe", name, kind)
			continue
		}
		if c.probe.HTTPGet != nil && (c.probe.HTTPGet.Path != c.path || c.probe.HTTPGet.Port != intstr.FromString("sidegate-admin")) {
			t.Errorf("%s: the gate's %s probe asks %s at %s", name, kind, c.probe.HTTPGet.Path, c.probe.HTTPGet.Port.String())
		}
	}
	if hook := gate.Lifecycle.PreStop.Exec; hook == nil || len(hook.Command) < 2 || hook.Command[1] != "drain" {
		t.Errorf("%s: the gate's preStop does not drain", name)
	}
	checkTimes(t, name, pod, gate, tool)
	if sidecar {
		checkMemory(t, name, gate)
		if *gate.SecurityContext.RunAsUser != 1337 || !*gate.SecurityContext.ReadOnlyRootFilesystem {
			t.Errorf("%s: the gate has another user or may write", name)
		}
	}
}

// setting is a flag's value, on the command line or as a variable.
func setting(c *core.Container, flag string) string {
	for _, arg := range slices.Concat(c.Command, c.Args) {
		if value, ok := strings.CutPrefix(arg, "--"+flag+"="); ok {
			return value
		}
	}
	for _, v := range c.Env {
		if v.Name == "SIDEGATE_"+strings.ToUpper(strings.ReplaceAll(flag, "-", "_")) {
			return v.Value
		}
	}
	return ""
}

// checkTimes wants calls to have their grace while the tool server lives, and
// the processes time to end after that: twice the gate's stop timeout of 5s.
func checkTimes(t *testing.T, name string, pod *core.PodSpec, gate, tool *core.Container) {
	t.Helper()
	grace, err := time.ParseDuration(setting(gate, "grace"))
	if err != nil {
		t.Errorf("%s: %v", name, err)
	}
	stays := grace
	if gate != tool {
		hook := tool.Lifecycle.PreStop
		if hook.Sleep == nil {
			return // a hook of its owner's, of which inject has warned
		}
		stays = time.Duration(hook.Sleep.Seconds) * time.Second
		if stays <= grace {
			t.Errorf("%s: the tool server stays for %s and calls have %s", name, stays, grace)
		}
	}
	if all := time.Duration(*pod.TerminationGracePeriodSeconds) * time.Second; all < stays+10*time.Second {
		t.Errorf("%s: the pod has %s to end, of which %s are gone before SIGTERM", name, all, stays)
	}
}

// checkMemory wants the collector to come before the kernel, and three times
// the budget of messages in flight to fit.
func checkMemory(t *testing.T, name string, gate *core.Container) {
	t.Helper()
	limit := gate.Resources.Limits.Memory().Value()
	if gate.Resources.Requests.Memory().IsZero() || gate.Resources.Requests.Cpu().IsZero() || limit == 0 {
		t.Errorf("%s: the gate has no requests or no limit", name)
	}
	soft := mebibytes(t, variable(gate, "GOMEMLIMIT"))
	if soft >= limit || soft < limit*8/10 {
		t.Errorf("%s: GOMEMLIMIT is %d with a limit of %d", name, soft, limit)
	}
	if budget := mebibytes(t, setting(gate, "max-bytes-in-flight")); 3*budget > soft {
		t.Errorf("%s: three times %d bytes in flight do not fit into %d", name, budget, soft)
	}
}

func variable(c *core.Container, name string) string {
	for _, v := range c.Env {
		if v.Name == name {
			return v.Value
		}
	}
	return ""
}

func mebibytes(t testing.TB, text string) int64 {
	t.Helper()
	n, err := strconv.ParseInt(strings.TrimSuffix(text, "MiB"), 10, 64)
	if err != nil {
		t.Fatalf("%q is no number of MiB", text)
	}
	return n << 20
}

// The objects of a profile find each other: selectors select the pod, and
// ports are ports of the gate.
func TestProfilesFitTogether(t *testing.T) {
	for _, profile := range profiles {
		t.Run(profile, func(t *testing.T) {
			objects := decode(t, render(t, profile))
			pod := pods(objects)[0]
			checkGate(t, profile, &pod.Spec)
			gate, _ := gateOf(t, &pod.Spec, profile)
			selects := func(what string, s meta.LabelSelector) {
				t.Helper()
				selector, err := meta.LabelSelectorAsSelector(&s)
				if err != nil || selector.Empty() || !selector.Matches(labels.Set(pod.Labels)) {
					t.Errorf("%s selects %v, and not the pod: %v", what, selector, err)
				}
			}
			isPort := func(what, name string, is func(core.ContainerPort) bool) {
				t.Helper()
				if i := slices.IndexFunc(gate.Ports, is); i < 0 || gate.Ports[i].Name != name {
					t.Errorf("%s has not the gate's port %s", what, name)
				}
			}
			// By number, as names of a sidecar's ports are not found everywhere.
			number := func(port intstr.IntOrString) func(core.ContainerPort) bool {
				return func(p core.ContainerPort) bool { return intstr.FromInt32(p.ContainerPort) == port }
			}
			for _, o := range objects {
				switch o := o.(type) {
				case *apps.Deployment:
					selects("the Deployment", *o.Spec.Selector)
				case *core.Service:
					selects("the Service", meta.LabelSelector{MatchLabels: o.Spec.Selector})
					isPort("the Service", "sidegate", number(o.Spec.Ports[0].TargetPort))
				case *networking.NetworkPolicy:
					selects("the NetworkPolicy", o.Spec.PodSelector)
					for i, name := range []string{"sidegate", "sidegate-admin"} {
						isPort("the NetworkPolicy", name, number(*o.Spec.Ingress[i].Ports[0].Port))
					}
				case *policy.PodDisruptionBudget:
					selects("the PodDisruptionBudget", *o.Spec.Selector)
				case *monitoring.PodMonitor:
					selects("the PodMonitor", o.Spec.Selector)
					isPort("the PodMonitor", "sidegate-admin", func(p core.ContainerPort) bool { return p.Name == *o.Spec.PodMetricsEndpoints[0].Port })
				}
			}
		})
	}
}

// The fence is up before anything else starts.
func TestFenceComesFirst(t *testing.T) {
	for _, pod := range pods(decode(t, render(t, "fenced"))) {
		if first := pod.Spec.InitContainers[0].Name; first != fence {
			t.Errorf("the first container is %s", first)
		}
	}
}
