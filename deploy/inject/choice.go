package inject

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// A Profile is one way in which the gate stands before a tool server.
type Profile string

// The profiles, as deploy/README.md describes them.
const (
	Wrapped  Profile = "wrapped"  // stdio: the gate starts the tool server, in its container
	Hardened Profile = "hardened" // stdio: in containers of their own, a socket between them
	Fenced   Profile = "fenced"   // the tool server listens, and packet filters leave the gate as the way in
)

// Profiles are all of them.
var Profiles = []Profile{Wrapped, Hardened, Fenced}

// The annotations, on the pod or on what makes it.
const (
	annotationInject    = "sidegate/inject"    // "false", "true", or the name of the tool server's container
	annotationPort      = "sidegate/port"      // where the tool server listens
	annotationTransport = "sidegate/transport" // stdio, http, sse or websocket
	annotationConfig    = "sidegate/config"    // a ConfigMap whose gate.yaml the gate reads
	annotationLinks     = "sidegate/max-links" // the gate's --max-links
)

// defaultContainer is the annotation by which kubectl tells the container that
// is meant.
const defaultContainer = "kubectl.kubernetes.io/default-container"

// endpoints are the URLs of tool servers that listen.
var endpoints = map[string]string{
	"http":      "http://127.0.0.1:%d/mcp",
	"sse":       "http://127.0.0.1:%d/sse",
	"websocket": "ws://127.0.0.1:%d/",
}

// A choice is what is done to one workload.
type choice struct {
	*workload
	options   *Options
	profile   Profile
	index     int // of the tool server's container
	transport string
	port      int    // where the tool server listens; 0 with stdio
	config    string // the name of a ConfigMap, or ""
	links     int    // the gate's --max-links; 0: it is not for inject to say
}

// plan makes the edits for one workload, and says what they come to.
func (w *workload) plan(o *Options) ([]edit, string, error) {
	switch value, _, _ := w.annotation(annotationInject); {
	case value == "false":
		return nil, "left alone, as its annotation " + annotationInject + " says", nil
	case w.hasGate():
		return nil, "has a gate already, without the marks that tell which lines are the gate's; left alone", nil
	}
	c, err := w.choose(o)
	if err != nil {
		return nil, "", err
	}
	b := builder{choice: c}
	switch c.profile {
	case Wrapped:
		err = b.wrapped()
	case Hardened:
		err = b.hardened()
	case Fenced:
		err = b.fenced()
	}
	return b.edits, strings.Join(append([]string{c.summary()}, b.remarks...), "; "), err
}

func (c *choice) summary() string {
	if c.port > 0 {
		return fmt.Sprintf("%s, container %s, which listens on port %d", c.profile, c.name(), c.port)
	}
	return fmt.Sprintf("%s, container %s", c.profile, c.name())
}

func (w *workload) choose(o *Options) (*choice, error) {
	c := &choice{workload: w, options: o}
	c.config, _, _ = w.annotation(annotationConfig)
	if err := c.chooseContainer(); err != nil {
		return nil, err
	}
	if err := cmp.Or(c.checkPorts(), c.checkVolumes()); err != nil {
		return nil, err
	}
	if err := c.chooseTransport(); err != nil {
		return nil, err
	}
	c.profile = cmp.Or(o.Profile, map[bool]Profile{true: Wrapped, false: Fenced}[c.transport == "stdio"])
	if (c.profile == Fenced) == (c.transport == "stdio") {
		return nil, c.errorf(c.tool(), "the profile %s is for a tool server that %s, and %s; give another --profile, or the annotations %s and %s",
			c.profile, map[bool]string{true: "listens", false: "speaks stdio"}[c.profile == Fenced], c.why(), annotationTransport, annotationPort)
	}
	return c, c.chooseLinks()
}

// tool is where the tool server's container stands.
func (c *choice) tool(steps ...any) path { return c.spec("containers", c.index).to(steps...) }

// of is a value of the tool server's container.
func (c *choice) of(steps ...any) any { return get(c.value, c.tool(steps...)...) }

func (c *choice) name() string { return fmt.Sprint(c.of("name")) }

// chooseContainer takes the one that an annotation names, or the only one.
func (c *choice) chooseContainer() error {
	var names []string
	for i, one := range c.list("containers") {
		name, ok := get(one, "name").(string)
		if !ok {
			return c.errorf(c.spec("containers", i), "this container has no name; give it one")
		}
		names = append(names, name)
	}
	if len(names) == 0 {
		return c.errorf(c.spec(), "%s has no containers", c.title())
	}
	for _, annotation := range []string{annotationInject, defaultContainer} {
		named, at, ok := c.annotation(annotation)
		if !ok || named == "true" {
			continue
		}
		if c.index = slices.Index(names, named); c.index < 0 {
			return c.errorf(at, "%s is %q, and there is no such container: there are %s", annotation, named, strings.Join(names, ", "))
		}
		return nil
	}
	if len(names) > 1 {
		return c.errorf(c.spec("containers"), "%s has several containers: name the tool server's in the annotation %s (%s)",
			c.title(), annotationInject, strings.Join(names, ", "))
	}
	return nil
}

// checkPorts wants the gate's ports to be free in the pod.
func (c *choice) checkPorts() error {
	for _, list := range []string{"initContainers", "containers"} {
		for i, one := range c.list(list) {
			ports, _ := get(one, "ports").([]any)
			for j, p := range ports {
				if n := get(p, "containerPort"); n == clientPort || n == adminPort {
					return c.errorf(c.spec(list, i, "ports", j, "containerPort"), "the gate needs port %v itself; let the container listen on another", n)
				}
			}
		}
	}
	return nil
}

// checkVolumes wants the names of the gate's volumes to be free.
func (c *choice) checkVolumes() error {
	for i, one := range c.list("volumes") {
		if name, _ := get(one, "name").(string); slices.Contains(volumes, name) {
			return c.errorf(c.spec("volumes", i, "name"), "the gate needs the name %s for a volume of its own; give this one another", name)
		}
	}
	return nil
}

// chooseTransport is by annotation, else by whether the container has a port.
func (c *choice) chooseTransport() error {
	transport, at, told := c.annotation(annotationTransport)
	if _, known := endpoints[transport]; told && !known && transport != "stdio" {
		return c.errorf(at, "%s is %q; it must be stdio, http, sse or websocket", annotationTransport, transport)
	}
	declared := c.declaredPorts()
	named, portAt, hasPort := c.annotation(annotationPort)
	switch {
	case !told && !hasPort && len(declared) == 0:
		transport = "stdio"
	case !told:
		transport = "http"
	}
	c.transport = transport
	if transport == "stdio" {
		if hasPort {
			return c.errorf(portAt, "%s is for a tool server that listens, and %s says stdio; leave one of them out", annotationPort, annotationTransport)
		}
		return nil
	}
	return c.choosePort(named, portAt, hasPort, declared)
}

func (c *choice) choosePort(named string, at path, told bool, declared []int) (err error) {
	switch {
	case told:
		if c.port = c.portNamed(named); c.port > 0 {
			return nil
		}
		if c.port, err = strconv.Atoi(named); err != nil || c.port < 1 || c.port > 65535 || c.port == clientPort || c.port == adminPort {
			return c.errorf(at, "%s is %q; it must be the port, or a name that the container gives one, on which the tool server listens, and not %d or %d, which are the gate's",
				annotationPort, named, clientPort, adminPort)
		}
		return nil
	case len(declared) == 1:
		c.port = declared[0]
		return nil
	}
	return c.errorf(c.tool(), "container %s has %d ports: say in the annotation %s on which one the tool server listens", c.name(), len(declared), annotationPort)
}

// portNamed is the tool server's port of that name; 0: there is none.
func (c *choice) portNamed(name string) int {
	ports, _ := c.of("ports").([]any)
	for _, p := range ports {
		if n, ok := get(p, "containerPort").(int); ok && get(p, "name") == name {
			return n
		}
	}
	return 0
}

// declaredPorts are the container's of TCP.
func (c *choice) declaredPorts() []int {
	ports, _ := c.of("ports").([]any)
	var all []int
	for _, p := range ports {
		n, ok := get(p, "containerPort").(int)
		if protocol := get(p, "protocol"); ok && (protocol == nil || protocol == "TCP") {
			all = append(all, n)
		}
	}
	return all
}

// why is how the transport was come by.
func (c *choice) why() string {
	if _, _, told := c.annotation(annotationTransport); told {
		return fmt.Sprintf("%s says %s", annotationTransport, c.transport)
	}
	if c.transport == "stdio" {
		return fmt.Sprintf("container %s has no port", c.name())
	}
	return fmt.Sprintf("container %s has port %d", c.name(), c.port)
}
