package fence

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// Capabilities, by their number in capabilities(7).
const (
	capSetGID    = 6
	capSetUID    = 7
	capNetAdmin  = 12
	capNetRaw    = 13
	capSysPtrace = 19
	capSysAdmin  = 21
)

// passing are the capabilities by which a process passes the fence by.
var passing = []struct {
	bit  int
	name string
	how  string
}{
	{capNetAdmin, "CAP_NET_ADMIN", "take the rules out"},
	{capNetRaw, "CAP_NET_RAW", "send packets that the rules do not see"},
	{capSetUID, "CAP_SETUID", "become the gate's user"},
	{capSetGID, "CAP_SETGID", "take the gate's groups"},
	{capSysAdmin, "CAP_SYS_ADMIN", "enter other namespaces"},
	{capSysPtrace, "CAP_SYS_PTRACE", "make the gate act for it"},
}

// CheckHere returns an error where this process lacks what Apply and Verify
// need, whichever the backend.
func CheckHere(c *Config) error {
	if err := lacksPrivilege(); err != nil {
		return err
	}
	if err := unmapped("gate-uid", c.GateUID); err != nil {
		return err
	}
	return unmapped("tool-uid", c.ToolUID)
}

// lacksPrivilege is about what any change of rules needs.
func lacksPrivilege() error {
	if runtime.GOOS != "linux" {
		return fmt.Errorf("packet filters are Linux's: on %s there is only the plan", runtime.GOOS)
	}
	return lacksCapability(capNetAdmin, errPrivilege)
}

// lacks returns an error where this process lacks what the backend needs.
func (b Backend) lacks() error {
	if b.Name != Legacy {
		return nil
	}
	if err := lacksCapability(capNetRaw, errNetRaw); err != nil {
		return err
	}
	return lockFile()
}

func lacksCapability(bit int, missing error) error {
	p, err := readProcess("self")
	if err != nil {
		return err
	}
	if !p.effective.has(bit) {
		return missing
	}
	return nil
}

// lockFile sees that the legacy backend's lock can be taken, which is a file
// even where the root file system is read-only.
func lockFile() error {
	path := os.Getenv("XTABLES_LOCKFILE")
	if path == "" {
		path = "/run/xtables.lock"
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDONLY, 0o600)
	if err != nil {
		return fmt.Errorf("%w (%w)", errLockFile, err)
	}
	return f.Close()
}

// unmapped returns an error where a user does not exist in this user namespace:
// no process can be of that user, and the kernel refuses the rule.
func unmapped(flag string, uid uint32) error {
	text, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		return fmt.Errorf("cannot tell which users there are: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		var inside, outside, count uint64
		if _, err := fmt.Sscan(line, &inside, &outside, &count); err == nil && inside <= uint64(uid) && uint64(uid) < inside+count {
			return nil
		}
	}
	return fmt.Errorf("--%s: user %d is not mapped in this user namespace, so the kernel takes no rule about it; its users are %s", flag, uid, strings.Join(strings.Fields(string(text)), " "))
}

// Families are those that this kernel has. Where IPv6 is only switched off for
// now it has its rules; where the kernel has none at all nobody comes by it.
func Families() ([]Family, error) {
	fd, err := syscall.Socket(syscall.AF_INET6, syscall.SOCK_STREAM, 0)
	if errors.Is(err, syscall.EAFNOSUPPORT) {
		return []Family{IPv4}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot tell whether there is IPv6: %w", err)
	}
	return families, syscall.Close(fd)
}

// A process is what the kernel tells of one.
type process struct {
	uids                          []string // real, effective, saved, of the file system
	effective, permitted, ambient capabilities
	noNewPrivileges               bool
}

type capabilities uint64

func (c capabilities) has(bit int) bool { return c&(1<<bit) != 0 }

// readProcess reads /proc/pid/status.
func readProcess(pid string) (*process, error) {
	text, err := os.ReadFile("/proc/" + pid + "/status")
	if err != nil {
		return nil, fmt.Errorf("cannot look at process %s: %w", pid, err)
	}
	p := &process{}
	for line := range bytes.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(string(line)), ":")
		value = strings.TrimSpace(value)
		switch name {
		case "Uid":
			p.uids = strings.Fields(value)
		case "CapEff":
			p.effective = parseCapabilities(value)
		case "CapPrm":
			p.permitted = parseCapabilities(value)
		case "CapAmb":
			p.ambient = parseCapabilities(value)
		case "NoNewPrivs":
			p.noNewPrivileges = value == "1"
		}
	}
	return p, nil
}

// parseCapabilities reads what the kernel wrote; all of them where it cannot.
func parseCapabilities(hex string) capabilities {
	n, err := strconv.ParseUint(hex, 16, 64)
	if err != nil {
		return ^capabilities(0)
	}
	return capabilities(n)
}

// CheckTool looks at a process of the tool server's, and returns an error where
// the fence would mean nothing for it. Only who sees the process can: it has to
// be started, and in a pod its processes have to be shared.
func CheckTool(pid int, uid uint32) error {
	p, err := readProcess(strconv.Itoa(pid))
	if err != nil {
		return fmt.Errorf("--tool-pid: %w", err)
	}
	void := func(format string, args ...any) error {
		return fmt.Errorf("--tool-pid: the fence means nothing for process %d: %s", pid, fmt.Sprintf(format, args...))
	}
	if !slices.Equal(p.uids, slices.Repeat([]string{strconv.FormatUint(uint64(uid), 10)}, 4)) {
		return void("its users are %s, and --tool-uid is %d", strings.Join(p.uids, " "), uid)
	}
	for _, c := range passing {
		if (p.permitted | p.ambient).has(c.bit) {
			return void("it has %s, with which it can %s; drop all capabilities of its container", c.name, c.how)
		}
	}
	if !p.noNewPrivileges {
		return void("it may gain privileges by a setuid program; set allowPrivilegeEscalation: false (no_new_privs) for its container")
	}
	if !sameNetwork(pid) {
		return void("it is in another network namespace")
	}
	return nil
}

func sameNetwork(pid int) bool {
	own, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		return false
	}
	its, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", pid))
	return err == nil && own == its
}
