package subject

import (
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"time"

	"sidegate/test/load/drive"
	"sidegate/test/load/measure"
)

// A Subject is something that is measured, and runs.
type Subject struct {
	Name    string
	Version string
	Door    drive.Door
	Admin   string // where a gate of ours tells of itself

	processes []*process
	family    bool   // its children count as it
	dir       string // where its configuration is
}

// Direct is nothing in front of a server that listens at addr.
func Direct(addr string) *Subject {
	return &Subject{Name: "direct", Version: runtime.Version(), Door: drive.Door{Addr: addr}}
}

// PIDs are the processes that count as the subject's.
func (s *Subject) PIDs() []int {
	var pids []int
	for _, p := range s.processes {
		if s.family {
			pids = append(pids, measure.Tree(p.pid())...)
		} else {
			pids = append(pids, p.pid())
		}
	}
	return pids
}

// CPU is the processor time that it has used so far.
func (s *Subject) CPU() time.Duration { return measure.CPU(s.PIDs()...) }

// Resident is its resident memory in bytes.
func (s *Subject) Resident() int64 { return measure.Resident(s.PIDs()...) }

// Log is the last of what it has printed.
func (s *Subject) Log() string {
	var all []byte
	for _, p := range s.processes {
		all = append(all, p.log.bytes()...)
	}
	return string(all)
}

// Stop ends it.
func (s *Subject) Stop() {
	for _, p := range s.processes {
		p.stop()
	}
	if s.dir != "" {
		os.RemoveAll(s.dir)
	}
}

var (
	servesAt = regexp.MustCompile(`serves at (\S+)`)
	mcpAt    = regexp.MustCompile(`MCP at http://([^\s"/]+)`)
	adminAt  = regexp.MustCompile(`admin at http://([^\s"/]+)`)
)

// self is this program, which is also every server of ours.
func self() string {
	path, err := os.Executable()
	if err != nil {
		panic(err)
	}
	return path
}

// Stdio is the command of our stdio server.
func Stdio() []string { return []string{self(), "serve", "stdio"} }

// Serve starts one of our servers that listen: fast or plain.
func Serve(kind string, flags ...string) (*Subject, error) {
	return ours(kind, append([]string{"serve", kind}, flags...)...)
}

// Relay starts the relay in front of addr.
func Relay(addr string) (*Subject, error) { return ours("relay", "serve", "relay", addr) }

func ours(name string, args ...string) (*Subject, error) {
	p, err := launch(self(), args...)
	if err != nil {
		return nil, err
	}
	addr, err := p.says(servesAt)
	if err != nil {
		p.stop()
		return nil, err
	}
	return &Subject{Name: name, Version: runtime.Version(), Door: drive.Door{Addr: addr}, processes: []*process{p}}, nil
}

// Binary is the gate that is measured; main sets it.
var Binary = "./sidegate"

// Gate starts Sidegate with flags of sidegate run.
func Gate(flags []string, command ...string) (*Subject, error) {
	args := append([]string{"run", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--log-level", "warn", "--log-format", "json",
		"--grace", "1s", "--stop-timeout", "1s"}, flags...)
	if len(command) > 0 {
		args = append(append(args, "--"), command...)
	}
	path, err := filepath.Abs(Binary)
	if err != nil {
		return nil, err
	}
	p, err := launch(path, args...)
	if err != nil {
		return nil, err
	}
	s := &Subject{Name: "sidegate", Version: firstLine(path, "version"), processes: []*process{p}}
	if s.Door.Addr, err = p.says(mcpAt); err == nil {
		s.Admin, err = p.says(adminAt)
	}
	if err != nil {
		p.stop()
		return nil, err
	}
	return s, nil
}
