package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

const runHelp = `Put a tool server on the network: one that is a command, of which every client of
the gate gets a process of its own unless --isolation says otherwise, or one that
listens. Only clients that keep the rules get through. They are served
Streamable HTTP at /mcp, HTTP+SSE at /sse and WebSocket at /ws. Client and server
may speak different revisions of the protocol, 2024-11-05 to 2026-07-28.
`

const checkHelp = `Validate what run would be given, and start nothing: flags, variables and file
must be sound, COMMAND and the token file must be there. No address is listened
on and no backend is connected to, so one that is taken, or is not there, shows
only when the gate runs.
`

const usageHelp = `
Usage:
  sidegate %s [flags] -- COMMAND [ARG...]
  sidegate %[1]s [flags] --backend [NAME=]URL...

Example:
  sidegate %[1]s -- npx -y @modelcontextprotocol/server-filesystem "$PWD"
  sidegate %[1]s --backend http://127.0.0.1:3000/mcp
  sidegate %[1]s --backend files=unix:///run/mcp/tool.sock --backend web=wss://tools.example/ws
`

const sourcesHelp = `
A flag is also a variable (SIDEGATE_MAX_MESSAGE=16MiB, lists with commas) and a
key of the file (max-message: 16MiB). Flags go before variables, variables
before the file. In the file each backend may have its own values of the flags
under Backend, which go before the file's for all, but not before a flag or a
variable:

  backends:
    files: {command: [npx, -y, some-server], env: [HOME], max-links: 20}
    web: {url: "https://tools.example/mcp", isolation: shared, links: 4}

`

// gateHelp prints the help of run and check, which take the same flags: cobra
// knows no groups of flags.
func gateHelp(groups []group) func(*cobra.Command, []string) {
	return func(cmd *cobra.Command, _ []string) {
		out := cmd.OutOrStdout()
		fmt.Fprint(out, cmd.Long)
		fmt.Fprintf(out, usageHelp, cmd.Name())
		for _, g := range groups {
			fmt.Fprintf(out, "\n%s:\n%s", g.title, g.flags.FlagUsagesWrapped(helpWidth))
		}
		fmt.Fprint(out, sourcesHelp+exitCodesHelp)
	}
}

const helpWidth = 110

// usageHint is what follows an error in the command line.
func usageHint(cmd *cobra.Command) string {
	return fmt.Sprintf("Run '%s --help' for what there is.", strings.TrimSpace(cmd.CommandPath()))
}
