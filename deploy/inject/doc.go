// Package inject adds the gate to Kubernetes manifests, and takes it out
// again. It works on the text: what it adds or changes stands between marks,
// which are comments, and all other bytes stay as they came. So Remove gives
// back exactly what was there before, and adding the gate twice is the same as
// once: what an earlier run has added is taken out first.
//
// A document's way: text is cut into documents (documents.go), parsed for
// positions (tree.go) and for values; the kind says where the pod is
// (workload.go); annotations and options choose container and profile
// (choice.go); the profile makes a list of edits (wrapped.go, hardened.go,
// fenced.go); these become splices (surgery.go) and are written between marks
// (marks.go). Then the result is read again: it must hold what the edits say,
// applied to the values, and nothing else. Text that the surgery does not
// understand is therefore refused, and never bent.
//
// It imports no room, reads no file and knows no cluster. The few Kubernetes
// types it writes are its own (kube.go): k8s.io/api would be as large as the
// gate.
package inject
