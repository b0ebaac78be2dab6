package inject

import (
	"fmt"
	"slices"
	"strings"
)

// A workload is an object that runs pods.
type workload struct {
	*tree
	object path // of the object: the root, or an item of a List
	kind   string
	pod    path // of what has metadata and spec of the pod
}

// template is where the pod is in an object of each kind that runs pods.
var template = map[string]path{
	"Pod":         {},
	"Deployment":  {"spec", "template"},
	"StatefulSet": {"spec", "template"},
	"DaemonSet":   {"spec", "template"},
	"ReplicaSet":  {"spec", "template"},
	"Job":         {"spec", "template"},
	"CronJob":     {"spec", "jobTemplate", "spec", "template"},
}

// groups are the API groups of these kinds: others have kinds of the same name,
// and pods elsewhere.
var groups = map[string]bool{"": true, "apps": true, "batch": true, "extensions": true}

// workloads are all of a document: the object itself, or a List's items.
func (t *tree) workloads() []workload {
	return t.within(path{})
}

func (t *tree) within(at path) []workload {
	kind, _ := get(t.value, at.to("kind")...).(string)
	if strings.HasSuffix(kind, "List") {
		items, _ := get(t.value, at.to("items")...).([]any)
		var all []workload
		for i := range items {
			all = append(all, t.within(at.to("items", i))...)
		}
		return all
	}
	way, ok := template[kind]
	version, _ := get(t.value, at.to("apiVersion")...).(string)
	if group, _, grouped := strings.Cut(version, "/"); !ok || grouped && !groups[group] {
		return nil
	}
	return []workload{{t, at, kind, at.to(way...)}}
}

func (w *workload) line() int { return w.tree.line(w.object.to("kind")) }

// title is kind and name, as in Deployment/tool.
func (w *workload) title() string {
	name, _ := get(w.value, w.object.to("metadata", "name")...).(string)
	if name == "" {
		name, _ = get(w.value, w.object.to("metadata", "generateName")...).(string)
	}
	return w.kind + "/" + name
}

// annotation is the pod's, else the object's.
func (w *workload) annotation(name string) (value string, at path, ok bool) {
	for _, owner := range []path{w.pod, w.object} {
		at := owner.to("metadata", "annotations", name)
		switch v := get(w.value, at...).(type) {
		case nil:
		case string:
			return v, at, true
		default:
			return fmt.Sprint(v), at, true // not a string, which the cluster will refuse
		}
	}
	return "", nil, false
}

func (w *workload) spec(steps ...any) path { return w.pod.to("spec").to(steps...) }

func (w *workload) list(steps ...any) []any {
	items, _ := get(w.value, w.spec(steps...)...).([]any)
	return items
}

// hasGate tells a pod to which the gate was added.
func (w *workload) hasGate() bool {
	named := func(c any) bool { name := get(c, "name"); return name == gateName || name == copyName }
	return slices.ContainsFunc(w.list("initContainers"), named) || slices.ContainsFunc(w.list("containers"), named)
}

// get is what stands at steps in plain values, or nil.
func get(value any, steps ...any) any {
	for _, step := range steps {
		switch v := value.(type) {
		case map[string]any:
			key, ok := step.(string)
			if !ok {
				return nil
			}
			value = v[key]
		case []any:
			i, ok := step.(int)
			if !ok || i >= len(v) {
				return nil
			}
			value = v[i]
		default:
			return nil
		}
	}
	return value
}
