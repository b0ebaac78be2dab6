package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"sidegate/deploy/fence"
)

const fenceHelp = `Close every way to a tool server's ports but the one through the gate, with
packet-filter rules (iptables) in the network namespace in which this runs: a
pod's, or a container's. Whoever else knocks is led to the gate, or refused:
other hosts, other containers of the pod, and the tool server itself. With
--egress-allow the tool server's way out is closed too, but for what is named.
deploy/fence/README.md says what the fence does not stop.

The rules tell gate and tool server by their users, so each needs one of its
own. They are put in once, before both start, by an init container that has
CAP_NET_ADMIN (and CAP_NET_RAW for the legacy backend); nobody else needs it.

With --mode redirect the gate listens on all addresses of --gate-port, as in

  sidegate run --listen :15006 --backend http://127.0.0.1:8080/mcp

and judges what comes as from beyond this host: give it a --token-file. Other
containers of the pod call http://127.0.0.1:8080/mcp as before; for those that
call the pod's own address it needs --allow-host with that address.
`

const fenceUsage = `
Usage:
  sidegate fence %s [flags]

Example:
  sidegate fence %[1]s%[2]s

Flags:
`

const fenceSources = `
A flag is also a variable (SIDEGATE_TOOL_PORT=8080,8081, lists with commas);
flags go before variables.

`

// fenceExample are the flags that all but remove need.
const fenceExample = " --tool-port 8080 --tool-uid 1000 --gate-uid 1337"

// fenceCommand is the one with subcommands of its own: they are about the same
// rules, and take the same flags.
func fenceCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "fence",
		Short: "Make the gate the only way to a tool server that listens, by packet-filter rules",
		Long:  fenceHelp,
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(
		fenceSubcommand("plan", "Print the commands that apply runs, in order, and run none", `Print the commands that apply runs where there is no fence yet, in order, and run
none. Between them apply only looks (-S, -C) at what is there.
`, (*fenceSettings).plan),
		fenceSubcommand("apply", "Put the rules in", `Put the rules in, IPv4 and IPv6, and take those of another fence out. Where they
are in already nothing changes. Wherever it ends, the tool server is as open as
before or shut; where the exit code is not 0, run it again before anything starts.
`, (*fenceSettings).apply),
		fenceSubcommand("verify", "Probe with real connections who reaches what", `Connect to the tool ports as the gate's user, the tool server's, root and another,
on every address there is, and print who answered. Where nobody listens yet it
listens there itself meanwhile. The exit code is 0 if the fence holds. It needs
the capabilities NET_ADMIN, SETUID and NET_BIND_SERVICE.
`, (*fenceSettings).verify),
		fenceSubcommand("remove", "Take the rules out", `Take all rules of any fence out, in both backends, and leave all others. It needs
none of the flags that say what is fenced.
`, (*fenceSettings).remove),
	)
	return cmd
}

func fenceSubcommand(name, short, long string, run func(*fenceSettings, *cobra.Command) error) *cobra.Command {
	s := fenceDefaults()
	flags := s.flags()
	cmd := &cobra.Command{
		Use:                   name + " [flags]",
		Short:                 short,
		Long:                  long,
		DisableFlagsInUseLine: true,
		Args:                  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := s.resolve(flags, os.Environ(), name != "remove"); err != nil {
				return err
			}
			return withCode(exitFailed, run(s, cmd))
		},
	}
	cmd.Flags().SortFlags = false
	cmd.Flags().AddFlagSet(flags)
	example := fenceExample
	if name == "remove" {
		example = ""
	}
	cmd.SetHelpFunc(func(cmd *cobra.Command, _ []string) {
		fmt.Fprintf(cmd.OutOrStdout(), "%s%s%s%s%s", long, fmt.Sprintf(fenceUsage, name, example), flags.FlagUsagesWrapped(helpWidth), fenceSources, exitCodesHelp)
	})
	return cmd
}

// plan needs no privilege, and no Linux.
func (s *fenceSettings) plan(cmd *cobra.Command) error {
	out := s.printer(cmd.OutOrStdout())
	b, err := fence.Named(s.backend)
	if err != nil {
		out.note(err.Error())
	}
	families, err := out.families()
	if err != nil {
		return err
	}
	for _, c := range fence.Plan(s.config, b, families) {
		out.command(c)
	}
	return out.end(b.Name)
}

func (s *fenceSettings) apply(cmd *cobra.Command) error {
	out := s.printer(cmd.OutOrStdout())
	b, families, err := s.here(out)
	if err != nil {
		return err
	}
	if err := fence.Apply(s.config, b, families, out.command); err != nil {
		return errors.Join(err, out.end(b.Name))
	}
	out.note("the fence is up (backend " + b.Name + ")")
	return out.end(b.Name)
}

func (s *fenceSettings) verify(cmd *cobra.Command) error {
	out := s.printer(cmd.OutOrStdout())
	b, families, err := s.here(out)
	if err != nil {
		return err
	}
	report, err := fence.Verify(s.config, b, families)
	if err != nil {
		return err
	}
	if s.toolPID == 0 {
		report.Notes = append(report.Notes, "the tool server's own capabilities: not looked at, for want of --tool-pid")
	}
	return errors.Join(out.report(report), report.Err())
}

func (s *fenceSettings) remove(cmd *cobra.Command) error {
	out := s.printer(cmd.OutOrStdout())
	families, err := out.families()
	if err != nil {
		return err
	}
	if err := fence.Remove(families, out.command); err != nil {
		return errors.Join(err, out.end(""))
	}
	out.note("there is no fence")
	return out.end("")
}

// here is what works on this machine, after a look at the tool server.
func (s *fenceSettings) here(out *fencePrinter) (fence.Backend, []fence.Family, error) {
	if s.toolPID != 0 {
		if err := fence.CheckTool(s.toolPID, s.config.ToolUID); err != nil {
			return fence.Backend{}, nil, err
		}
	}
	if err := fence.CheckHere(&s.config); err != nil {
		return fence.Backend{}, nil, err
	}
	b, err := fence.Find(s.backend)
	if err != nil {
		return b, nil, err
	}
	families, err := out.families()
	return b, families, err
}

func (s *fenceSettings) printer(w io.Writer) *fencePrinter {
	return &fencePrinter{w: w, json: s.output == "json"}
}

// resolve fills in what the command line left open from the environment, and
// returns an error with all problems that were found.
func (s *fenceSettings) resolve(flags *pflag.FlagSet, environ []string, whole bool) error {
	var found problems
	where := setFromEnviron(flags, fenceDefaults().flags(), environ, &found)
	if len(found) == 0 && whole {
		s.validate(func(flag, reason string) { found.add(placeOf(where, flag), reason) })
	}
	return found.err()
}
