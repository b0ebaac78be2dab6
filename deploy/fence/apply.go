package fence

import (
	"crypto/rand"
	"fmt"
	"slices"

	"github.com/coreos/go-iptables/iptables"
)

// A work is one family's part of an Apply or a Remove.
type work struct {
	backend Backend
	family  Family
	tables  *iptables.IPTables
	did     func(Command) // is told of each command that has changed something
}

func (b Backend) work(family Family, did func(Command)) (*work, error) {
	t, err := b.open(family)
	if err != nil {
		return nil, err
	}
	return &work{b, family, t, did}, nil
}

// Apply puts the fence in, and takes out what is left of another. Where it is
// in place already nothing changes. Wherever it ends, each family is as it was
// or shut: the tool server is open to nobody on a new way, and to the gate
// when all is in place. CheckHere must have passed. did is told of each command
// that was run.
func Apply(c Config, b Backend, families []Family, did func(Command)) error {
	if err := b.lacks(); err != nil {
		return err
	}
	var works []*work
	for _, family := range families {
		w, err := b.work(family, did)
		if err != nil {
			return err
		}
		works = append(works, w)
	}
	if err := build(&c, works); err != nil {
		return err
	}
	return sweepOthers(&c, b, families, did)
}

// build fills filter in all families before nat in any.
func build(c *Config, works []*work) error {
	for _, table := range []string{filter, nat} {
		for _, w := range works {
			if err := w.buildTable(c, table); err != nil {
				return err
			}
		}
	}
	for _, w := range works {
		for _, ch := range c.chains(w.family) {
			if err := w.unbolt(&ch); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *work) buildTable(c *Config, table string) error {
	for _, ch := range c.chains(w.family) {
		if ch.table != table {
			continue
		}
		if err := w.ensure(&ch); err != nil {
			return err
		}
	}
	return nil
}

// ensure puts ch in, unless it is there.
func (w *work) ensure(ch *chain) error {
	exists, place, err := w.find(ch)
	if err != nil {
		return err
	}
	if exists && place > 0 {
		whole, err := w.whole(ch)
		switch {
		case err != nil:
			return err
		case whole && place == 1:
			return nil
		case whole:
			return w.run(ch.lead())
		}
		// Somebody has changed it. It stays, under another name, until the
		// new one is in.
		exists = false
		old := step{renameChain, ch.table, ch.name, []string{prefix + "OLD_" + rand.Text()[:8]}, "a chain that somebody has changed"}
		if err := w.run(old); err != nil {
			return err
		}
	}
	return w.run(ch.build(exists)...)
}

// find tells whether ch exists, and the place of the jump to it in its hook; 0
// where nothing leads to it.
func (w *work) find(ch *chain) (exists bool, place int, err error) {
	names, err := w.tables.ListChains(ch.table)
	if err != nil {
		return false, 0, w.explain(err)
	}
	rules, err := w.list(ch.table, ch.hook)
	if err != nil {
		return false, 0, err
	}
	return slices.Contains(names, ch.name), slices.Index(rules, "-A "+ch.hook+" -j "+ch.name) + 1, nil
}

// list returns the rules of a chain, in order.
func (w *work) list(table, name string) ([]string, error) {
	lines, err := w.tables.List(table, name)
	if err != nil {
		return nil, w.explain(err)
	}
	return lines[1:], nil // the first is the chain itself
}

// whole tells whether all rules of ch are there, and beside them at most its
// bolts.
func (w *work) whole(ch *chain) (bool, error) {
	rules, err := w.list(ch.table, ch.name)
	if err != nil {
		return false, err
	}
	for _, r := range ch.rules {
		if there, err := w.exists(ch, r); err != nil || !there {
			return false, err
		}
	}
	bolts := 0
	for _, r := range ch.bolts {
		there, err := w.exists(ch, r)
		if err != nil {
			return false, err
		}
		if there {
			bolts++
		}
	}
	return len(rules) == len(ch.rules)+bolts, nil
}

// exists reads the program's exit code 1 as "no", whatever it was: so on a "no"
// something is done that fails for the same reason, or nothing is opened.
func (w *work) exists(ch *chain, r rule) (bool, error) {
	there, err := w.tables.Exists(ch.table, ch.name, r.spec...)
	if err != nil {
		return false, w.explain(err)
	}
	return there, nil
}

// unbolt draws the bolts of ch.
func (w *work) unbolt(ch *chain) error {
	for i, s := range ch.unbolt() {
		there, err := w.exists(ch, ch.bolts[i])
		if err != nil {
			return err
		}
		if !there {
			continue
		}
		if err := w.run(s); err != nil {
			return err
		}
	}
	return nil
}

func (w *work) run(steps ...step) error {
	for _, s := range steps {
		if err := s.run(w.tables); err != nil {
			return w.explain(err)
		}
		w.did(s.command(w.backend, w.family))
	}
	return nil
}

func (w *work) explain(err error) error { return explain(w.backend.Programs[w.family], err) }

// sweepOthers takes out what is no part of the fence: chains of an earlier one,
// also in the other backend.
func sweepOthers(c *Config, mine Backend, families []Family, did func(Command)) error {
	for _, b := range Installed() {
		for _, family := range families {
			var keep []chain
			if b.Name == mine.Name {
				keep = c.chains(family)
			}
			if err := b.sweep(family, keep, did); err != nil && b.Name == mine.Name {
				return fmt.Errorf("the fence is up, but an older one is not out: %w", err)
			}
		}
	}
	return nil
}
