package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/spf13/pflag"

	"sidegate/proxy"
)

// A setting is a flag's value as it was said in the environment or the file.
type setting struct {
	flag   string
	where  string   // for problems
	values []string // several for a list
}

// A resolver puts together what the operator said in three places. Whoever
// speaks first keeps the word: flags, then environment, then file; and in the
// file a backend's own value before the one for all. A list is replaced by a
// higher place, not extended.
type resolver struct {
	*settings
	flags *pflag.FlagSet // over settings; parsed from the command line already

	found problems
	above map[string]bool   // whether a flag was set on the command line or in the environment
	where map[string]string // of each flag that was not set on the command line; for a backend's own, NAME FLAG
}

// resolve fills in what the command line left open, and returns an error with
// all problems that were found. command is what stands after "--".
func (r *resolver) resolve(environ, command []string) error {
	r.where = map[string]string{}
	r.apply(environSettings(environ, r.flags, &r.found))
	r.above = map[string]bool{}
	r.flags.VisitAll(func(f *pflag.Flag) { r.above[f.Name] = f.Changed })
	file := r.readFile()
	if file != nil {
		r.apply(file.settings)
	}
	r.gate.Backends = r.buildBackends(command, file)
	r.validate()
	return r.found.err()
}

// readFile returns nil where no file was named or it cannot be used at all.
func (r *resolver) readFile() *configFile {
	if r.file == "" {
		return nil
	}
	data, err := readBounded(r.file)
	if err != nil {
		r.found.add(r.place("config"), err.Error())
		return nil
	}
	return parseFile(r.file, data, r.flags, &r.found)
}

// maxFile is far more than a configuration needs, and little enough to hold.
const maxFile = 1 << 20

func readBounded(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(data) > maxFile {
		err = fmt.Errorf("%s is too large: a configuration has at most %d bytes", path, maxFile)
	}
	return data, err
}

// apply sets the flags that nobody has set so far. The others are set on a
// spare copy, so that a wrong value is found also where it is not used.
func (r *resolver) apply(layer []setting) {
	spare := flagSet(defaults().groups())
	for _, s := range layer {
		target := r.flags
		if r.flags.Changed(s.flag) {
			target = spare
		} else {
			r.where[s.flag] = s.where
		}
		setAll(target, s, &r.found)
	}
}

// setAll sets a flag to the values, through the flag's own parser. They replace
// what a list held.
func setAll(flags *pflag.FlagSet, s setting, found *problems) {
	flag := flags.Lookup(s.flag)
	if l, ok := flag.Value.(resetter); ok {
		l.reset()
	}
	for _, v := range s.values {
		if err := flag.Value.Set(v); err != nil {
			found.add(s.where, err.Error())
		}
	}
	flag.Changed = true
}

// place is where a flag got its value from.
func (r *resolver) place(flag string) string {
	return placeOf(r.where, flag)
}

// validate adds what is wrong with values that are well-formed each by itself,
// unless some are not: then a default would be judged in their stead.
func (r *resolver) validate() {
	err := r.gate.Validate()
	if len(r.found) > 0 || err == nil {
		return
	}
	for _, e := range split(err) {
		var wrong *proxy.FlagError
		if !errors.As(e, &wrong) {
			r.found.add("configuration", e.Error())
			continue
		}
		where := r.place(wrong.Flag)
		if own, ok := r.where[wrong.Backend+" "+wrong.Flag]; ok {
			where = own
		}
		if p := (problem{where, wrong.Reason}); !slices.Contains(r.found, p) { // once, not for each backend
			r.found = append(r.found, p)
		}
	}
}

// split takes apart what errors.Join put together.
func split(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	return []error{err}
}
