package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"slices"
	"sync"
	"syscall"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"sidegate/limits"
	"sidegate/proxy"
	"sidegate/proxy/backend"
	"sidegate/proxy/backend/stdio"
)

func runCommand() *cobra.Command {
	return gateCommand("run", "Put a tool server on the network", runHelp, run)
}

// errKilled ends a gate that was told to end a second time while calls were in
// flight.
var errKilled = withCode(exitGrace, errors.New("a second signal came: what was still in flight has been cut"))

// run serves until a signal ends it. Its settings are valid.
func run(cmd *cobra.Command, s *settings) error {
	log, err := newLog(os.Stderr, s.logLevel, s.logFormat)
	if err != nil {
		return err
	}
	gate, err := newGate(s, log)
	if err != nil {
		return err
	}
	inherited, err := inheritedListeners()
	if err != nil {
		return withCode(exitListen, err)
	}
	if err := gate.Listen(inherited); err != nil {
		return cannotListen(err)
	}
	signals := catchSignals()
	defer signal.Stop(signals)
	stopReaping := reapOrphans()
	defer stopReaping()
	stopTidying := tidy()
	defer stopTidying()
	announce(cmd.OutOrStdout(), s, gate, log)
	tellManager(daemon.SdNotifyReady, log)
	if err := untilSignal(cmd.Context(), gate.Run, gate.Kill, signals, log); err != nil {
		if errors.Is(err, proxy.ErrGrace) {
			return withCode(exitGrace, err)
		}
		return err
	}
	log.Info("ended")
	return nil
}

// cannotListen adds to err what to do where the directory of a socket is not
// there: no such file, says the system, and none is expected there.
func cannotListen(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w; the directory must exist", err)
	}
	return withCode(exitListen, err)
}

// newGate builds what the configuration names, and starts nothing of it. Its
// errors are the operator's: a command or a file that is not there.
func newGate(s *settings, log *zap.Logger) (*proxy.Gate, error) {
	c := &s.gate
	var err error
	if c.StateKeys, err = readStateKeys(s.stateKeyFile); err != nil {
		return nil, withCode(exitUsage, err)
	}
	budget := limits.NewBytes(c.MaxBytesInFlight)
	var servers []backend.Backend
	for i := range c.Backends {
		c.Backends[i].Via = proxy.NewVia()
		b, err := newBackend(&c.Backends[i], c, budget, log)
		if err != nil {
			return nil, withCode(exitUsage, err)
		}
		servers = append(servers, b)
	}
	gate, err := proxy.New(c, servers, budget, log)
	return gate, withCode(exitUsage, err)
}

// warnings are what a sound configuration may still be wrong about. address is
// where clients are served, admin where the gate's state is, or "off".
func warnings(c *proxy.Config, address, admin string) []string {
	all := []string{openWarning(address, c.TokenFile), adminWarning(admin), descriptorWarning(c)}
	return slices.DeleteFunc(all, func(s string) bool { return s == "" })
}

// announce says where the gate is: to programs on the log, to a person on
// standard output.
func announce(out io.Writer, s *settings, gate *proxy.Gate, log *zap.Logger) {
	for _, warning := range warnings(&s.gate, gate.Address(), gate.AdminAddress()) {
		log.Warn(warning)
	}
	var names []string
	for _, b := range s.gate.Backends {
		names = append(names, b.Name)
	}
	log.Info("listening",
		zap.String("address", gate.Address()), zap.String("admin", gate.AdminAddress()),
		zap.Strings("backends", names), zap.String("version", buildVersion()))
	fmt.Fprintf(out, "sidegate: MCP at %s\n", endpoint(gate.Address(), mcpPath))
	for _, d := range doors(&s.gate, gate.Address()) {
		fmt.Fprintf(out, "sidegate: %s at %s\n", d.name, d.at)
	}
	if admin := gate.AdminAddress(); admin != "off" {
		fmt.Fprintf(out, "sidegate: admin at %s\n", endpoint(admin, ""))
	}
	if s.curl {
		fmt.Fprintln(out, curlLine(gate.Address(), s.gate.TokenFile != ""))
		if s.gate.SSE {
			fmt.Fprintln(out, curlSSELine(gate.Address(), s.gate.TokenFile != ""))
		}
	}
}

// catchSignals takes the signals that end a gate. It comes before the gate
// says where it is: whoever reads that may end it.
func catchSignals() chan os.Signal {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	// Whoever reads our output may go away, which is no reason to end. Taken
	// like this the signal stays a usual one for the children.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	return signals
}

// untilSignal runs what serves until its context is done. The first signal
// drains it, the second one kills the tool servers and does not wait for
// anything else; it is an error only if that has cut calls, which kill tells.
func untilSignal(ctx context.Context, run func(context.Context) error, kill func() (cut bool), signals <-chan os.Signal, log *zap.Logger) error {
	ctx, drain := context.WithCancel(ctx)
	defer drain()
	ended := make(chan error, 1)
	go func() { ended <- run(ctx) }()
	select {
	case err := <-ended:
		return err
	case s := <-signals:
		log.Info("ending", zap.Stringer("signal", s))
	}
	tellManager(daemon.SdNotifyStopping, log)
	drain()
	select {
	case err := <-ended:
		return err
	case <-signals:
		if kill() {
			return errKilled
		}
		return nil
	}
}

// reapOrphans looks after what tool servers leave behind, until the returned
// function has returned.
func reapOrphans() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var reaping sync.WaitGroup
	reaping.Go(func() { stdio.ReapOrphans(ctx) })
	return func() {
		cancel()
		reaping.Wait()
	}
}
