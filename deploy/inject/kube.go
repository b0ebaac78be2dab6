package inject

// The part of Kubernetes' types that the gate needs, in the order in which it
// is written.

type container struct {
	Name            string           `yaml:"name"`
	Image           string           `yaml:"image"`
	Command         []string         `yaml:"command"`
	Args            []string         `yaml:"args,omitempty"`
	RestartPolicy   string           `yaml:"restartPolicy,omitempty"`
	Env             []variable       `yaml:"env,omitempty"`
	Ports           []port           `yaml:"ports,omitempty"`
	StartupProbe    *probe           `yaml:"startupProbe,omitempty"`
	LivenessProbe   *probe           `yaml:"livenessProbe,omitempty"`
	ReadinessProbe  *probe           `yaml:"readinessProbe,omitempty"`
	Lifecycle       *lifecycle       `yaml:"lifecycle,omitempty"`
	Resources       *resources       `yaml:"resources,omitempty"`
	SecurityContext *securityContext `yaml:"securityContext,omitempty"`
	VolumeMounts    []mount          `yaml:"volumeMounts,omitempty"`
}

type variable struct {
	Name  string `yaml:"name"`
	Value string `yaml:"value"`
}

type port struct {
	Name          string `yaml:"name"`
	ContainerPort int    `yaml:"containerPort"`
}

type probe struct {
	HTTPGet          httpGet `yaml:"httpGet"`
	PeriodSeconds    int     `yaml:"periodSeconds,omitempty"`
	TimeoutSeconds   int     `yaml:"timeoutSeconds,omitempty"`
	FailureThreshold int     `yaml:"failureThreshold,omitempty"`
}

type httpGet struct {
	Path string `yaml:"path"`
	Port string `yaml:"port"`
}

type lifecycle struct {
	PreStop hook `yaml:"preStop"`
}

type hook struct {
	Exec  *execution `yaml:"exec,omitempty"`
	Sleep *sleep     `yaml:"sleep,omitempty"`
}

type execution struct {
	Command []string `yaml:"command"`
}

type sleep struct {
	Seconds int `yaml:"seconds"`
}

type resources struct {
	Requests quantities `yaml:"requests"`
	Limits   quantities `yaml:"limits"`
}

type quantities struct {
	CPU    string `yaml:"cpu,omitempty"`
	Memory string `yaml:"memory"`
}

type securityContext struct {
	RunAsNonRoot             bool         `yaml:"runAsNonRoot"`
	RunAsUser                int          `yaml:"runAsUser"`
	RunAsGroup               int          `yaml:"runAsGroup"`
	AllowPrivilegeEscalation bool         `yaml:"allowPrivilegeEscalation"`
	ReadOnlyRootFilesystem   bool         `yaml:"readOnlyRootFilesystem"`
	Capabilities             capabilities `yaml:"capabilities"`
	SeccompProfile           seccomp      `yaml:"seccompProfile"`
}

type capabilities struct {
	Drop []string `yaml:"drop,flow"`
	Add  []string `yaml:"add,omitempty,flow"`
}

type seccomp struct {
	Type string `yaml:"type"`
}

type mount struct {
	Name      string `yaml:"name"`
	MountPath string `yaml:"mountPath"`
	ReadOnly  bool   `yaml:"readOnly,omitempty"`
}

type volume struct {
	Name      string     `yaml:"name"`
	EmptyDir  *emptyDir  `yaml:"emptyDir,omitempty"`
	ConfigMap *configMap `yaml:"configMap,omitempty"`
}

type emptyDir struct {
	SizeLimit string `yaml:"sizeLimit"`
}

type configMap struct {
	Name string `yaml:"name"`
}
