// Package stdio is the backend that is a command: every connection is a child
// process which reads one message a line on its standard input and writes one
// a line on its standard output (specification 2025-11-25, basic/transports,
// "stdio").
//
// A child is looked after from before its start to after its end: it has a
// session and a process group of its own, it dies with the gate (the parent
// death signal, Linux), its standard error goes to the log, and its end is
// complete when no process that it started is left. What is process-wide in
// that, the thread that starts children and the adoption of orphans, is in
// keeper.go.
//
// It imports backend, lines and wire, nothing else of ours, and is handed what
// it needs: it reads no flag, no file, and of the environment only what a child
// inherits.
package stdio

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"go.uber.org/zap"

	"sidegate/proxy/backend"
	"sidegate/proxy/wire"
)

// The defaults of Config.
const (
	defaultMaxMessage  = 16 << 20
	minQueue           = 1 << 20
	defaultStopTimeout = 5 * time.Second
)

// Config says how a tool server is started and what it may cost.
type Config struct {
	// Name stands for the server in logs and errors. Default: the last part
	// of the command's path; arguments may hold secrets and are never named.
	Name string

	// Command is the program and its arguments. A program without a slash is
	// searched in PATH; a relative one with a slash starts from Dir.
	Command []string

	// Env adds to the child's environment: NAME=VALUE, or NAME to pass on the
	// gate's own value. The child gets these and HOME, LOGNAME, PATH, SHELL,
	// TERM, USER, nothing else.
	Env []string

	// Dir is the child's working directory, the gate's own when empty.
	Dir string

	// MaxMessage is the largest message accepted from the child, in bytes
	// without the newline. Default 16 MiB.
	MaxMessage int

	// MaxQueue bounds the bytes of memory in messages that wait to be written
	// to one child. A message that is larger still fits when nothing else
	// waits. Default: two messages of MaxMessage, at least 1 MiB.
	MaxQueue int

	// Budget is charged for every message read, until its release; nil for
	// none.
	Budget wire.Budget

	// StopTimeout is how long a child may take to end after its standard
	// input was closed, and again after SIGTERM; what it leaves behind gets it
	// once more. Then follows SIGKILL. Default 5 s.
	StopTimeout time.Duration

	// Log takes the children's standard error and what they did wrong; nil
	// for none.
	Log *zap.Logger
}

// Backend starts children of one command. Its methods may be called from any
// goroutine.
type Backend struct {
	config Config
	path   string // of the program, absolute
	env    []string
	log    *zap.Logger
}

var _ backend.Backend = (*Backend)(nil)

// New checks config and looks the command up. The error says what to change;
// it is an exec.ErrNotFound where the program is not there or cannot be run.
func New(config Config) (*Backend, error) {
	if len(config.Command) == 0 || config.Command[0] == "" {
		return nil, errors.New("no command was given; write it after --, as in: sidegate run -- npx -y @modelcontextprotocol/server-everything")
	}
	if err := checkDir(config.Dir); err != nil {
		return nil, err
	}
	path, err := lookUp(config.Command[0], config.Dir)
	if err != nil {
		return nil, err
	}
	env, missing, err := environment(config.Env)
	if err != nil {
		return nil, err
	}
	b := &Backend{config: withDefaults(config), path: path, env: env}
	b.log = b.config.Log.With(zap.String("backend", b.config.Name))
	if len(missing) > 0 {
		b.log.Warn("variables to pass on to the tool server are not set here; set them, or give them as NAME=VALUE", zap.Strings("env", missing))
	}
	return b, nil
}

func withDefaults(c Config) Config {
	if c.Name == "" {
		c.Name = filepath.Base(c.Command[0])
	}
	if c.MaxMessage <= 0 {
		c.MaxMessage = defaultMaxMessage
	}
	if c.MaxQueue <= 0 {
		c.MaxQueue = max(2*c.MaxMessage, minQueue)
	}
	if c.StopTimeout <= 0 {
		c.StopTimeout = defaultStopTimeout
	}
	if c.Log == nil {
		c.Log = zap.NewNop()
	}
	return c
}

func checkDir(dir string) error {
	if dir == "" {
		return nil
	}
	info, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("the tool server's working directory cannot be used: %w", err)
	}
	if !info.IsDir() {
		return fmt.Errorf("the tool server's working directory %s is not a directory", dir)
	}
	return nil
}

// String is the name of the backend, without the command's arguments.
func (b *Backend) String() string { return b.config.Name }

// Open starts a child. r may be called before Open returns. An error names
// what the system said; a child that starts and ends at once is reported by
// r.Closed instead.
func (b *Backend) Open(ctx context.Context, r backend.Receiver) (backend.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return start(ctx, b, r)
}
