package inject

import (
	"strings"
	"testing"
)

// deployment is one with a container as it is given, further in.
func deployment(podAndContainer string) string {
	return "kind: Deployment\nmetadata:\n  name: d\nspec:\n  template:\n    metadata:\n      annotations: {sidegate/inject: \"true\"}\n    spec:\n" + podAndContainer
}

// What cannot be done is refused with document and line, and with what to do.
func TestRefusals(t *testing.T) {
	const fenced = "      containers:\n      - name: t\n        ports: [{containerPort: 3000}]\n"
	const stdio = "      containers:\n      - name: t\n        command: [t]\n"
	const user = "        securityContext: {runAsUser: 1000}\n"
	for _, c := range []struct {
		name, in string
		profile  Profile
		want     string
	}{
		{"not YAML", "a: 1\n---\nkind: Pod\nspec: [\n", "", "document 2, line 4: not YAML: did not find expected node content"},
		{"template", "kind: Pod\nname: {{ .Values.name }}\n", "", `document 1, from line 1: not YAML: invalid map key: map[string]interface {}{".Values.name":interface {}(nil)}; a template must be rendered first`},
		{"key twice", "kind: Pod\nspec: 1\nspec: 2\n", "", `document 1, line 3: not YAML: mapping key "spec" already defined at line 2`},
		{"no containers", "kind: Pod\nspec: {}\n", "", "document 1, line 2: Pod/ has no containers"},
		{"nameless", "kind: Pod\nspec:\n  containers:\n  - image: x\n", "", "document 1, line 4: this container has no name; give it one"},
		{"no command", deployment("      containers:\n      - name: t\n"), "", "document 1, line 10: container t has no command: the gate must start the tool server, and what the image starts by itself cannot be known here; write the image's ENTRYPOINT as command:"},
		{"args only", deployment("      containers:\n      - name: t\n        args: [--stdio]\n"), Hardened, "line 10: container t has no command"},
		{"several", deployment("      containers:\n      - name: a\n      - name: b\n"), "", "line 9: Deployment/d has several containers: name the tool server's in the annotation sidegate/inject (a, b)"},
		{"no such container", "kind: Pod\nmetadata:\n  annotations:\n    sidegate/inject: c\nspec:\n  containers:\n  - name: a\n", "", `line 4: sidegate/inject is "c", and there is no such container: there are a`},
		{"transport", "kind: Pod\nmetadata:\n  annotations:\n    sidegate/transport: grpc\nspec:\n  containers:\n  - name: a\n", "", `line 4: sidegate/transport is "grpc"; it must be stdio, http, sse or websocket`},
		{"port and stdio", "kind: Pod\nmetadata:\n  annotations: {sidegate/transport: stdio,\n    sidegate/port: 80}\nspec:\n  containers:\n  - name: a\n", "", "line 4: sidegate/port is for a tool server that listens"},
		{"port", "kind: Pod\nmetadata:\n  annotations: {sidegate/port: http}\nspec:\n  containers:\n  - name: a\n", "", `line 3: sidegate/port is "http"; it must be the port, or a name`},
		{"gate's port", "kind: Pod\nmetadata:\n  annotations: {sidegate/port: \"15080\"}\nspec:\n  containers:\n  - name: a\n", "", `line 3: sidegate/port is "15080"`},
		{"ports", "kind: Pod\nspec:\n  containers:\n  - name: a\n    ports: [{containerPort: 1}, {containerPort: 2}]\n", "", "line 4: container a has 2 ports: say in the annotation sidegate/port"},
		{"links", "kind: Pod\nmetadata:\n  annotations:\n    sidegate/max-links: \"0\"\nspec:\n  containers:\n  - name: a\n    command: [a]\n", "", `line 4: sidegate/max-links is "0"; it must be how many processes`},
		{"taken port", "kind: Pod\nspec:\n  containers:\n  - name: a\n    ports:\n    - containerPort: 15081\n", "", "line 6: the gate needs port 15081 itself"},
		{"taken port of another", "kind: Pod\nspec:\n  initContainers:\n  - name: s\n    ports: [{containerPort: 15080}]\n  containers:\n  - name: a\n", "", "line 5: the gate needs port 15080 itself"},
		{"taken volume", "kind: Pod\nspec:\n  volumes:\n  - emptyDir: {}\n    name: sidegate-run\n  containers:\n  - name: a\n", "", "line 5: the gate needs the name sidegate-run"},
		{"taken mount", deployment(stdio + "        volumeMounts:\n        - name: data\n          mountPath: /sidegate/\n"), "", "line 14: container t mounts data at /sidegate/, and the gate needs /sidegate there for a volume of its own; mount it elsewhere"},
		{"further in", deployment(stdio + "        volumeMounts:\n        - {name: a, mountPath: /sidegate-data}\n        - {name: b, mountPath: /sidegate/data}\n"), Hardened, "line 14: container t mounts b at /sidegate/data, and the gate needs /sidegate there"},
		{"taken socket", deployment(stdio + "        volumeMounts: [{name: run, mountPath: /run/../run/sidegate}]\n"), Hardened, "line 12: container t mounts run at /run/../run/sidegate, and the gate needs /run/sidegate there"},
		{"taken configuration", strings.Replace(deployment(stdio+"        volumeMounts: [{name: etc, mountPath: /etc/sidegate}]\n"), `"true"`, "t, sidegate/config: c", 1), "", "line 12: container t mounts etc at /etc/sidegate, and the gate needs /etc/sidegate there"},
		{"profile", deployment(fenced), Wrapped, "line 10: the profile wrapped is for a tool server that speaks stdio, and container t has port 3000; give another --profile"},
		{"profile of stdio", deployment("      containers:\n      - name: t\n        command: [t]\n"), Fenced, "line 10: the profile fenced is for a tool server that listens, and container t has no port"},
		{"no user", deployment(fenced), "", "line 10: the fence tells the tool server from the gate by its user, and the image's is not known here: set securityContext.runAsUser of container t"},
		{"root", deployment(fenced + "        securityContext:\n          runAsUser: 0\n"), "", "line 13: runAsUser is 0: the tool server must not be root"},
		{"gate's user", deployment("      securityContext: {runAsUser: 1337}\n" + fenced), "", "line 9: runAsUser is 1337"},
		{"host network", deployment("      hostNetwork: true\n" + fenced + user), "", "line 9: with hostNetwork the fence would be the node's"},
		{"privileged", deployment(fenced + "        securityContext: {runAsUser: 1000, privileged: true}\n"), "", "line 12: a privileged container can take the fence down"},
		{"gate's user elsewhere", deployment(fenced + user + "      initContainers:\n      - name: mesh\n        securityContext:\n          runAsUser: 1337\n"), "", "line 16: container mesh has the user 1337, who is the gate, so the fence would let it through"},
		{"gate's user by the pod's", strings.Replace(deployment("      securityContext: {runAsUser: 1337}\n"+fenced+user+"      - name: proxy\n"), `"true"`, "t", 1), "", "line 9: container proxy has the user 1337"},
		{"gate's user, hardened", deployment("      containers:\n      - name: t\n        command: [t]\n        securityContext: {runAsUser: 1337}\n"), Hardened, "line 12: runAsUser is 1337, who is the gate"},
		{"capability", deployment(fenced + "        securityContext:\n          runAsUser: 1000\n          capabilities:\n            add:\n            - NET_RAW\n"), "", "line 16: with the capability NET_RAW the tool server can pass the fence by"},
		{"gRPC probe", deployment(fenced + user + "        livenessProbe:\n          grpc: {port: 3000}\n"), "", "line 14: the gate cannot ask by gRPC for the kubelet; use httpGet, tcpSocket or exec"},
		{"TLS", deployment(fenced + user + "        livenessProbe:\n          httpGet:\n            scheme: HTTPS\n            port: 3000\n"), "", "line 15: the gate speaks plain HTTP to the tool server"},
		{"hook", deployment(fenced + user + "        lifecycle: {preStop: {httpGet: {path: /quit, port: 3000}}}\n"), "", "line 13: the kubelet's preStop would reach the gate"},
		{"envFrom", deployment("      containers:\n      - name: t\n        command: [t]\n        envFrom: [{secretRef: {name: s}}]\n"), "", `line 12: the names in envFrom are not known here`},
		{"alias on the way", "x: &s\n  containers:\n  - name: t\n    command: [t]\nkind: Pod\nspec: *s\n", "", "line 6: spec is the alias *s, and the gate would be added wherever that is used; write it out"},
		{"alias of a list", "x: &c [t]\nkind: Pod\nspec:\n  containers:\n  - name: t\n    command: *c\n", "", "line 6: here stands the alias *c"},
		{"list of a merge", "x: &t\n  command: [t]\nkind: Pod\nspec:\n  containers:\n  - name: t\n    <<: *t\n", "", "line 6: command does not stand here itself, but comes from an anchor; write it out"},
		{"anchor used again", "kind: Pod\nspec:\n  containers:\n  - name: t\n    command: &c [t]\n  initContainers:\n  - name: i\n    command: *c\n", "", "document 1, line 5: command has the anchor &c, and the gate would be added in line 8 of the document too, where that is used; write it out there"},
		{"anchor of a merge", "kind: Pod\nspec:\n  containers:\n  - &t\n    name: t\n    command: [t]\n  initContainers:\n  - <<: *t\n    name: i\n", "", "line 4: 0 has the anchor &t"},
		{"begins on the separator's line", "a: 1\n--- {kind: Pod, spec: {containers: [{name: t, command: [t]}]}}\n", "", "document 2, line 2: the document begins on the line of its ---"},
		{"escaped", deployment(strings.Replace(fenced, "t\n", "\"t\"\n", 1) + user + "        livenessProbe: {httpGet: {path: \"\\x2fhealth\", port: 3000}}\n"), "", `line 13: "/health" must be exchanged for`},
		{"marks", "kind: Pod\nspec:\n  # sidegate: begin\n  containers: []\n", "", "line 3: the gate's begin mark has no end"},
		{"end alone", "kind: Pod\nspec:\n  # sidegate: end\n  containers: []\n", "", "line 3: the gate's marks do not match"},
		{"begin twice", "kind: Pod\n# sidegate: begin\n# sidegate: begin\n# sidegate: end\n", "", "line 3: the gate's marks do not match"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := options(nil)
			o.Profile = c.profile
			out, notes, err := Inject([]byte(c.in), o)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v\nwant %s", err, c.want)
			}
			if out != nil || notes != nil {
				t.Errorf("with an error came %q and %q", out, notes)
			}
		})
	}
}

// What the gate does not mount in the container may be the tool server's.
func TestFreeMounts(t *testing.T) {
	for profile, at := range map[Profile]string{Wrapped: "/run/sidegate", Hardened: "/etc/sidegate"} {
		in := deployment("      containers:\n      - name: t\n        command: [t]\n        volumeMounts: [{name: a, mountPath: /sidegate2}, {name: b, mountPath: " + at + "}]\n")
		o := options(nil)
		o.Profile = profile
		out, _, err := Inject([]byte(in), o)
		if err != nil {
			t.Errorf("%s: %v", profile, err)
			continue
		}
		back, _, err := Remove(out)
		if err != nil || string(back) != in {
			t.Errorf("%s: remove: %v\n%s", profile, err, back)
		}
	}
}

// All documents that are wrong are named at once.
func TestAllThatIsWrong(t *testing.T) {
	_, _, err := Inject([]byte("kind: Pod\n---\nkind: Pod\n"), options(nil))
	if err == nil || strings.Count(err.Error(), "has no containers") != 2 {
		t.Errorf("got %v, want both documents", err)
	}
}

// A gate whose marks are gone is left alone, and cannot be taken out.
func TestWithoutMarks(t *testing.T) {
	in := "kind: Pod\nmetadata: {name: p}\nspec:\n  initContainers: [{name: sidegate}]\n  containers: [{name: t, command: [t]}]\n"
	out, notes, err := Inject([]byte(in), options(nil))
	if err != nil || string(out) != in || len(notes) != 1 || !strings.Contains(notes[0].Text, "has a gate already") {
		t.Errorf("got %v, %v and\n%s", err, notes, out)
	}
	_, _, err = Remove([]byte(in))
	if want := "document 1, line 1: Pod/p has a gate without the marks"; err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("got %v\nwant %s", err, want)
	}
}
