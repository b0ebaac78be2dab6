package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"
)

func checkCommand() *cobra.Command {
	return gateCommand("check", "Validate flags, environment and file, and look COMMAND up", checkHelp, check)
}

// check prints what run would serve. Flags, environment and file are in order
// where it is called; what they name is looked at here.
func check(cmd *cobra.Command, s *settings) error {
	log, err := newLog(os.Stderr, s.logLevel, s.logFormat)
	if err != nil {
		return err
	}
	if _, err := newGate(s, log); err != nil {
		return err
	}
	out := cmd.OutOrStdout()
	b := s.gate.Backends[0]
	fmt.Fprintln(out, "ok")
	fmt.Fprintf(out, "  clients  %s\n", endpoint(s.gate.Listen, mcpPath))
	fmt.Fprintf(out, "  admin    %s\n", endpoint(s.gate.Admin, ""))
	// The arguments stay out: they may hold a key.
	fmt.Fprintf(out, "  backend  %s: %s with %d arguments\n", b.Name, b.Command[0], len(b.Command)-1)
	for _, warning := range warnings(&s.gate, s.gate.Listen, s.gate.Admin) {
		fmt.Fprintf(out, "  warning  %s\n", warning)
	}
	return nil
}
