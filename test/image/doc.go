// Package image builds the Dockerfile's image and runs it: what it holds, whose
// it is, how it lives and ends as PID 1, and that the hardened profile's two
// containers reach each other through a socket alone. It knows the gate by its
// image and needs root, podman and runc: `make test-image`.
//
// Registries are not asked. In the place of the base image that the build stage
// names stands one of the same name that is made here: an empty tree into which
// this machine's programs, its Go and its modules are mounted. So the
// Dockerfile's own commands run, and the image that comes of them is the real
// one, byte for byte what is checked. The stage for the fence, whose base is
// Debian, is not built.
//
// The tests have the build tag image, since they take minutes that `go test
// ./...` need not.
package image
