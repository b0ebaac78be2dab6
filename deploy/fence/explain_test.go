package fence

import (
	"errors"
	"os/exec"
	"strings"
	"testing"
)

// What the programs say, in the words of iptables 1.8, is told in one line that
// begins with what it means.
func TestExplain(t *testing.T) {
	for _, c := range []struct {
		said string
		want error
	}{
		{"running [iptables-nft -t filter -S]: exit status 4: iptables v1.8.9 (nf_tables): Could not fetch rule set generation id: Permission denied (you must be root)\n", errPrivilege},
		{"running [iptables-legacy -t filter -S]: exit status 4: Fatal: can't open lock file /run/xtables.lock: Read-only file system", errLockFile},
		{"running [iptables-legacy -t nat -N X]: exit status 3: iptables v1.8.9 (legacy): can't initialize iptables table `nat': Table does not exist (do you need to insmod?)\nPerhaps iptables or your kernel needs to be upgraded.\n", errNoNAT},
		{"running [iptables-nft -t nat -N X]: exit status 4: iptables v1.8.9 (nf_tables):  CHAIN_ADD failed (Operation not supported): chain PREROUTING", errNoNAT},
		{"running [iptables-nft -t nat -N X]: exit status 4: iptables v1.8.9 (nf_tables):  CHAIN_ADD failed (No such file or directory): chain PREROUTING", errNoNAT},
		{"running [iptables-legacy -t filter -S]: exit status 3: iptables v1.8.9 (legacy): can't initialize iptables table `filter': Table does not exist (do you need to insmod?)", errNoBackend},
		{"running [iptables-nft -t filter -S]: exit status 1: iptables: Failed to initialize nft: Protocol not supported", errNoBackend},
	} {
		err := explain("iptables", errors.New(c.said))
		if !errors.Is(err, c.want) || strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), "exit status") {
			t.Errorf("%q is explained as: %v", c.said, err)
		}
	}
	if err := explain("iptables-nft", &exec.Error{Name: "iptables-nft", Err: exec.ErrNotFound}); !strings.HasPrefix(err.Error(), "iptables-nft is not in PATH: install") {
		t.Error(err)
	}
	if err := explain("iptables-nft", errors.New("something\nelse")); err.Error() != "iptables-nft failed: something else" {
		t.Error(err)
	}
}
