package main

import (
	"errors"
	"fmt"
)

// The exit codes, as the help documents them.
const (
	exitDone   = 0
	exitFailed = 1 // at run time
	exitUsage  = 2 // bad flags, variables or file, or COMMAND was not found
	exitListen = 3 // an address could not be listened on
	exitGrace  = 4 // --grace ran out, or a second signal came, with calls in flight
)

const exitCodesHelp = `Exit codes: 0 done, 1 failed at run time, 2 bad flags, variables or file, or
COMMAND not found, 3 cannot listen, 4 the grace ran out, or a second signal came,
with calls in flight.
`

// An exitError is an error that knows the code to exit with.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

// withCode gives err its exit code, unless it has one.
func withCode(code int, err error) error {
	var coded *exitError
	if err == nil || errors.As(err, &coded) {
		return err
	}
	return &exitError{code, err}
}

// usageErrorf is an error of the operator's: exit code 2.
func usageErrorf(format string, args ...any) error {
	return withCode(exitUsage, fmt.Errorf(format, args...))
}

// exitCode is what to exit with after err. Every error of ours is coded where
// a command returns; what is not coded comes from the parsing of the command
// line.
func exitCode(err error) int {
	var coded *exitError
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &coded):
		return coded.code
	default:
		return exitUsage
	}
}
