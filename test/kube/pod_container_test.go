//go:build linux

package kube

import (
	"path/filepath"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	core "k8s.io/api/core/v1"
)

// What a container runtime gives every container, whatever its manifest says.
var (
	defaultPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

	defaultCapabilities = []string{
		"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID", "CAP_SETUID",
		"CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE",
	}

	defaultMounts = []specs.Mount{
		{Destination: "/proc", Type: "proc", Source: "proc", Options: []string{"nosuid", "noexec", "nodev"}},
		{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "strictatime", "mode=755", "size=65536k"}},
		{Destination: "/dev/shm", Type: "tmpfs", Source: "shm", Options: []string{"nosuid", "noexec", "nodev", "mode=1777", "size=65536k"}},
		{Destination: "/sys", Type: "sysfs", Source: "sysfs", Options: []string{"nosuid", "noexec", "nodev", "ro"}},
	}

	maskedPaths   = []string{"/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"}
	readonlyPaths = []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}
)

// config says a container of the pod's in the words of a container runtime, as
// the kubelet does. Seccomp alone is left out: RuntimeDefault is a list of the
// runtime's that does not come with this one. id is the container's alone on
// this machine.
func (p *pod) config(c *core.Container, id, rootfs string) *specs.Spec {
	s := security(c)
	return &specs.Spec{
		Version:  specs.Version,
		Process:  p.process(c, slices.Concat(c.Command, c.Args)),
		Root:     &specs.Root{Path: rootfs, Readonly: isTrue(s.ReadOnlyRootFilesystem)},
		Hostname: p.name,
		Mounts:   slices.Concat(defaultMounts, p.machineMounts(c), p.mounts(c)),
		Linux: &specs.Linux{
			Namespaces: []specs.LinuxNamespace{
				{Type: specs.PIDNamespace}, {Type: specs.IPCNamespace}, {Type: specs.UTSNamespace}, {Type: specs.MountNamespace},
				{Type: specs.NetworkNamespace, Path: p.net.Pod.Namespace()},
			},
			CgroupsPath:   "/" + id,
			Resources:     resources(c),
			MaskedPaths:   maskedPaths,
			ReadonlyPaths: readonlyPaths,
		},
	}
}

// process is the container's own, or with another command line one of its
// hooks.
func (p *pod) process(c *core.Container, argv []string) *specs.Process {
	s := security(c)
	uid, gid := p.user(c)
	caps := capabilities(s.Capabilities)
	env := []string{defaultPath, "HOSTNAME=" + p.name, "HOME=/"}
	for _, v := range c.Env {
		env = append(env, v.Name+"="+v.Value)
	}
	return &specs.Process{
		Args: argv, Env: env, Cwd: "/",
		User:            specs.User{UID: uint32(uid), GID: uint32(gid)},
		Capabilities:    &specs.LinuxCapabilities{Bounding: caps, Permitted: caps, Effective: caps},
		NoNewPrivileges: s.AllowPrivilegeEscalation != nil && !*s.AllowPrivilegeEscalation,
	}
}

// user is the container's, else the pod's, else the image's. A container that
// must not be root and is does not start.
func (p *pod) user(c *core.Container) (uid, gid int64) {
	p.t.Helper()
	s, all := security(c), p.spec.SecurityContext
	if all == nil {
		all = &core.PodSecurityContext{}
	}
	uid = imageOf(p.t, c.Image).uid
	gid = uid
	if said := first(s.RunAsUser, all.RunAsUser); said != nil {
		uid, gid = *said, 0
	}
	if said := first(s.RunAsGroup, all.RunAsGroup); said != nil {
		gid = *said
	}
	if must := first(s.RunAsNonRoot, all.RunAsNonRoot); isTrue(must) && uid == 0 {
		p.t.Fatalf("%s: runAsNonRoot, and it would run as root", c.Name)
	}
	return uid, gid
}

// capabilities are the default ones with what is dropped and added.
func capabilities(said *core.Capabilities) []string {
	caps := defaultCapabilities
	if said == nil {
		return caps
	}
	for _, name := range said.Drop {
		caps = slices.DeleteFunc(slices.Clone(caps), func(c string) bool { return name == "ALL" || c == "CAP_"+string(name) })
	}
	for _, name := range said.Add {
		caps = append(caps, "CAP_"+string(name))
	}
	return caps
}

// mounts are the volumes that the container names.
func (p *pod) mounts(c *core.Container) []specs.Mount {
	var all []specs.Mount
	for _, m := range c.VolumeMounts {
		mode := "rw"
		if m.ReadOnly {
			mode = "ro"
		}
		all = append(all, specs.Mount{Destination: m.MountPath, Type: "bind", Source: p.volume(m.Name), Options: []string{"rbind", mode}})
	}
	return all
}

// machineMounts are what the image has of this machine, which nobody writes to.
func (p *pod) machineMounts(c *core.Container) []specs.Mount {
	var all []specs.Mount
	for _, dir := range imageOf(p.t, c.Image).machine {
		all = append(all, specs.Mount{Destination: dir, Type: "bind", Source: dir, Options: []string{"rbind", "ro"}})
	}
	return all
}

// resources are the limits; requests are for the scheduler.
func resources(c *core.Container) *specs.LinuxResources {
	r := &specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{{Allow: false, Access: "rwm"}}}
	if limit := c.Resources.Limits.Memory().Value(); limit > 0 && memoryIsLimited() {
		r.Memory = &specs.LinuxMemory{Limit: &limit}
	}
	return r
}

func security(c *core.Container) *core.SecurityContext {
	if c.SecurityContext == nil {
		return &core.SecurityContext{}
	}
	return c.SecurityContext
}

func first[T any](values ...*T) *T {
	for _, v := range values {
		if v != nil {
			return v
		}
	}
	return nil
}

func isTrue(b *bool) bool { return b != nil && *b }

// refuseUnknown ends the test at whatever a manifest says that these pods have
// not: it must not be passed over.
func (p *pod) refuseUnknown() {
	p.t.Helper()
	var unknown []string
	add := func(is bool, what string) {
		if is {
			unknown = append(unknown, what)
		}
	}
	s := p.spec
	add(s.HostNetwork || s.HostPID || s.HostIPC || isTrue(s.ShareProcessNamespace), "namespaces that are not the container's own")
	for _, v := range s.Volumes {
		add(v.EmptyDir == nil || v.EmptyDir.Medium != "", "volume "+v.Name)
	}
	for _, c := range slices.Concat(s.InitContainers, s.Containers) {
		add(len(c.Command) == 0, c.Name+" without a command")
		add(len(c.EnvFrom) > 0 || slices.ContainsFunc(c.Env, func(v core.EnvVar) bool { return v.ValueFrom != nil }), c.Name+"'s variables from elsewhere")
		add(strings.Contains(strings.Join(slices.Concat(c.Command, c.Args), " "), "$("), c.Name+"'s variables in its command line")
		add(c.WorkingDir != "", c.Name+"'s working directory")
		add(isTrue(security(&c).Privileged), c.Name+", privileged")
		add(c.Lifecycle != nil && c.Lifecycle.PostStart != nil, c.Name+"'s postStart")
		add(slices.ContainsFunc(c.VolumeMounts, func(m core.VolumeMount) bool { return m.SubPath != "" || m.SubPathExpr != "" }), c.Name+"'s subPath")
	}
	if all := s.SecurityContext; all != nil {
		add(all.FSGroup != nil || len(all.SupplementalGroups) > 0 || len(all.Sysctls) > 0, "groups or sysctls of the pod")
	}
	if len(unknown) > 0 {
		p.t.Fatalf("the manifest has what the pods of this test have not: %s", strings.Join(unknown, "; "))
	}
}

// volume is where an emptyDir of the pod is on this machine.
func (p *pod) volume(name string) string { return filepath.Join(p.dir, "volumes", name) }
