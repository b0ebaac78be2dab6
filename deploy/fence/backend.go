package fence

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-iptables/iptables"
)

// A Backend is one of the two interfaces of the kernel for packet filters, and
// the programs that speak it. Rules of both are in force side by side.
type Backend struct {
	Name     string // "nft" or "legacy"
	Programs map[Family]string
}

// The backends' names.
const (
	NFT    = "nft"
	Legacy = "legacy"
)

// programs are tried in this order. What a program without a suffix speaks, it
// says itself.
var programs = map[string][]string{
	NFT:    {"iptables-nft", "iptables"},
	Legacy: {"iptables-legacy", "iptables"},
}

// modes are what programs call the backends when they are asked for their
// version; versions before there were two say nothing.
var modes = map[string]string{NFT: "(nf_tables)", Legacy: "(legacy)"}

// Installed returns the backends whose programs are in PATH, nft first.
func Installed() []Backend {
	var found []Backend
	for _, name := range []string{NFT, Legacy} {
		for _, program := range programs[name] {
			if speaks(program, name) {
				found = append(found, backend(name, program))
				break
			}
		}
	}
	return found
}

func backend(name, program string) Backend {
	return Backend{name, map[Family]string{IPv4: program, IPv6: "ip6" + strings.TrimPrefix(program, "ip")}}
}

// speaks tells whether program is there and speaks the backend of that name.
func speaks(program, name string) bool {
	ctx, cancel := context.WithTimeout(context.Background(), lockWait)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, "--version")
	cmd.WaitDelay = time.Second
	version, err := cmd.Output()
	if err != nil {
		return false
	}
	if name == Legacy {
		return !strings.Contains(string(version), modes[NFT])
	}
	return strings.Contains(string(version), modes[name])
}

// ErrNoProgram says that no iptables is there.
var ErrNoProgram = errors.New("no iptables program is in PATH: install iptables, or use the image that has it")

// Named is the backend to name in a plan: which one works here is not asked.
// Where none is installed the programs' plain names stand for it, with an
// error that says so.
func Named(name string) (Backend, error) {
	for _, b := range Installed() {
		if name == "auto" || b.Name == name {
			return b, nil
		}
	}
	if name == "auto" {
		return backend(NFT, "iptables"), ErrNoProgram
	}
	return backend(name, programs[name][0]), fmt.Errorf("the %s backend's program is not in PATH (%s): install iptables, or name the other backend", name, programs[name][0])
}

// Find is the backend of that name, or with "auto" the first that works here.
func Find(name string) (Backend, error) {
	b, err := Named(name)
	if err != nil || name != "auto" {
		return b, err
	}
	var whyNot []error
	for _, b := range Installed() {
		err := b.lacks()
		if err == nil {
			_, err = b.has(IPv4, filter, "INPUT")
		}
		if err == nil {
			return b, nil
		}
		whyNot = append(whyNot, fmt.Errorf("backend %s: %w", b.Name, err))
	}
	return b, errors.Join(whyNot...)
}

// open is the library's handle of one family.
func (b Backend) open(family Family) (*iptables.IPTables, error) {
	protocol := iptables.ProtocolIPv4
	if family == IPv6 {
		protocol = iptables.ProtocolIPv6
	}
	t, err := iptables.New(iptables.IPFamily(protocol), iptables.Timeout(int(lockWait.Seconds())), iptables.Path(b.Programs[family]))
	if err != nil {
		return nil, explain(b.Programs[family], err)
	}
	return t, nil
}

// has tells whether a chain is there.
func (b Backend) has(family Family, table, name string) (bool, error) {
	t, err := b.open(family)
	if err != nil {
		return false, err
	}
	there, err := t.ChainExists(table, name)
	if err != nil {
		return false, explain(b.Programs[family], err)
	}
	return there, nil
}

// tables are those that may hold rules of ours. The legacy backend makes a
// table by looking at it, so what it has is read where the kernel tells.
func (b Backend) tables(family Family) []string {
	all := []string{nat, filter}
	if b.Name != Legacy {
		return all
	}
	file := map[Family]string{IPv4: "/proc/self/net/ip_tables_names", IPv6: "/proc/self/net/ip6_tables_names"}[family]
	names, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // the kernel has no tables of that kind
	}
	if err != nil {
		return all
	}
	return slices.DeleteFunc(all, func(table string) bool {
		return !slices.Contains(strings.Fields(string(names)), table)
	})
}
