package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

const healthcheckHelp = `Ask a running gate's admin listener whether the gate lives (/livez), or with
--ready whether it takes new sessions (/readyz). Made for probes in images that
have no other program: exit code 0 is yes, 1 is no or no answer, and the reason
is on standard error.`

func healthcheckCommand() *cobra.Command {
	door, ready, timeout := newAdminDoor(), false, 3*time.Second
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
			return healthcheck(cmd, door, path, timeout)
		},
	}
	cmd.Flags().SortFlags = false
	cmd.Flags().BoolVar(&ready, "ready", false, "ask whether it takes new sessions")
	cmd.Flags().AddFlagSet(door.flags())
	cmd.Flags().Var(durationValue(&timeout), "timeout", "how long the answer may take")
	return cmd
}

// healthcheck prints what the gate says at path where that is good; else it is
// the error.
func healthcheck(cmd *cobra.Command, door *adminDoor, path string, timeout time.Duration) error {
	address, err := door.address(os.Environ())
	if err != nil {
		return err
	}
	if timeout <= 0 {
		return usageErrorf("--timeout: must be more than nothing; it is %s", timeout)
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
	defer cancel()
	status, said, err := askAdmin(ctx, address, http.MethodGet, path)
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("no answer from %s within %s (--timeout)", address, timeout)
	}
	if err != nil {
		return err
	}
	if status != http.StatusOK {
		return fmt.Errorf("the gate at %s answers %s with %d: %s", address, path, status, strings.ReplaceAll(said, "\n", "; "))
	}
	fmt.Fprintln(cmd.OutOrStdout(), said)
	return nil
}
