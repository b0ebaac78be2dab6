package kube

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	apps "k8s.io/api/apps/v1"
	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
)

// strict knows the types, and refuses a field that they do not have or that
// comes twice.
var strict = func() runtime.Decoder {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		apps.AddToScheme, batch.AddToScheme, core.AddToScheme, networking.AddToScheme, policy.AddToScheme, monitoring.AddToScheme,
	} {
		if err := add(scheme); err != nil {
			panic(err)
		}
	}
	return serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDeserializer()
}()

// decode reads a stream as kubectl does, and what a List holds one by one.
func decode(t testing.TB, stream []byte) []runtime.Object {
	t.Helper()
	var all []runtime.Object
	for reader := utilyaml.NewYAMLOrJSONDecoder(bytes.NewReader(stream), 4096); ; {
		var raw json.RawMessage
		err := reader.Decode(&raw)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, decodeOne(t, raw)...)
	}
}

func decodeOne(t testing.TB, raw []byte) []runtime.Object {
	t.Helper()
	if len(raw) == 0 || string(raw) == "null" {
		return nil
	}
	object, _, err := strict.Decode(withoutExtensions(t, raw), nil, nil)
	if err != nil {
		t.Fatalf("%v\n%s", err, raw)
	}
	list, ok := object.(*core.List)
	if !ok {
		return []runtime.Object{object}
	}
	var all []runtime.Object
	for _, item := range list.Items {
		all = append(all, decodeOne(t, item.Raw)...)
	}
	return all
}

// withoutExtensions leaves out x-…, where people keep anchors. No manifest of
// ours has them.
func withoutExtensions(t testing.TB, raw []byte) []byte {
	t.Helper()
	if !strings.Contains(string(raw), `"x-`) {
		return raw
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(raw, &fields); err != nil {
		t.Fatal(err)
	}
	for name := range fields {
		if strings.HasPrefix(name, "x-") {
			delete(fields, name)
		}
	}
	text, err := json.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// pods are the templates of all objects that make pods.
func pods(objects []runtime.Object) []core.PodTemplateSpec {
	var all []core.PodTemplateSpec
	for _, o := range objects {
		switch o := o.(type) {
		case *apps.Deployment:
			all = append(all, o.Spec.Template)
		case *apps.StatefulSet:
			all = append(all, o.Spec.Template)
		case *apps.DaemonSet:
			all = append(all, o.Spec.Template)
		case *apps.ReplicaSet:
			all = append(all, o.Spec.Template)
		case *batch.Job:
			all = append(all, o.Spec.Template)
		case *batch.CronJob:
			all = append(all, o.Spec.JobTemplate.Spec.Template)
		case *core.Pod:
			all = append(all, core.PodTemplateSpec{ObjectMeta: o.ObjectMeta, Spec: o.Spec})
		}
	}
	return all
}

// A field that is not there must not pass, or none of the others tells
// anything.
func TestStrictIsStrict(t *testing.T) {
	for _, text := range []string{
		`{"apiVersion":"v1","kind":"Pod","spec":{"container":[]}}`,
		`{"apiVersion":"monitoring.coreos.com/v1","kind":"PodMonitor","spec":{"endpoints":[]}}`,
		"apiVersion: v1\nkind: Pod\nspec: {}\nspec: {}\n",
	} {
		if _, _, err := strict.Decode([]byte(text), nil, nil); err == nil {
			t.Errorf("%s passes", text)
		}
	}
}

func TestProfilesDecode(t *testing.T) {
	for _, profile := range profiles {
		kinds := map[string]int{}
		for _, o := range decode(t, render(t, profile)) {
			kinds[o.GetObjectKind().GroupVersionKind().Kind]++
		}
		for _, kind := range []string{"Deployment", "Service", "NetworkPolicy", "PodDisruptionBudget", "PodMonitor"} {
			if kinds[kind] != 1 {
				t.Errorf("%s has %d of %s, not one", profile, kinds[kind], kind)
			}
		}
	}
}
