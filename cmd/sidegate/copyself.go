package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
)

const copySelfHelp = `Copy this program to DIR/sidegate, executable for everybody. Made for an init
container whose volume the tool server's own container mounts, so that it can
start its command with DIR/sidegate run. The file is there whole or not at all,
and one that is the same already stays as it is.`

func copySelfCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "copy-self DIR",
		Short: "Copy this program into a directory, for another container",
		Long:  copySelfHelp,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 || args[0] == "" {
				return usageErrorf("copy-self takes the directory to copy to, as in: sidegate copy-self /sidegate")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			self, err := os.Executable()
			if err != nil {
				return fmt.Errorf("cannot find this program's own file: %w", err)
			}
			to := filepath.Join(args[0], "sidegate")
			if err := copyProgram(self, to); err != nil {
				return fmt.Errorf("cannot copy %s to %s: %w", self, to, copyAdvice(err))
			}
			fmt.Fprintf(cmd.OutOrStdout(), "sidegate: copied to %s\n", to)
			return nil
		},
	}
}

// copyAdvice adds to err what to do about the usual ones.
func copyAdvice(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w; the directory must exist", err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w; user %d must be allowed to write there", err, os.Getuid())
	}
	return err
}

// programMode lets everybody run the copy: the tool server's container has
// another user.
const programMode = 0o755

// copyProgram puts the file at from to the path to, by a name of its own that
// is exchanged for the right one when it is complete.
func copyProgram(from, to string) error {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer source.Close()
	if info, err := os.Lstat(to); err == nil && !info.Mode().IsRegular() {
		return errors.New("something that is no file stands there; remove it")
	}
	if done, err := sameProgram(source, to); err != nil || done {
		return err
	}
	if _, err := source.Seek(0, io.SeekStart); err != nil {
		return err
	}
	copied, err := os.CreateTemp(filepath.Dir(to), ".sidegate-*")
	if err != nil {
		return err
	}
	defer os.Remove(copied.Name()) // what is left of a copy that failed
	err = fill(copied, source)
	if err := errors.Join(err, copied.Close()); err != nil {
		return err
	}
	return os.Rename(copied.Name(), to)
}

// fill makes f a program that is on the disk: a name must not come there
// before what it names.
func fill(f *os.File, source io.Reader) error {
	if _, err := io.Copy(f, source); err != nil {
		return err
	}
	if err := f.Chmod(programMode); err != nil { // whatever the umask
		return err
	}
	return f.Sync()
}

// sameProgram tells whether the file at path has source's bytes and is
// executable for everybody. It reads source.
func sameProgram(source *os.File, path string) (bool, error) {
	there, err := os.Open(path)
	if err != nil {
		return false, nil // not there or not readable: the copy says what is wrong, if anything is
	}
	defer there.Close()
	info, err := there.Stat()
	if err != nil || info.Mode().Perm() != programMode {
		return false, err
	}
	return sameBytes(source, there)
}

func sameBytes(a, b io.Reader) (bool, error) {
	bufA, bufB := make([]byte, 64<<10), make([]byte, 64<<10)
	for {
		n, errA := io.ReadFull(a, bufA)
		m, errB := io.ReadFull(b, bufB)
		if !bytes.Equal(bufA[:n], bufB[:m]) {
			return false, nil
		}
		if errA == nil && errB == nil {
			continue
		}
		return true, errors.Join(unlessEnd(errA), unlessEnd(errB))
	}
}

// unlessEnd is err, unless that is the end of a file.
func unlessEnd(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return err
}
