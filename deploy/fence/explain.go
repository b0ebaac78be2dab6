package fence

import (
	"errors"
	"fmt"
	"os/exec"
	"strings"

	"github.com/coreos/go-iptables/iptables"
)

// explanations say what iptables means, by what it says. The first that fits
// is given, so what is special stands before what is general.
var explanations = []struct {
	has  []string // all of them, in lower case
	says error
}{
	{[]string{"lock file"}, errLockFile},
	{[]string{"holding the xtables lock"}, fmt.Errorf("another program has held the lock of the rules for %s: see what it is, and run this again", lockWait)},
	{[]string{"address family not supported"}, errors.New("this kernel has no packet filter for that family of addresses: load its modules on the node; without it there would be a way round the fence")},
	{[]string{"permission denied"}, errPrivilege},
	{[]string{"operation not permitted"}, errPrivilege},
	{[]string{"`nat'"}, errNoNAT},
	{[]string{"-t nat", "does not exist"}, errNoNAT},
	{[]string{"-t nat", "not supported"}, errNoNAT},
	{[]string{"-t nat", "no such file or directory"}, errNoNAT},
	{[]string{"can't initialize"}, errNoBackend},
	{[]string{"protocol not supported"}, errNoBackend},
	{[]string{"--uid-owner", "invalid argument"}, errors.New("the kernel does not take that user: it is not mapped in this user namespace")},
	{[]string{"no chain/target/match by that name"}, errors.New("this kernel lacks a part of the packet filter that the rule needs (owner, REJECT, REDIRECT, addrtype, conntrack): load its modules on the node")},
}

var (
	errNoBackend = errors.New("this kernel has no packet filter of that kind: load its modules on the node, or name the other backend")
	errPrivilege = errors.New("CAP_NET_ADMIN over this network namespace is missing: give it to the container that runs this, and to no other (for the legacy backend CAP_NET_RAW too)")
	errNetRaw    = errors.New("CAP_NET_RAW is missing, which the legacy backend needs: give it to the container that runs this, and to no other, or name the nft backend")
	errNoNAT     = errors.New("this kernel cannot redirect, as it has no nat table of that kind: load the nat modules on the node, or use --mode refuse, which needs the filter table alone")
	errLockFile  = errors.New("the legacy backend's lock file cannot be written: mount something writable at /run, or set XTABLES_LOCKFILE to a file on something writable")
)

// explain makes one line of an error of the library's: what it means and what
// to do, and then what the program said.
func explain(program string, err error) error {
	if errors.Is(err, exec.ErrNotFound) {
		return fmt.Errorf("%s is not in PATH: install iptables, or use the image that has it", program)
	}
	said := strings.Join(strings.Fields(err.Error()), " ")
	var failed *iptables.Error
	if errors.As(err, &failed) {
		said = strings.TrimPrefix(said, "running ")
	}
	for _, e := range explanations {
		if containsAll(strings.ToLower(said), e.has) {
			return fmt.Errorf("%w (%s)", e.says, said)
		}
	}
	return fmt.Errorf("%s failed: %s", program, said)
}

func containsAll(s string, parts []string) bool {
	for _, p := range parts {
		if !strings.Contains(s, p) {
			return false
		}
	}
	return true
}
