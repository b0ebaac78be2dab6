package fence

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Remove takes out every rule and chain of any fence, in every backend that is
// installed. Other rules stay as they are. did is told of each command that was
// run.
func Remove(families []Family, did func(Command)) error {
	installed := Installed()
	if len(installed) == 0 {
		return ErrNoProgram
	}
	if err := lacksPrivilege(); err != nil {
		return err
	}
	var failed []error
	absent := 0
	for _, b := range installed {
		err := b.sweepAll(families, did)
		if errors.Is(err, errNoBackend) {
			absent++ // and so are rules
			if absent < len(installed) {
				continue
			}
		}
		if err != nil {
			failed = append(failed, fmt.Errorf("backend %s: %w", b.Name, err))
		}
	}
	return errors.Join(failed...)
}

func (b Backend) sweepAll(families []Family, did func(Command)) error {
	for _, family := range families {
		if err := b.sweep(family, nil, did); err != nil {
			return err
		}
	}
	return nil
}

// sweep takes out all that is a fence's in one family and is not to be kept:
// jumps first, for a chain to which something leads cannot be deleted.
func (b Backend) sweep(family Family, keep []chain, did func(Command)) error {
	tables := b.tables(family)
	if len(tables) == 0 {
		return nil
	}
	w, err := b.work(family, did)
	if err != nil {
		return err
	}
	for _, table := range tables {
		kept := slices.DeleteFunc(slices.Clone(keep), func(c chain) bool { return c.table != table })
		if err := w.sweepTable(table, kept); err != nil {
			return err
		}
	}
	return nil
}

// hooks are where jumps of ours are.
var hooks = map[string][]string{filter: {"INPUT", "OUTPUT"}, nat: {"PREROUTING", "OUTPUT"}}

func (w *work) sweepTable(table string, keep []chain) error {
	for _, hook := range hooks[table] {
		if err := w.sweepHook(table, hook, keep); err != nil {
			return err
		}
	}
	names, err := w.tables.ListChains(table)
	if err != nil {
		return w.explain(err)
	}
	var steps []step
	for _, name := range names {
		if strings.HasPrefix(name, prefix) && !slices.ContainsFunc(keep, func(c chain) bool { return c.name == name }) {
			steps = append(steps, step{verb: flushChain, table: table, chain: name, why: "out with it"}, step{verb: deleteChain, table: table, chain: name, why: "out with it"})
		}
	}
	return w.run(steps...)
}

// sweepHook takes out the jumps, last first, as their numbers change. One that
// is kept is kept once, in the first place.
func (w *work) sweepHook(table, hook string, keep []chain) error {
	rules, err := w.list(table, hook)
	if err != nil {
		return err
	}
	for i, r := range slices.Backward(rules) {
		name, ours := strings.CutPrefix(r, "-A "+hook+" -j "+prefix)
		if !ours || i == 0 && slices.ContainsFunc(keep, func(c chain) bool { return c.hook == hook && c.name == prefix+name }) {
			continue
		}
		if err := w.run(step{verb: deleteRule, table: table, chain: hook, spec: []string{strconv.Itoa(i + 1)}, why: "out with it"}); err != nil {
			return err
		}
	}
	return nil
}
