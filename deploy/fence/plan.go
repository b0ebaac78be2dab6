package fence

import (
	"strconv"
	"time"

	"github.com/coreos/go-iptables/iptables"
)

// lockWait is how long a command waits for another program that changes the
// rules, in whole seconds.
const lockWait = 5 * time.Second

// A Command is one call of an iptables program.
type Command struct {
	Family Family   `json:"family"`
	Why    string   `json:"why"`
	Argv   []string `json:"argv"` // the program first
}

// Plan is every command that changes something when Apply runs where there is
// no fence yet, in order. Between them Apply looks at what is there (-S, -C),
// and spares what is in place already.
func Plan(c Config, b Backend, families []Family) []Command {
	var all []Command
	for _, table := range []string{filter, nat} {
		for _, family := range families {
			for _, ch := range c.chains(family) {
				if ch.table == table {
					all = appendCommands(all, b, family, ch.build(false))
				}
			}
		}
	}
	for _, family := range families {
		for _, ch := range c.chains(family) {
			all = appendCommands(all, b, family, ch.unbolt())
		}
	}
	return all
}

func appendCommands(all []Command, b Backend, family Family, steps []step) []Command {
	for _, s := range steps {
		all = append(all, s.command(b, family))
	}
	return all
}

// A verb is what a step does to a chain.
type verb string

const (
	newChain    verb = "-N"
	flushChain  verb = "-F"
	deleteChain verb = "-X"
	renameChain verb = "-E" // to spec
	appendRule  verb = "-A"
	insertRule  verb = "-I" // as the first
	deleteRule  verb = "-D"
)

// A step is a command before it is known with which program, for which family.
type step struct {
	verb         verb
	table, chain string
	spec         []string
	why          string
}

// build makes c, or fills it anew where it exists and nothing leads to it; the
// jump goes in last.
func (c *chain) build(exists bool) []step {
	steps := []step{{newChain, c.table, c.name, nil, "a chain of the fence, to which nothing leads yet"}}
	if exists {
		steps[0] = step{flushChain, c.table, c.name, nil, "a chain that was left half-made"}
	}
	for _, rules := range [][]rule{c.rules, c.bolts} {
		for _, r := range rules {
			steps = append(steps, step{appendRule, c.table, c.name, r.spec, r.why})
		}
	}
	return append(steps, c.lead())
}

// lead makes the hook lead to c, before all else.
func (c *chain) lead() step { return step{insertRule, c.table, c.hook, c.jump(), c.why} }

func (c *chain) jump() []string { return []string{"-j", c.name} }

// unbolt is what opens the tool server to the gate, when all is in place.
func (c *chain) unbolt() []step {
	var steps []step
	for _, r := range c.bolts {
		steps = append(steps, step{deleteRule, c.table, c.name, r.spec, "the fence is whole: the gate may reach the tool server"})
	}
	return steps
}

// command is s as it is run, with what the library adds to it.
func (s step) command(b Backend, family Family) Command {
	argv := []string{b.Programs[family], "-t", s.table, string(s.verb), s.chain}
	if s.verb == insertRule {
		argv = append(argv, "1")
	}
	argv = append(argv, s.spec...)
	argv = append(argv, "--wait", strconv.Itoa(int(lockWait.Seconds())))
	return Command{Family: family, Why: s.why, Argv: argv}
}

// run runs s.
func (s step) run(t *iptables.IPTables) error {
	switch s.verb {
	case newChain:
		return t.NewChain(s.table, s.chain)
	case flushChain:
		return t.ClearChain(s.table, s.chain)
	case deleteChain:
		return t.DeleteChain(s.table, s.chain)
	case renameChain:
		return t.RenameChain(s.table, s.chain, s.spec[0])
	case appendRule:
		return t.Append(s.table, s.chain, s.spec...)
	case insertRule:
		return t.Insert(s.table, s.chain, 1, s.spec...)
	case deleteRule:
		return t.Delete(s.table, s.chain, s.spec...)
	}
	panic("BUG: no such verb: " + s.verb)
}
