package inject

import "fmt"

// hardened has the gate in a container of its own, with a user of its own. In
// the tool server's container the shim starts a process for each connection to
// a socket, which is all that the two containers have in common. The mode lets
// everybody connect whose user the shim lets in: it asks the kernel.
func (b *builder) hardened() error {
	if uid, at := b.userOf(b.tool()); uid == gateUID {
		return b.errorf(at, "runAsUser is %d, who is the gate: the tool server needs a user of its own; take another number", gateUID)
	}
	shim := []string{copied, "shim", "--listen=unix://" + socket, fmt.Sprintf("--allow-uid=%d", gateUID), "--mode=0666", fmt.Sprintf("--grace=%ds", grace)}
	if err := b.command(append(shim, b.shimLinks()...)); err != nil {
		return err
	}
	between := mount{Name: "sidegate-socket", MountPath: "/run/sidegate"}
	gate := b.gate("--backend=unix://" + socket)
	gate.VolumeMounts = append([]mount{between}, gate.VolumeMounts...)
	b.first(b.spec(), "initContainers", []container{b.copier(), gate})
	b.first(b.spec(), "volumes", append([]volume{binaryVolume(), {Name: between.Name, EmptyDir: &emptyDir{"1Mi"}}}, b.configVolumes()...))
	b.hook(stay())
	b.endings()
	b.remarkLinks()
	return b.mount(binaryMount(), between)
}
