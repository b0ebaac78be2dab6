package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

const drainHelp = `Have the gate that runs here drain, and wait until it has: it is unready at
once, goes on serving until others have looked away (its --drain-delay), then
lets each session and stream end in good order, finishes its calls within its
--grace, and ends the tool servers. The gate itself does not end before SIGTERM,
and then at once: so this is a preStop hook, or comes before docker stop.

The gate must have an admin listener; where that is not the usual one, --admin or
SIDEGATE_ADMIN says where. It takes the order from its own host or pod only. Calls
that were cut because the grace ran out are exit code 4.
`

// drainCommand makes a command that talks to a gate's admin listener.
func drainCommand() *cobra.Command {
	s := defaults()
	flags := newFlags()
	flags.Var(stringValue(&s.gate.Admin, "ADDR"), "admin", "the gate's --admin: HOST:PORT or unix:///PATH")
	cmd := &cobra.Command{
		Use:     "drain [--admin ADDR]",
		Short:   "Have the running gate drain without ending, as a preStop hook",
		Long:    drainHelp,
		Example: "  sidegate drain\n  sidegate drain --admin unix:///run/sidegate/admin.sock",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := fromEnviron(flags); err != nil {
				return err
			}
			return drain(cmd.Context(), s.gate.Admin, cmd.OutOrStdout())
		},
		DisableFlagsInUseLine: true,
	}
	cmd.Flags().AddFlagSet(flags)
	return cmd
}

// fromEnviron sets the flags that nobody has set from the gate's variables: in a
// container it is the gate's own environment. Variables of other flags are the
// gate's affair.
func fromEnviron(flags *pflag.FlagSet) error {
	var found, others problems
	for _, set := range environSettings(os.Environ(), flags, &others) {
		if !flags.Changed(set.flag) {
			setAll(flags, set, &found)
		}
	}
	return found.err()
}

// drain asks the gate at admin to drain and waits until it has. The gate bounds
// the wait.
func drain(ctx context.Context, admin string, out io.Writer) error {
	if admin == "off" {
		return usageErrorf("--admin: is off; a gate without an admin listener cannot be told to drain: send it SIGTERM")
	}
	client := adminClient(admin)
	defer client.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, adminURL(admin)+"/drain", http.NoBody)
	if err != nil {
		return usageErrorf("--admin: must be HOST:PORT or unix:///PATH; it is %q", admin)
	}
	response, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("the gate's admin listener at %s cannot be asked: %w; is the gate running, and is this its --admin?", admin, errors.Unwrap(err))
	}
	defer response.Body.Close()
	said, err := io.ReadAll(io.LimitReader(response.Body, 4<<10))
	switch text := strings.TrimSpace(string(said)); {
	case err != nil:
		return fmt.Errorf("the gate's answer was cut: %w", err)
	case response.StatusCode == http.StatusOK:
		_, err = fmt.Fprintf(out, "sidegate: %s\n", text)
		return err
	case response.StatusCode == http.StatusGatewayTimeout:
		return withCode(exitGrace, errors.New(text))
	default:
		return fmt.Errorf("what answers at %s is not the gate's admin listener, or does not let this program drain it: status %d, %s", admin, response.StatusCode, text)
	}
}

// adminURL is where an admin listener is, as a client on this host names it.
func adminURL(admin string) string {
	if isSocket(admin) {
		return "http://localhost"
	}
	return endpoint(admin, "")
}

// adminClient connects to an admin listener and to nothing else: neither does it
// use a proxy, nor follow a redirect.
func adminClient(admin string) *http.Client {
	transport := &http.Transport{}
	if path, ok := strings.CutPrefix(admin, "unix://"); ok {
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		}
	}
	return &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}
