// Package kube holds deploy/kubernetes and what `sidegate inject` writes to
// Kubernetes' own types: every document decodes strictly, the pods pass the
// Pod Security Standard "restricted", and each sidegate command line in them
// is one that the built binary takes. Run it with `make test-kube`.
//
// It is a module of its own: what it needs of Kubernetes is larger than the
// gate with all that the gate needs, and must not come into its go.mod.
package kube
