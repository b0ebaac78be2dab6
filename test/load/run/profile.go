package run

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"

	"sidegate/test/load/subject"
)

// profile samples the gate, kernel and all, while it has its turn, and writes
// what `perf report` reads. It costs, so that a run which profiles is none to
// take numbers from.
func (b *Bench) profile(s *subject.Subject) (end func()) {
	if b.Profiles == "" || s.Name != "sidegate" {
		return func() {}
	}
	b.profiles++
	file := filepath.Join(b.Profiles, fmt.Sprintf("%s-%d.perf", b.scenario, b.profiles))
	cmd := exec.Command("perf", "record", "-q", "-g", "-F", "1999", "-o", file, "-p", strconv.Itoa(s.PIDs()[0]))
	if err := cmd.Start(); err != nil {
		fmt.Fprintln(b.Out, "no profile:", err)
		return func() {}
	}
	return func() {
		cmd.Process.Signal(os.Interrupt)
		cmd.Wait()
		fmt.Fprintln(b.Out, "profile:", file)
	}
}
