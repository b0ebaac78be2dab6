package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"sidegate/proxy"
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
	fmt.Fprintln(out, "ok")
	fmt.Fprintf(out, "  clients  %s\n", endpoint(s.gate.Listen, mcpPath))
	for _, d := range doors(&s.gate, s.gate.Listen) {
		fmt.Fprintf(out, "  clients  %s (%s)\n", d.at, d.name)
	}
	fmt.Fprintf(out, "  admin    %s\n", endpoint(s.gate.Admin, ""))
	for _, b := range s.gate.Backends {
		fmt.Fprintf(out, "  backend  %s: %s, isolation %s\n", b.Name, what(&b), b.Isolation)
	}
	for _, warning := range warnings(&s.gate, s.gate.Listen, s.gate.Admin) {
		fmt.Fprintf(out, "  warning  %s\n", warning)
	}
	return nil
}

// what a backend is. A command's arguments and a URL's query stay out: they may
// hold a key.
func what(b *proxy.BackendConfig) string {
	if b.URL != "" {
		url, _, _ := strings.Cut(b.URL, "?")
		return url
	}
	return fmt.Sprintf("%s with %d arguments", b.Command[0], len(b.Command)-1)
}
