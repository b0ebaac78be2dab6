package deploy

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"sidegate/test/e2e/harness"
)

// A service of the compose file, as far as the tests look at it.
type service struct {
	Image       string
	Build       struct{ Context, Target string }
	Command     []string
	Environment map[string]string
	User        string
	GroupAdd    []string `yaml:"group_add"`
	NetworkMode string   `yaml:"network_mode"`
	ReadOnly    bool     `yaml:"read_only"`
	CapDrop     []string `yaml:"cap_drop"`
	Ports       []string
	Volumes     []string
	StopGrace   string `yaml:"stop_grace_period"`
}

const composeFile = "deploy/compose/compose.yaml"

func services(t *testing.T) (all map[string]service, volumes map[string]any) {
	t.Helper()
	var file struct {
		Services map[string]service
		Volumes  map[string]any
	}
	if err := yaml.Unmarshal([]byte(read(t, composeFile)), &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Services) == 0 {
		t.Fatal("there are no services")
	}
	return file.Services, file.Volumes
}

// Images are short names with a version, and what is published is for this host
// alone.
func TestComposeIsPinnedAndClosed(t *testing.T) {
	all, _ := services(t)
	image := regexp.MustCompile(`^[a-z0-9-]+(/[a-z0-9-]+)?:[a-z0-9][a-z0-9.-]*$`)
	for name, s := range all {
		if !image.MatchString(s.Image) || strings.HasSuffix(s.Image, ":latest") {
			t.Errorf("%s: the image is %q", name, s.Image)
		}
		for _, port := range s.Ports {
			if !strings.HasPrefix(port, "127.0.0.1:") {
				t.Errorf("%s: %q is published to everybody", name, port)
			}
		}
	}
	for _, name := range []string{"tool", "gate"} {
		if s := all[name]; !s.ReadOnly || !slices.Equal(s.CapDrop, []string{"ALL"}) {
			t.Errorf("%s may do more than it needs: %+v", name, s)
		}
	}
}

// What is mounted from the repository is there, and what is mounted by name is
// declared.
func TestComposeMountsWhatThereIs(t *testing.T) {
	all, volumes := services(t)
	for name, s := range all {
		for _, mount := range s.Volumes {
			from, _, _ := strings.Cut(mount, ":")
			if strings.HasPrefix(from, ".") {
				if info, err := os.Stat(filepath.Join(root, filepath.Dir(composeFile), from)); err != nil || info.IsDir() {
					t.Errorf("%s mounts %s, which is no file: %v", name, from, err)
				}
			} else if _, ok := volumes[from]; !ok {
				t.Errorf("%s mounts the volume %s, which is not declared", name, from)
			}
		}
	}
	gate := all["gate"].Build
	text := read(t, filepath.Join(filepath.Dir(composeFile), gate.Context, "Dockerfile"))
	if !regexp.MustCompile(`(?m)^FROM \S+ AS ` + gate.Target + `$`).MatchString(text) {
		t.Errorf("the Dockerfile has no stage %q", gate.Target)
	}
}

// The tool server has no network; tool server and gate have the socket, its
// group and nothing else in common, and are of different users.
func TestComposeIsTheHardenedProfile(t *testing.T) {
	all, _ := services(t)
	tool, gate := all["tool"], all["gate"]
	if tool.NetworkMode != "none" || tool.User == "" || strings.HasPrefix(tool.User, "1337") || gate.User != "" {
		t.Errorf("the tool server is %+v", tool)
	}
	if !slices.Equal(tool.Volumes, gate.Volumes) || len(tool.Volumes) != 1 || !slices.Equal(tool.GroupAdd, gate.GroupAdd) {
		t.Errorf("tool server and gate have volumes %q and %q, groups %q and %q", tool.Volumes, gate.Volumes, tool.GroupAdd, gate.GroupAdd)
	}
}

// The gate takes its flags and variables, and so does the healthcheck, which has
// the same variables.
func TestComposeFitsTheGate(t *testing.T) {
	gate := all(t)["gate"]
	var environ []string
	for name, value := range gate.Environment {
		environ = append(environ, name+"="+value)
	}
	if len(gate.Command) < 2 || gate.Command[0] != "run" {
		t.Fatalf("the command is %q", gate.Command)
	}
	if r := harness.Exec(t, environ, slices.Concat([]string{"check"}, gate.Command[1:])...); r.Code != 0 || !strings.HasPrefix(r.Stdout, "ok\n") {
		t.Errorf("exit code %d: %s%s", r.Code, r.Stdout, r.Stderr)
	}
	// Whether anything answers there is not the question.
	if r := harness.Exec(t, environ, "healthcheck", "--timeout=1ms"); r.Code > 1 {
		t.Errorf("healthcheck: exit code %d: %s%s", r.Code, r.Stdout, r.Stderr)
	}
	if got, least := duration(t, gate.StopGrace), longestEnd(t); got <= least {
		t.Errorf("compose waits %v for the gate's end, which may take %v", got, least)
	}
}

func all(t *testing.T) map[string]service {
	t.Helper()
	all, _ := services(t)
	return all
}

// Prometheus finds the gate by the service's name and the admin listener's port,
// and every other file of the watchers is sound YAML.
func TestComposeWatchers(t *testing.T) {
	var prometheus struct {
		RuleFiles     []string `yaml:"rule_files"`
		ScrapeConfigs []struct {
			JobName       string                       `yaml:"job_name"`
			StaticConfigs []struct{ Targets []string } `yaml:"static_configs"`
		} `yaml:"scrape_configs"`
	}
	if err := yaml.Unmarshal([]byte(read(t, "deploy/compose/prometheus.yaml")), &prometheus); err != nil {
		t.Fatal(err)
	}
	gate := all(t)["gate"]
	_, port, _ := strings.Cut(gate.Environment["SIDEGATE_ADMIN"], ":")
	scraped := prometheus.ScrapeConfigs[0]
	if want := "gate:" + port; scraped.StaticConfigs[0].Targets[0] != want || gate.Environment["SIDEGATE_ALLOW_HOST"] != "gate" {
		t.Errorf("Prometheus asks %+v; want %s, and the gate to answer to that name", scraped, want)
	}
	for _, e := range expressions(t) {
		for _, m := range regexp.MustCompile(`job="([^"]*)"`).FindAllStringSubmatch(e.text, -1) {
			if m[1] != scraped.JobName {
				t.Errorf("%s asks for the job %q", e.where, m[1])
			}
		}
	}
	mounted := strings.Join(all(t)["prometheus"].Volumes, " ")
	for _, file := range prometheus.RuleFiles {
		if !strings.Contains(mounted, ":"+file+":") {
			t.Errorf("the rules %s are not mounted", file)
		}
	}
	for _, name := range []string{"datasources", "dashboards"} {
		var file map[string]any
		if err := yaml.Unmarshal([]byte(read(t, "deploy/compose/grafana/"+name+".yaml")), &file); err != nil || file[name] == nil && file["providers"] == nil {
			t.Errorf("%s: %v in %v", name, err, file)
		}
	}
}
