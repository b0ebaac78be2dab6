// Command load measures Sidegate beside others. `load bench` does all of it;
// the other commands are the servers and the crowds that it starts as
// processes of their own.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"sidegate/test/load/drive"
	"sidegate/test/load/run"
	"sidegate/test/load/serve"
	"sidegate/test/load/subject"
)

func main() {
	if err := command(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

func command(args []string) error {
	switch {
	case len(args) > 1 && args[0] == "serve":
		return serveTools(args[1], args[2:])
	case len(args) == 5 && args[0] == "hold":
		return hold(drive.Door{Addr: args[2], Path: args[3]}, args[1], args[4])
	case len(args) > 0 && args[0] == "bench":
		return bench(args[1:])
	case len(args) == 2 && args[0] == "table":
		return table(args[1])
	}
	return fmt.Errorf("use: load bench [FLAGS]; load table FILE; load serve stdio|fast|plain|relay; load hold KIND ADDR PATH N")
}

// serveTools is one of the servers.
func serveTools(kind string, args []string) error {
	flags := flag.NewFlagSet("serve", flag.ExitOnError)
	modern := flags.Bool("modern", false, "speak 2026-07-28 only")
	if err := flags.Parse(args); err != nil {
		return err
	}
	tools := serve.Tools{Modern: *modern}
	if kind == "stdio" {
		return tools.Stdio(os.Stdin, os.Stdout)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println("serves at", l.Addr())
	switch kind {
	case "fast":
		return tools.Fast(l)
	case "plain":
		return tools.Plain(l)
	case "relay":
		return serve.Relay(l, flags.Arg(0))
	}
	return fmt.Errorf("there is no server of the kind %q", kind)
}

// hold holds streams open until stdin ends, and tells what they have heard.
func hold(d drive.Door, kind, number string) error {
	n, err := strconv.Atoi(number)
	if err != nil {
		return err
	}
	crowd, err := drive.Gather(context.Background(), d, kind, n)
	if err != nil {
		return err
	}
	defer crowd.Close()
	news := json.NewEncoder(os.Stdout)
	if err := news.Encode(crowd.Await(0, 0)); err != nil {
		return err
	}
	for orders := json.NewDecoder(os.Stdin); ; {
		var order subject.Order
		if err := orders.Decode(&order); err != nil {
			return nil // nobody needs the crowd any more
		}
		if err := news.Encode(crowd.Await(order.Each, order.While)); err != nil {
			return err
		}
	}
}

// bench runs the scenarios.
func bench(args []string) error {
	b := &run.Bench{Out: os.Stdout, Strict: run.Strict(), Commit: commit()}
	flags := flag.NewFlagSet("bench", flag.ExitOnError)
	flags.BoolVar(&b.Quick, "quick", false, "only see that everything works: two minutes")
	flags.IntVar(&b.Rounds, "rounds", 0, "turns of each subject in a scenario (5, quick 1)")
	flags.DurationVar(&b.For, "for", 0, "how long a turn takes (5s, quick 500ms)")
	flags.IntVar(&b.Count, "count", 0, "streams and sessions in one gate (18000, quick 1000)")
	flags.DurationVar(&b.Churn, "churn", 0, "how long sessions come and go (1h, quick 5s)")
	only := flags.String("only", "", "run the scenarios whose name matches this `expression`")
	raw := flags.String("raw", "", "write every number to this `file`, as JSON lines (a new one in test/load/results)")
	flags.StringVar(&b.Profiles, "perf", "", "profile the gate's turns with perf, into this `directory`; take no numbers from such a run")
	flags.StringVar(&subject.Binary, "gate", subject.Binary, "the gate that is measured")
	if err := flags.Parse(args); err != nil {
		return err
	}
	defaults(b)
	var err error
	if *only != "" {
		if b.Only, err = regexp.Compile(*only); err != nil {
			return err
		}
	}
	file, err := create(*raw)
	if err != nil {
		return err
	}
	defer file.Close()
	b.Raw = file
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	err = b.Run(ctx)
	fmt.Println("raw results:", file.Name())
	return err
}

// defaults fills in what was not said.
func defaults(b *run.Bench) {
	full := run.Bench{Rounds: 5, For: 5 * time.Second, Count: 18_000, Churn: time.Hour}
	if b.Quick {
		full = run.Bench{Rounds: 1, For: 500 * time.Millisecond, Count: 1000, Churn: 5 * time.Second}
	}
	if b.Rounds == 0 {
		b.Rounds = full.Rounds
	}
	if b.For == 0 {
		b.For = full.For
	}
	if b.Count == 0 {
		b.Count = full.Count
	}
	if b.Churn == 0 {
		b.Churn = full.Churn
	}
}

// table prints raw results as PROOF.md has them.
func table(name string) error {
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	return run.Markdown(os.Stdout, file)
}

func create(name string) (*os.File, error) {
	if name == "" {
		name = filepath.Join("test", "load", "results", time.Now().UTC().Format("20060102T150405Z")+".jsonl")
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return nil, err
	}
	return os.Create(name)
}

// commit is the commit that is measured, with a mark where the tree has been
// changed since.
func commit() string {
	out, err := exec.Command("git", "describe", "--always", "--dirty", "--abbrev=12").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}
