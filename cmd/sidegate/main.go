// Command sidegate is the gate's executable: it reads flags, environment and
// file, the only place of the project that does, builds the backends, and
// hands both to package proxy. Each subcommand has a file of its own.
//
// It may import every room; no room imports it.
package main

import (
	"os"
)

func main() {
	os.Exit(execute(os.Args[1:], os.Stdout, os.Stderr))
}
