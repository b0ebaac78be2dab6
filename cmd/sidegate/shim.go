package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.uber.org/zap"

	"sidegate/proxy"
	"sidegate/proxy/backend/stdio"
	"sidegate/proxy/shim"
)

const shimHelp = `Be the small end in a tool server's own container: listen on a unix socket, let
in who may come, and give each connection a process of its own that runs COMMAND.
The gate, in another container with the socket's directory in common, reaches it
with: sidegate run --backend unix:///PATH
`

const shimUsage = `
Usage:
  sidegate shim --listen unix:///PATH [flags] -- COMMAND [ARG...]

Example:
  sidegate shim --listen unix:///run/mcp/tool.sock --allow-uid 65532 -- npx -y some-server

Flags:`

const shimSources = `
A flag is also a variable (SIDEGATE_LISTEN=unix:///run/mcp/tool.sock, lists with
commas); flags go before variables.

`

// shimSettings are what shim is told.
type shimSettings struct {
	listen         string
	allowUIDs      []uint32
	mode           fs.FileMode
	maxConnections int
	maxMessage     int
	grace          time.Duration
	backend        proxy.BackendConfig // env and stop-timeout of it

	logLevel, logFormat string
}

func shimDefaults() *shimSettings {
	of := defaults()
	return &shimSettings{
		mode:           0o660,
		maxConnections: of.backend.MaxLinks,
		maxMessage:     of.gate.MaxMessage,
		grace:          of.gate.Grace,
		backend:        of.backend,
		logLevel:       of.logLevel,
		logFormat:      of.logFormat,
	}
}

// flags are over s, whose values are the defaults.
func (s *shimSettings) flags() *pflag.FlagSet {
	fs := newFlags()
	fs.Var(stringValue(&s.listen, "ADDR"), "listen", "listen on unix:///PATH")
	fs.Var(&list[uint32]{&s.allowUIDs, "UID", true, parseUID}, "allow-uid", "let this user connect, by number; repeatable (default: the user who runs the shim)")
	fs.Var(&value[os.FileMode]{&s.mode, "MODE", parseMode, func(m os.FileMode) string { return fmt.Sprintf("%04o", m) }}, "mode", "mode of the socket's file")
	fs.Var(countValue(&s.maxConnections), "max-connections", "connections (child processes) at once")
	fs.Var(sizeValue(&s.maxMessage), "max-message", "size of one message, either way; the gate's should be the same")
	own := backendFlags(&s.backend)
	fs.AddFlag(own.Lookup("env"))
	fs.AddFlag(own.Lookup("stop-timeout"))
	fs.Var(durationValue(&s.grace), "grace", "on SIGTERM, how long calls may go on")
	fs.Var(choiceValue(&s.logLevel, "debug", "info", "warn", "error"), "log-level", "least level that is logged")
	fs.Var(choiceValue(&s.logFormat, "auto", "json", "console"), "log-format", "auto: console on a terminal, else json")
	return fs
}

func shimCommand() *cobra.Command {
	s := shimDefaults()
	flags := s.flags()
	cmd := &cobra.Command{
		Use:                   "shim --listen unix:///PATH [flags] -- COMMAND [ARG...]",
		Short:                 "Put a command on a unix socket, for a gate in another container",
		Long:                  shimHelp,
		DisableFlagsInUseLine: true,
		Args:                  onlyAfterDash,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := s.resolve(flags, os.Environ(), args); err != nil {
				return err
			}
			return runShim(cmd, s)
		},
	}
	cmd.Flags().SortFlags = false
	cmd.Flags().SetInterspersed(false)
	cmd.Flags().AddFlagSet(flags)
	cmd.SetHelpFunc(func(cmd *cobra.Command, _ []string) {
		fmt.Fprintf(cmd.OutOrStdout(), "%s%s\n%s%s%s", cmd.Long, shimUsage, flags.FlagUsagesWrapped(helpWidth), shimSources, exitCodesHelp)
	})
	return cmd
}

// resolve fills in what the command line left open from the environment, and
// returns an error with all problems that were found.
func (s *shimSettings) resolve(flags *pflag.FlagSet, environ, command []string) error {
	var found problems
	where := setFromEnviron(flags, shimDefaults().flags(), environ, &found)
	s.backend.Command = command
	sound := len(found) == 0
	if len(command) == 0 {
		found.add("COMMAND", "is missing: name the tool server, as in: sidegate shim --listen unix:///run/mcp/tool.sock -- npx -y @modelcontextprotocol/server-everything")
	}
	if sound {
		s.validate(func(flag, reason string) { found.add(placeOf(where, flag), reason) })
	}
	return found.err()
}

// validate reports what is wrong with values that are well-formed each by
// itself.
func (s *shimSettings) validate(add func(flag, reason string)) {
	if path, ok := strings.CutPrefix(s.listen, "unix://"); !ok || !strings.HasPrefix(path, "/") || len(path) < 2 {
		add("listen", fmt.Sprintf("must be unix:///PATH; it is %q", s.listen))
	}
	if s.maxConnections < 1 {
		add("max-connections", fmt.Sprintf("must be at least 1; it is %d", s.maxConnections))
	}
	if s.maxMessage < 1<<10 || s.maxMessage > 1<<30 {
		add("max-message", fmt.Sprintf("must be from %d to %d bytes; it is %d", 1<<10, 1<<30, s.maxMessage))
	}
	if s.backend.StopTimeout < time.Millisecond {
		add("stop-timeout", fmt.Sprintf("must be at least 1ms; it is %s", s.backend.StopTimeout))
	}
	if s.grace < 0 {
		add("grace", fmt.Sprintf("must not be negative; it is %s", s.grace))
	}
}

func parseUID(s string) (uint32, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || n == math.MaxUint32 { // which stands for no user
		return 0, fmt.Errorf("must be a user's number; it is %q", s)
	}
	return uint32(n), nil
}

func parseMode(s string) (os.FileMode, error) {
	n, err := strconv.ParseUint(s, 8, 32)
	if err != nil || n > 0o777 {
		return 0, fmt.Errorf("must be a mode in octal digits, as in 0660; it is %q", s)
	}
	return os.FileMode(n), nil
}

// shimQueue is small, since a full queue makes who writes wait and loses
// nothing.
const shimQueue = 1 << 20

// runShim serves until a signal ends it. Its settings are valid.
func runShim(cmd *cobra.Command, s *shimSettings) error {
	log, err := newLog(os.Stderr, s.logLevel, s.logFormat)
	if err != nil {
		return err
	}
	server, err := newShim(s, log)
	if err != nil {
		return err
	}
	ln, err := proxy.ListenSocket("listen", strings.TrimPrefix(s.listen, "unix://"), s.mode)
	if err != nil {
		return cannotListen(err)
	}
	signals := catchSignals()
	defer signal.Stop(signals)
	stopReaping := reapOrphans()
	defer stopReaping()
	log.Info("listening", zap.String("address", s.listen), zap.Uint32s("allow_uid", s.allowUIDs), zap.String("version", buildVersion()))
	fmt.Fprintf(cmd.OutOrStdout(), "sidegate: tool server at %s\n", s.listen)
	tellManager(daemon.SdNotifyReady, log)
	run := func(ctx context.Context) error { return server.Run(ctx, ln) }
	if err := untilSignal(cmd.Context(), run, server.Kill, signals, log); err != nil {
		if errors.Is(err, shim.ErrGrace) {
			return withCode(exitGrace, err)
		}
		return err
	}
	log.Info("ended")
	return nil
}

func newShim(s *shimSettings, log *zap.Logger) (*shim.Server, error) {
	if len(s.allowUIDs) == 0 {
		s.allowUIDs = []uint32{uint32(os.Getuid())}
	}
	tool, err := stdio.New(stdio.Config{
		Name:        "default",
		Command:     s.backend.Command,
		Env:         s.backend.Env,
		MaxMessage:  s.maxMessage,
		MaxQueue:    shimQueue,
		StopTimeout: s.backend.StopTimeout,
		Log:         log,
	})
	if err != nil {
		return nil, withCode(exitUsage, err)
	}
	return shim.New(shim.Options{
		Backend:        tool,
		AllowUIDs:      s.allowUIDs,
		MaxConnections: s.maxConnections,
		MaxMessage:     s.maxMessage,
		MaxQueue:       shimQueue,
		StopTimeout:    s.backend.StopTimeout,
		Grace:          s.grace,
		Log:            log,
	}), nil
}
