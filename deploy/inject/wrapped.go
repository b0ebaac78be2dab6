package inject

// wrapped lets the gate start the tool server, in the tool server's container:
// its binary comes by way of a volume, and its flags stand before the command.
func (b *builder) wrapped() error {
	if err := b.command(append([]string{copied}, b.serve()...)); err != nil {
		return err
	}
	b.first(b.spec(), "initContainers", []container{b.copier()})
	b.first(b.spec(), "volumes", append([]volume{binaryVolume()}, b.configVolumes()...))
	if !b.hasVariable("GOMEMLIMIT") { // else it is the tool server's, and both have it
		b.first(b.tool(), "env", []variable{{"GOMEMLIMIT", memoryTarget}})
	}
	b.first(b.tool(), "ports", gatePorts())
	b.probes()
	b.hook(drain(copied))
	b.endings()
	b.remarkLinks()
	if b.of("resources", "limits", "memory") != nil {
		b.remark("the gate lives within the container's memory limit: raise it by %s", memoryLimit)
	}
	return b.mount(append([]mount{binaryMount()}, b.configMounts()...)...)
}

// probes are the gate's where the container has none of the kind.
func (b *builder) probes() {
	for _, p := range []struct {
		key   string
		probe *probe
	}{{"startupProbe", startup()}, {"livenessProbe", liveness()}, {"readinessProbe", readiness()}} {
		if b.of(p.key) == nil {
			b.put(b.tool(), p.key, p.probe)
			continue
		}
		b.remark("its own %s stays", p.key)
	}
}
