package inject

import (
	"fmt"
	"slices"
	"strings"
)

// The gate in a pod, the same in every profile and in deploy/kubernetes.
const (
	gateName  = "sidegate"      // the gate's container
	copyName  = "sidegate-copy" // copies the binary into a volume
	fenceName = "sidegate-fence"

	clientPort = 15080
	adminPort  = 15081
	gateUID    = 1337

	program  = "/bin/sidegate"      // in the gate's images
	copyDir  = "/copy"              // where the copying container has the volume
	toolDir  = "/sidegate"          // where the tool server's container has it
	copied   = "/sidegate/sidegate" // the copy there
	socket   = "/run/sidegate/tool.sock"
	lockFile = "/run/sidegate/xtables.lock"

	configDir  = "/etc/sidegate"
	configFile = "gate.yaml"
)

// volumes are the names of those that the gate may add.
var volumes = []string{"sidegate", "sidegate-socket", "sidegate-run", "sidegate-config"}

// How long things take when a pod ends, in seconds. All hooks start together:
// the tool server stays for as long as the gate lets calls go on, which is
// --grace, and a little longer; then it and the gate end.
const (
	grace        = 25
	toolStays    = 30
	podTakes     = 60
	inFlight     = "--max-bytes-in-flight=64MiB" // fits the memory below
	memoryLimit  = "256Mi"
	memoryTarget = "230MiB" // GOMEMLIMIT: a little less, so that the collector comes before the kernel
)

// A builder collects the edits for one workload.
type builder struct {
	*choice
	edits   []edit
	remarks []string // for the person who has called
}

func (b *builder) remark(format string, args ...any) {
	b.remarks = append(b.remarks, fmt.Sprintf(format, args...))
}

// put sets a key that the mapping does not have, or has without a value.
func (b *builder) put(at path, key string, v any) {
	if mapping, _ := get(b.value, at...).(map[string]any); has(mapping, key) {
		b.change(at.to(key), plain(v))
		return
	}
	b.edits = append(b.edits, edit{do: set, at: at, key: key, value: plain(v), text: v})
}

// change exchanges a scalar, or a null.
func (b *builder) change(at path, v any) {
	b.edits = append(b.edits, edit{do: replace, at: at, value: v})
}

// first puts items, a slice, before those of a list, which is made if there is
// none.
func (b *builder) first(at path, key string, items any) {
	if get(b.value, at.to(key)...) == nil {
		b.put(at, key, items)
		return
	}
	b.edits = append(b.edits, edit{do: prepend, at: at.to(key), value: plain(items), text: items})
}

func has(m map[string]any, key string) bool {
	_, ok := m[key]
	return ok
}

// endings gives the pod the time that the gate needs to end.
func (b *builder) endings() {
	const key = "terminationGracePeriodSeconds"
	switch seconds := get(b.value, b.spec(key)...).(type) {
	case nil:
		b.put(b.spec(), key, podTakes)
	case int:
		if seconds < podTakes {
			b.change(b.spec(key), podTakes)
		}
	}
}

// hook sets the tool server's preStop, unless it has one.
func (b *builder) hook(h hook) {
	switch {
	case b.of("lifecycle", "preStop") != nil:
		b.remark("its own preStop stays: it must leave the gate %d seconds for calls in flight", grace)
	case b.of("lifecycle") != nil:
		b.put(b.tool("lifecycle"), "preStop", h)
	default:
		b.put(b.tool(), "lifecycle", lifecycle{h})
	}
}

// serve is the command line of a gate, up to its backend.
func (b *builder) serve() []string {
	line := []string{"run", fmt.Sprintf("--listen=:%d", clientPort), fmt.Sprintf("--admin=:%d", adminPort), fmt.Sprintf("--grace=%ds", grace), inFlight}
	if b.links > 0 {
		line = append(line, fmt.Sprintf("--max-links=%d", b.links))
	}
	if b.config != "" {
		line = append(line, "--config="+configDir+"/"+configFile)
	}
	return line
}

func (b *builder) configMounts() []mount {
	if b.config == "" {
		return nil
	}
	return []mount{{Name: "sidegate-config", MountPath: configDir, ReadOnly: true}}
}

func (b *builder) configVolumes() []volume {
	if b.config == "" {
		return nil
	}
	return []volume{{Name: "sidegate-config", ConfigMap: &configMap{b.config}}}
}

// gate is the gate's own container: one that starts before the tool server and
// ends after it.
func (b *builder) gate(backend ...string) container {
	return container{
		Name:            gateName,
		Image:           b.options.Image,
		Command:         []string{program},
		Args:            append(b.serve(), backend...),
		RestartPolicy:   "Always",
		Env:             []variable{{"GOMEMLIMIT", memoryTarget}},
		Ports:           gatePorts(),
		StartupProbe:    startup(),
		LivenessProbe:   liveness(),
		ReadinessProbe:  readiness(),
		Lifecycle:       &lifecycle{drain(program)},
		Resources:       &resources{quantities{"50m", "64Mi"}, quantities{"", memoryLimit}},
		SecurityContext: restricted(),
		VolumeMounts:    b.configMounts(),
	}
}

// copier puts the gate's binary into a volume for the tool server's container.
func (b *builder) copier() container {
	return container{
		Name:            copyName,
		Image:           b.options.Image,
		Command:         []string{program},
		Args:            []string{"copy-self", copyDir},
		Resources:       &resources{quantities{"10m", "32Mi"}, quantities{"", "64Mi"}},
		SecurityContext: restricted(),
		VolumeMounts:    []mount{{Name: "sidegate", MountPath: copyDir}},
	}
}

func binaryVolume() volume { return volume{Name: "sidegate", EmptyDir: &emptyDir{"64Mi"}} }

func binaryMount() mount { return mount{Name: "sidegate", MountPath: toolDir, ReadOnly: true} }

func gatePorts() []port { return []port{{"sidegate", clientPort}, {"sidegate-admin", adminPort}} }

// drain is a hook that returns when the gate has no call in flight any more.
func drain(program string) hook {
	return hook{Exec: &execution{[]string{program, "drain", fmt.Sprintf("--admin=127.0.0.1:%d", adminPort)}}}
}

// stay is a hook that lets the tool server live while the gate drains.
func stay() hook { return hook{Sleep: &sleep{toolStays}} }

// startup and liveness do not ask for the tool server: it starts when the gate
// has started, and its troubles are not cured by another gate.
func startup() *probe {
	return &probe{HTTPGet: httpGet{"/livez", "sidegate-admin"}, PeriodSeconds: 1, TimeoutSeconds: 3, FailureThreshold: 60}
}

func liveness() *probe {
	return &probe{HTTPGet: httpGet{"/livez", "sidegate-admin"}, PeriodSeconds: 10, TimeoutSeconds: 3, FailureThreshold: 3}
}

func readiness() *probe {
	return &probe{HTTPGet: httpGet{"/readyz", "sidegate-admin"}, PeriodSeconds: 5, TimeoutSeconds: 3, FailureThreshold: 2}
}

// restricted is what the Pod Security Standard of that name asks for, and a
// root file system that nobody writes.
func restricted() *securityContext {
	return &securityContext{
		RunAsNonRoot: true, RunAsUser: gateUID, RunAsGroup: gateUID,
		ReadOnlyRootFilesystem: true,
		Capabilities:           capabilities{Drop: []string{"ALL"}},
		SeccompProfile:         seccomp{"RuntimeDefault"},
	}
}

// command wants the tool server's command in the manifest, and puts the gate's
// line before it.
func (b *builder) command(line []string) error {
	if words, _ := b.of("command").([]any); len(words) == 0 {
		return b.errorf(b.tool(), "container %s has no command: the gate must start the tool server, and what the image starts by itself cannot be known here; write the image's ENTRYPOINT as command: (and its CMD as args:, if there are none)", b.name())
	}
	if get(b.value, b.spec("hostNetwork")...) == true {
		b.remark("with hostNetwork the gate's ports %d and %d are the node's, and no NetworkPolicy guards them", clientPort, adminPort)
	}
	line = append(append(line, b.passedOn()...), "--")
	b.first(b.tool(), "command", line)
	return b.checkVariables()
}

// listOfVariables is the container's own list of what the tool server gets.
const listOfVariables = "SIDEGATE_ENV"

// passedOn are the flags that give the tool server its container's variables:
// a command gets none but those that are named.
func (b *builder) passedOn() []string {
	if b.hasVariable(listOfVariables) {
		return nil
	}
	env, _ := b.of("env").([]any)
	var flags []string
	for _, v := range env {
		name := fmt.Sprint(get(v, "name"))
		if !strings.HasPrefix(name, "SIDEGATE_") {
			flags = append(flags, "--env="+name)
		}
	}
	return flags
}

func (b *builder) hasVariable(name string) bool {
	env, _ := b.of("env").([]any)
	return slices.ContainsFunc(env, func(v any) bool { return get(v, "name") == name })
}

func (b *builder) checkVariables() error {
	if b.hasVariable(listOfVariables) {
		return nil
	}
	if from, _ := b.of("envFrom").([]any); len(from) > 0 {
		return b.errorf(b.tool("envFrom"), "the names in envFrom are not known here, and the tool server gets only the variables that are named: list them, as in env: [{name: %s, value: \"API_KEY,API_URL\"}]", listOfVariables)
	}
	return nil
}
