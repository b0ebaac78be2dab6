//go:build image

package image

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"go.yaml.in/yaml/v3"
)

// A service is what the compose file says of a container, as far as podman is
// told it here.
type service struct {
	Command     []string
	Environment map[string]string
	User        string
	GroupAdd    []string `yaml:"group_add"`
	ReadOnly    bool     `yaml:"read_only"`
	CapDrop     []string `yaml:"cap_drop"`
	SecurityOpt []string `yaml:"security_opt"`
	NetworkMode string   `yaml:"network_mode"`
	Volumes     []string
}

// args are podman's for the service.
func (s *service) args() []string {
	args := []string{}
	if s.ReadOnly {
		args = append(args, "--read-only", "--read-only-tmpfs=false")
	}
	if s.User != "" {
		args = append(args, "--user="+s.User)
	}
	if s.NetworkMode != "" {
		args = append(args, "--network="+s.NetworkMode)
	}
	for flag, values := range map[string][]string{
		"group-add": s.GroupAdd, "cap-drop": s.CapDrop, "security-opt": s.SecurityOpt, "volume": s.Volumes,
	} {
		for _, value := range values {
			args = append(args, "--"+flag+"="+value)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.Environment)) {
		args = append(args, "--env="+name+"="+s.Environment[name])
	}
	return slices.Concat(args, []string{gate}, s.Command)
}

// The compose file's tool server and gate, as it says them but for the gate's
// network, which is this machine's: ports are any free ones on loopback. No
// compose runs here, and neither do Prometheus and Grafana, whose images are in
// a registry.
func TestCompose(t *testing.T) {
	p := bed(t)
	text, err := os.ReadFile(filepath.Join(root, "deploy/compose/compose.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Services map[string]*service
		Volumes  map[string]struct {
			DriverOpts map[string]string `yaml:"driver_opts"`
		}
	}
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	volume := []string{"volume", "create"}
	for name, value := range file.Volumes["socket"].DriverOpts {
		volume = append(volume, "--opt="+name+"="+value)
	}
	p.do(t, append(volume, "socket")...)
	t.Cleanup(func() { p.do(t, "volume", "rm", "--force", "socket") })

	tool := p.start(t, file.Services["tool"].args()...)
	tool.saying(t, "tool server at ")
	service := file.Services["gate"]
	service.NetworkMode = "host"
	service.Environment["SIDEGATE_LISTEN"], service.Environment["SIDEGATE_ADMIN"] = "127.0.0.1:0", "127.0.0.1:0"
	c := p.start(t, service.args()...)
	if got := call(t, c.connect(t), "echo", map[string]any{"text": "through"}); got["text"] != "through" {
		t.Errorf("the tool answers %v", got)
	}
	if got := processStatus(t, tool.pid(t))["Uid"]; got != "1338 1338 1338 1338" {
		t.Errorf("the tool server runs as %s", got)
	}
	if got := processStatus(t, c.pid(t))["Uid"]; got != "1337 1337 1337 1337" {
		t.Errorf("the gate runs as %s", got)
	}
}
