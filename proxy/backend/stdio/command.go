package stdio

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// inherited are the variables that a child gets without being named: those
// that the SDKs' stdio clients pass on. Others may hold the gate's secrets.
var inherited = []string{"HOME", "LOGNAME", "PATH", "SHELL", "TERM", "USER"}

// notFoundError is a command that cannot be run. It is an exec.ErrNotFound
// whatever the reason, and its cause too.
type notFoundError struct {
	text  string
	cause error
}

func (e *notFoundError) Error() string   { return e.text }
func (e *notFoundError) Unwrap() []error { return []error{exec.ErrNotFound, e.cause} }

// lookUp finds the program and makes its path absolute, so that what was
// checked at the start is what runs later.
func lookUp(program, dir string) (string, error) {
	file := program
	if dir != "" && strings.Contains(program, "/") && !filepath.IsAbs(program) {
		file = filepath.Join(dir, program)
	}
	path, err := exec.LookPath(file)
	if err == nil {
		path, err = filepath.Abs(path)
	}
	if err != nil {
		return "", &notFoundError{fmt.Sprintf("cannot run %q: %s", program, advice(program, err)), err}
	}
	return path, nil
}

// advice says why a look-up failed and what to do about it.
func advice(program string, err error) string {
	switch {
	case errors.Is(err, exec.ErrDot):
		return "it is found only in the current directory, which is not searched; write ./" + filepath.Base(program)
	case errors.Is(err, os.ErrPermission):
		return "it is not an executable file that this user may run; check its path and its mode"
	case errors.Is(err, exec.ErrNotFound):
		return "there is no such program in PATH; install it, correct its name, or give its full path"
	case errors.Is(err, os.ErrNotExist):
		return "there is no such file; correct the path"
	}
	return err.Error()
}

// environment makes the child's environment from the inherited variables and
// extra, where the later of two wins. missing are those of extra that were to
// be passed on and are not set.
func environment(extra []string) (env, missing []string, err error) {
	for _, name := range inherited {
		// A value that begins so is an exported shell function, which a shell
		// below would run; the SDKs leave it out as well.
		if value, ok := os.LookupEnv(name); ok && !strings.HasPrefix(value, "()") {
			env = append(env, name+"="+value)
		}
	}
	for _, variable := range extra {
		name, value, given := strings.Cut(variable, "=")
		if name == "" || strings.ContainsRune(variable, 0) {
			return nil, nil, fmt.Errorf("the environment variable %q cannot be set; write NAME or NAME=VALUE", name)
		}
		if !given {
			if value, given = os.LookupEnv(name); !given {
				missing = append(missing, name)
				continue
			}
		}
		env = append(without(env, name), name+"="+value)
	}
	return env, missing, nil
}

// without returns env without the variable name. It reuses env's memory.
func without(env []string, name string) []string {
	kept := env[:0]
	for _, variable := range env {
		if !strings.HasPrefix(variable, name+"=") {
			kept = append(kept, variable)
		}
	}
	return kept
}
