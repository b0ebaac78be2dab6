package inject

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// fenced has the gate before a tool server that listens, and packet filters
// that send there whatever is for the tool server's port. Services and clients
// stay as they are.
func (b *builder) fenced() error {
	if err := b.checkPod(); err != nil {
		return err
	}
	uid, err := b.toolUID()
	if err != nil {
		return err
	}
	for _, other := range b.declaredPorts() {
		if other != b.port {
			b.remark("port %d stays open, as the fence is for %d alone", other, b.port)
		}
	}
	gate := b.gate(fmt.Sprintf("--backend="+endpoints[b.transport], b.port))
	moved, err := b.moveProbes()
	if err != nil {
		return err
	}
	gate.Args = append(gate.Args, moved...)
	run := mount{Name: "sidegate-run", MountPath: "/run/sidegate"}
	b.first(b.spec(), "initContainers", []container{b.fence(uid, run), gate})
	b.first(b.spec(), "volumes", append([]volume{{Name: run.Name, EmptyDir: &emptyDir{"1Mi"}}}, b.configVolumes()...))
	b.hook(stay())
	b.endings()
	return nil
}

// fence is the one container with a privilege, and has ended before any other
// begins.
func (b *builder) fence(uid int, run mount) container {
	root := restricted()
	root.RunAsNonRoot, root.RunAsUser, root.RunAsGroup = false, 0, 0
	root.Capabilities.Add = []string{"NET_ADMIN", "NET_RAW"}
	return container{
		Name:    fenceName,
		Image:   b.options.FenceImage,
		Command: []string{program},
		Args: []string{"fence", "apply", fmt.Sprintf("--tool-port=%d", b.port), fmt.Sprintf("--gate-port=%d", clientPort),
			fmt.Sprintf("--gate-uid=%d", gateUID), fmt.Sprintf("--tool-uid=%d", uid), "--mode=redirect"},
		Env:             []variable{{"XTABLES_LOCKFILE", lockFile}},
		Resources:       &resources{quantities{"10m", "32Mi"}, quantities{"", "64Mi"}},
		SecurityContext: root,
		VolumeMounts:    []mount{run},
	}
}

// checkPod refuses what would make the fence void, or more than the pod's.
func (b *builder) checkPod() error {
	if on, at := get(b.value, b.spec("hostNetwork")...), b.spec("hostNetwork"); on == true {
		return b.errorf(at, "with hostNetwork the fence would be the node's, and not the pod's; take it out, or use another profile")
	}
	if b.of("securityContext", "privileged") == true {
		return b.errorf(b.tool("securityContext", "privileged"), "a privileged container can take the fence down; take privileged out")
	}
	added, _ := b.of("securityContext", "capabilities", "add").([]any)
	for i, one := range added {
		if slices.Contains(passing, one) {
			return b.errorf(b.tool("securityContext", "capabilities", "add", i), "with the capability %v the tool server can pass the fence by; take it out", one)
		}
	}
	if b.of("securityContext", "allowPrivilegeEscalation") != false {
		b.remark("set allowPrivilegeEscalation: false and drop all capabilities in its securityContext, or it may become a user whom the fence lets through")
	}
	return b.checkNeighbours()
}

// passing are the capabilities with which a container passes the fence by.
var passing = []any{"ALL", "NET_ADMIN", "NET_RAW", "SETUID", "SETGID", "SYS_ADMIN", "SYS_PTRACE"}

// checkNeighbours looks at the pod's other containers, all of which run when the
// fence is up. One that is known to have the gate's user is refused, as the
// fence would take it for the gate; of one that could become that it is said.
func (b *builder) checkNeighbours() error {
	var strong []string
	for _, list := range []string{"initContainers", "containers"} {
		for i, c := range b.list(list) {
			if list == "containers" && i == b.index {
				continue
			}
			if uid, at := b.userOf(b.spec(list, i)); uid == gateUID {
				return b.errorf(at, "container %v has the user %d, who is the gate, so the fence would let it through to the tool server; give it another", get(c, "name"), gateUID)
			}
			if canPass(get(c, "securityContext")) {
				strong = append(strong, fmt.Sprint(get(c, "name")))
			}
		}
	}
	if len(strong) > 0 {
		b.remark("the fence may be passed by or changed from %s: drop all capabilities there, or look with sidegate fence verify", strings.Join(strong, ", "))
	}
	return nil
}

// canPass tells a container that has a capability of passing, or may have as
// most images give them to root.
func canPass(securityContext any) bool {
	added, _ := get(securityContext, "capabilities", "add").([]any)
	dropped, _ := get(securityContext, "capabilities", "drop").([]any)
	return get(securityContext, "privileged") == true || !slices.Contains(dropped, any("ALL")) ||
		slices.ContainsFunc(added, func(one any) bool { return slices.Contains(passing, one) })
}

// userOf is a container's user, and where that stands; nil: the image's.
func (b *builder) userOf(container path) (any, path) {
	at := container.to("securityContext", "runAsUser")
	value := get(b.value, at...)
	if value == nil {
		at = b.spec("securityContext", "runAsUser")
		value = get(b.value, at...)
	}
	return value, at
}

// toolUID is the tool server's user, by whom the fence tells it from the gate.
func (b *builder) toolUID() (int, error) {
	value, at := b.userOf(b.tool())
	uid, ok := value.(int)
	switch {
	case value == nil:
		return 0, b.errorf(b.tool(), "the fence tells the tool server from the gate by its user, and the image's is not known here: set securityContext.runAsUser of container %s, to another number than 0 and %d", b.name(), gateUID)
	case !ok || uid <= 0 || uid == gateUID:
		return 0, b.errorf(at, "runAsUser is %v: the tool server must not be root, who passes the fence by, nor %d, who is the gate; take another number", value, gateUID)
	}
	return uid, nil
}

// gateProbe is where the gate says whether the tool server works.
const gateProbe = "/probe/default"

// moveProbes points the kubelet's probes of the tool server's port at the gate,
// which asks the tool server in its stead: to the port itself the fence lets
// the gate alone. It returns the flag that tells the gate what to ask, which is
// one path for all of them; unless it is told, it asks for a connection.
func (b *builder) moveProbes() ([]string, error) {
	var paths []string
	for _, key := range []string{"livenessProbe", "startupProbe", "readinessProbe"} {
		for _, kind := range []string{"httpGet", "tcpSocket", "grpc"} {
			if !b.isToolPort(b.of(key, kind, "port")) || b.of(key, kind, "host") != nil {
				continue
			}
			if err := b.moveProbe(key, kind); err != nil {
				return nil, err
			}
			if path := b.probePath(key, kind); path != "" && !slices.Contains(paths, path) {
				paths = append(paths, path)
			}
			if b.of(key, kind, "httpHeaders") != nil {
				b.remark("the httpHeaders of its %s do not reach it: the gate asks without them", key)
			}
		}
	}
	for _, when := range []string{"postStart", "preStop"} {
		if b.isToolPort(b.of("lifecycle", when, "httpGet", "port")) {
			return nil, b.errorf(b.tool("lifecycle", when), "the kubelet's %s would reach the gate and not the tool server; use exec", when)
		}
	}
	if len(paths) == 0 || b.transport == "websocket" { // there the gate asks on a link
		return nil, nil
	}
	if len(paths) > 1 {
		b.remark("the gate asks %s for all its probes, and not %s", paths[0], strings.Join(paths[1:], ", "))
	}
	return []string{"--probe=" + paths[0]}, nil
}

// probePath is what a probe asks for; "" where that is a connection.
func (b *builder) probePath(key, kind string) string {
	if kind != "httpGet" {
		return ""
	}
	path, _ := b.of(key, kind, "path").(string)
	return cmp.Or(path, "/")
}

func (b *builder) moveProbe(key, kind string) error {
	at := b.tool(key, kind)
	switch {
	case kind == "grpc":
		return b.errorf(at, "the gate cannot ask by gRPC for the kubelet; use httpGet, tcpSocket or exec")
	case b.of(key, kind, "scheme") == "HTTPS":
		return b.errorf(at.to("scheme"), "the gate speaks plain HTTP to the tool server, which nobody else in the pod can hear; let it listen without TLS")
	}
	if b.of(key, kind, "path") != nil {
		b.change(at.to("path"), gateProbe)
	} else {
		b.put(at, "path", gateProbe)
	}
	b.change(at.to("port"), adminPort)
	if kind == "tcpSocket" {
		b.edits = append(b.edits, edit{do: rename, at: at, key: "httpGet"})
	}
	return nil
}

// isToolPort tells a probe's port, a number or a name.
func (b *builder) isToolPort(p any) bool {
	if name, ok := p.(string); ok {
		return b.portNamed(name) == b.port
	}
	return p == b.port
}
