package kube

import (
	"slices"
	"testing"

	core "k8s.io/api/core/v1"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

// fenceWaivers are the checks that the fence's init container does not pass: it
// is root and has NET_ADMIN and NET_RAW.
var fenceWaivers = []policy.CheckID{"capabilities_baseline", "capabilities_restricted", "runAsNonRoot", "runAsUser"}

const fence = "sidegate-fence"

// forbidden is what the admission controller says against a pod, or "".
func forbidden(t testing.TB, pod *core.PodTemplateSpec) string {
	t.Helper()
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	restricted := api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}
	verdict := policy.AggregateCheckResults(evaluator.EvaluatePod(restricted, &pod.ObjectMeta, &pod.Spec))
	if verdict.Allowed {
		return ""
	}
	return verdict.ForbiddenDetail()
}

// failing are the checks, of the newest version each, that a pod does not pass.
func failing(pod *core.PodTemplateSpec) []policy.CheckID {
	var ids []policy.CheckID
	for _, check := range policy.DefaultChecks() {
		newest := check.Versions[len(check.Versions)-1]
		if !newest.CheckPod(&pod.ObjectMeta, &pod.Spec).Allowed {
			ids = append(ids, check.ID)
		}
	}
	slices.Sort(ids)
	return ids
}

// without is the pod without one init container, and whether it had it.
func without(pod core.PodTemplateSpec, name string) (core.PodTemplateSpec, bool) {
	named := func(c core.Container) bool { return c.Name == name }
	had := slices.ContainsFunc(pod.Spec.InitContainers, named)
	pod.Spec.InitContainers = slices.DeleteFunc(slices.Clone(pod.Spec.InitContainers), named)
	return pod, had
}

// Every profile is restricted, but for the fence's init container, which needs
// these checks waived and no other.
func TestRestricted(t *testing.T) {
	for _, profile := range profiles {
		for _, pod := range pods(decode(t, render(t, profile))) {
			rest, fenced := without(pod, fence)
			if said := forbidden(t, &rest); said != "" {
				t.Errorf("%s: %s", profile, said)
			}
			if fenced != (profile == "fenced") {
				t.Errorf("%s: has a fence: %v", profile, fenced)
			}
			var want []policy.CheckID
			if fenced {
				want = fenceWaivers
			}
			if got := failing(&pod); !slices.Equal(got, want) {
				t.Errorf("%s needs the checks %v waived, and not %v", profile, got, want)
			}
		}
	}
}

// The containers that inject adds are restricted whatever the pod says: alone
// in a pod that says nothing they pass.
func TestInjectedIsRestricted(t *testing.T) {
	gates := 0
	for name, out := range injected(t) {
		for _, pod := range pods(decode(t, out)) {
			for _, c := range pod.Spec.InitContainers {
				if c.Name != "sidegate" && c.Name != "sidegate-copy" {
					continue
				}
				gates++
				alone := core.PodTemplateSpec{Spec: core.PodSpec{Containers: []core.Container{c}}}
				if said := forbidden(t, &alone); said != "" {
					t.Errorf("%s, %s: %s", name, c.Name, said)
				}
			}
			if _, fenced := without(pod, fence); !fenced {
				continue
			}
			for _, c := range pod.Spec.InitContainers {
				alone := core.PodTemplateSpec{Spec: core.PodSpec{Containers: []core.Container{c}}}
				if got := failing(&alone); c.Name == fence && !slices.Equal(got, fenceWaivers) {
					t.Errorf("%s: the fence needs the checks %v waived, and not %v", name, got, fenceWaivers)
				}
			}
		}
	}
	if gates < 12 {
		t.Errorf("only %d containers of the gate were looked at", gates)
	}
}
