// Package kube holds deploy/kubernetes and what `sidegate inject` writes to
// Kubernetes' own types: every document decodes strictly, the pods pass the
// Pod Security Standard "restricted", and each sidegate command line in them
// is one that the built binary takes. Run it with `make test-kube`.
//
// TestPod goes further, as root: it runs a pod of each profile in network
// namespaces, as its rendered manifest says, by runc, which makes containers
// under Kubernetes as well. The kubelet's part is in pod_kubelet_test.go, a
// container's in pod_container_test.go, and pod_image_test.go is the one place
// that says what a pod has from elsewhere than from its manifest. There is no
// cluster: nothing enforces the NetworkPolicy, no seccomp profile is loaded,
// and a Service is the port that it leads to.
//
// It is a module of its own: what it needs of Kubernetes is larger than the
// gate with all that the gate needs, and must not come into its go.mod. Of the
// gate's module it uses what tests share, and nothing of the gate.
package kube
