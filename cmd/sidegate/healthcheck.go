package main

import (
	"fmt"
	"net/http"
	"os"
	"strings"

	"github.com/spf13/cobra"
)

const healthcheckHelp = `Ask a running gate's admin listener whether the gate lives (/livez), or with
--ready whether it takes new sessions (/readyz). Made for probes in images that
have no other program: exit code 0 is yes, 1 is no or no answer, and the reason
is on standard error.`

func healthcheckCommand() *cobra.Command {
	door, ready := newAdminDoor(), false
	cmd := &cobra.Command{
		Use:   "healthcheck [flags]",
		Short: "Ask a running gate whether it lives",
		Long:  healthcheckHelp,
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			path := "/livez"
			if ready {
				path = "/readyz"
			}
			return healthcheck(cmd, door, path)
		},
	}
	cmd.Flags().SortFlags = false
	cmd.Flags().BoolVar(&ready, "ready", false, "ask whether it takes new sessions")
	cmd.Flags().AddFlagSet(door.flags())
	return cmd
}

// healthcheck prints what the gate says at path where that is good; else it is
// the error.
func healthcheck(cmd *cobra.Command, door *adminDoor, path string) error {
	address, err := door.address(os.Environ())
	if err != nil {
		return err
	}
	status, said, err := door.ask(cmd.Context(), address, path)
	if err != nil {
		return err
	}
	if status != http.StatusOK {
		return fmt.Errorf("the gate at %s answers %s with %d: %s", address, path, status, strings.ReplaceAll(said, "\n", "; "))
	}
	fmt.Fprintln(cmd.OutOrStdout(), said)
	return nil
}
