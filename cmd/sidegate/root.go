package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// execute runs one command line and returns the exit code. It is the one place
// that prints an error.
func execute(args []string, stdout, stderr io.Writer) int {
	root := rootCommand()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	cmd, err := root.ExecuteC()
	if err == nil {
		return exitDone
	}
	for line := range strings.Lines(strings.TrimSpace(err.Error())) {
		fmt.Fprintf(stderr, "sidegate: %s\n", strings.TrimSpace(line))
	}
	if code := exitCode(err); code != exitUsage {
		return code
	}
	fmt.Fprintln(stderr, usageHint(cmd))
	return exitUsage
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "sidegate",
		Short: "A gate at the side of a Model Context Protocol (MCP) tool server",
		Long: `Sidegate puts a Model Context Protocol (MCP) tool server on the network and
keeps the rules: who may connect, from which origin, how big and how often.`,
		Example:       "  sidegate run -- npx -y @modelcontextprotocol/server-filesystem \"$PWD\"\n  sidegate run -- sidegate demo",
		Args:          cobra.NoArgs,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	versionToo := root.Flags().BoolP("version", "v", false, "version for sidegate")
	root.RunE = func(cmd *cobra.Command, _ []string) error {
		if *versionToo {
			return versionCommand().RunE(cmd, nil)
		}
		return cmd.Help()
	}
	root.AddCommand(runCommand(), checkCommand(), shimCommand(), drainCommand(), healthcheckCommand(), injectCommand(), fenceCommand(), copySelfCommand(), demoCommand(), versionCommand())
	for _, cmd := range root.Commands() {
		cmd.RunE = coded(cmd.RunE)
	}
	root.SetFlagErrorFunc(flagError)
	root.SetUsageFunc(usageWithExitCodes(root.UsageFunc()))
	return root
}

// usageWithExitCodes is the library's own usage, and what the exit codes mean. It
// is no template: with those the linker keeps every method of every type.
func usageWithExitCodes(usage func(*cobra.Command) error) func(*cobra.Command) error {
	return func(cmd *cobra.Command) error {
		err := usage(cmd)
		fmt.Fprint(cmd.OutOrStderr(), "\n"+exitCodesHelp)
		return err
	}
}

// coded gives what fails inside a command the code for run time, so that what
// has no code can only come from the command line.
func coded(run func(*cobra.Command, []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		return withCode(exitFailed, run(cmd, args))
	}
}

// flagError words a mistake in the command line like one in the file.
func flagError(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	var value *pflag.InvalidValueError
	switch {
	case errors.As(err, &unknown) && unknown.GetSpecifiedShortnames() == "":
		name := unknown.GetSpecifiedName()
		return usageErrorf("--%s: unknown flag%s", name, didYouMean(name, flagNames(cmd.Flags())))
	case errors.As(err, &value):
		return usageErrorf("--%s: %w", value.GetFlag().Name, value.Unwrap())
	}
	return withCode(exitUsage, err)
}

// gateCommand makes a command that takes the gate's flags and COMMAND.
func gateCommand(use, short, long string, run func(*cobra.Command, *settings) error) *cobra.Command {
	s := defaults()
	groups := s.groups()
	flags := flagSet(groups)
	cmd := &cobra.Command{
		Use:                   use + " [flags] -- COMMAND [ARG...]",
		Short:                 short,
		Long:                  long,
		DisableFlagsInUseLine: true,
		Args:                  onlyAfterDash,
		RunE: func(cmd *cobra.Command, args []string) error {
			r := &resolver{settings: s, flags: flags}
			if err := r.resolve(os.Environ(), args); err != nil {
				return err
			}
			return run(cmd, s)
		},
	}
	cmd.Flags().SortFlags = false
	cmd.Flags().SetInterspersed(false)
	cmd.Flags().AddFlagSet(flags)
	cmd.SetHelpFunc(gateHelp(groups))
	return cmd
}

// onlyAfterDash keeps the tool server's flags from being read as the gate's.
func onlyAfterDash(cmd *cobra.Command, args []string) error {
	if len(args) > 0 && cmd.ArgsLenAtDash() != 0 {
		return usageErrorf("%q: the tool server's command stands after --, as in: sidegate %s -- %s",
			args[0], cmd.Name(), strings.Join(slices.Concat(args[:1], []string{"..."}), " "))
	}
	return nil
}
