// Package netns is a pod's network for tests, as real as it gets on one
// machine: two network namespaces, a pod's and another host's, joined by a veth
// pair, and persons, which are processes of any user who live in one of them
// and do errands there. It needs root, iproute2 and util-linux, and knows
// nothing of the gate; test/fence and test/kube put theirs into it.
package netns
