package main

import (
	"errors"
	"fmt"
	"net/http"
	"os"

	"github.com/spf13/cobra"
)

const drainHelp = `Have the gate that runs here drain, and wait until it has: it is unready at
once, goes on serving until others have looked away (its --drain-delay), then
lets each session and stream end in good order, finishes its calls within its
--grace, and ends the tool servers. The gate itself does not end before SIGTERM,
and then at once: so this is a preStop hook, or comes before docker stop.

The gate's admin listener is found where the gate finds it: --admin,
SIDEGATE_ADMIN, the file. It takes the order from its own host or pod only. Calls
that were cut because the grace ran out are exit code 4.
`

func drainCommand() *cobra.Command {
	door := newAdminDoor()
	cmd := &cobra.Command{
		Use:     "drain [flags]",
		Short:   "Have the running gate drain without ending, as a preStop hook",
		Long:    drainHelp,
		Example: "  sidegate drain\n  sidegate drain --admin unix:///run/sidegate/admin.sock",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return drain(cmd, door) },
	}
	cmd.Flags().AddFlagSet(door.flags())
	return cmd
}

// drain asks the gate to drain and waits until it has. The gate bounds the wait.
func drain(cmd *cobra.Command, door *adminDoor) error {
	address, err := door.address(os.Environ())
	if err != nil {
		return err
	}
	status, said, err := askAdmin(cmd.Context(), address, http.MethodPost, "/drain")
	switch {
	case err != nil:
		return err
	case status == http.StatusOK:
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "sidegate: %s\n", said)
		return err
	case status == http.StatusGatewayTimeout:
		return withCode(exitGrace, errors.New(said))
	}
	return fmt.Errorf("what answers at %s is not the gate's admin listener, or does not let this program drain it: status %d, %s", address, status, said)
}
