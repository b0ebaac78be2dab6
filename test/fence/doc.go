// Package fence tests the fence where it is real: in network namespaces of its
// own, a pod's and another host's, with processes of the users that the rules
// are about, on both backends and both families of addresses. It needs root,
// iproute2 and iptables; make test-fence runs all of it.
package fence
