// Command driver is the client that the conformance suite judges: it puts the
// gate before the suite's server and goes through the gate what the scenario
// asks for, so that it is the gate whose requests are judged.
//
//	driver URL
//
// The suite names the scenario in the environment. What else it needs is there
// as well: DRIVER_GATE, the gate, and DRIVER_SPEAKS: legacy or modern, over HTTP,
// or websocket, which is modern too.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"regexp"
	"syscall"
	"time"
)

func main() {
	if err := run(os.Args[len(os.Args)-1]); err != nil {
		log.Fatal(err)
	}
}

// run is the whole life of the gate.
func run(server string) error {
	gate := exec.Command(os.Getenv("DRIVER_GATE"), "run", "--listen", "127.0.0.1:0", "--admin", "off",
		"--stop-timeout", "1s", "--backend", server)
	gate.Stderr = os.Stderr
	said, err := gate.StdoutPipe()
	if err != nil {
		return err
	}
	if err := gate.Start(); err != nil {
		return err
	}
	defer time.AfterFunc(patience, func() { _ = gate.Process.Kill() }).Stop() // what waits for it fails then
	lines := bufio.NewReader(said)
	door, err := doorIn(lines)
	if err != nil {
		return errors.Join(err, gate.Process.Kill(), gate.Wait())
	}
	ended := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.Discard, lines) // or the gate would wait for a reader
		ended <- errors.Join(err, gate.Wait())
	}()
	err = drive(door)
	return errors.Join(err, gate.Process.Signal(syscall.SIGTERM), <-ended)
}

// patience is how long all may take: the suite waits 30 seconds, and then ends
// the driver without a chance to end the gate.
const patience = 25 * time.Second

var doorAt = regexp.MustCompile(`MCP at ([^\s"]+)`)

// doorIn reads what the gate says until it says where it listens.
func doorIn(lines *bufio.Reader) (string, error) {
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return "", fmt.Errorf("the gate does not say where it listens: %w", err)
		}
		if at := doorAt.FindStringSubmatch(line); at != nil {
			return at[1], nil
		}
	}
}

// drive goes through the scenario that the environment names.
func drive(door string) error {
	scenario := os.Getenv("MCP_CONFORMANCE_SCENARIO")
	speaks := os.Getenv("DRIVER_SPEAKS")
	c := &client{door: door, modern: speaks != "legacy"}
	steps := scenarios[scenario]
	if steps == nil {
		return fmt.Errorf("no steps for %q", scenario)
	}
	if speaks == "websocket" {
		if err := c.dial(); err != nil {
			return err
		}
		defer c.socket.Close()
	}
	if err := c.open(); err != nil {
		return fmt.Errorf("open: %w", err)
	}
	if err := c.listTools(); err != nil {
		return err
	}
	return steps(c)
}

// scenarios are the steps after tools/list.
var scenarios = map[string]func(*client) error{
	"tools_call":               func(c *client) error { return c.callTool("add_numbers", object{"a": 5, "b": 3}) },
	"request-metadata":         func(*client) error { return nil },
	"json-schema-ref-no-deref": func(*client) error { return nil },
	"sse-retry":                func(c *client) error { return c.callTool("test_reconnection", object{}) },
	"http-standard-headers":    everything,
	"http-custom-headers":      asTold,
	"http-invalid-tool-headers": func(c *client) error {
		for _, t := range c.tools {
			if err := c.callTool(t.Name, object{"region": "us-west1"}); err != nil {
				return err
			}
		}
		return nil
	},
	"sep-2322-client-request-state": func(c *client) error {
		c.meanwhile = func() error { return c.callTool("test_mrtr_unrelated", object{}) }
		for _, name := range []string{"test_mrtr_echo_state", "test_mrtr_no_state", "test_mrtr_no_result_type"} {
			if err := c.callTool(name, object{}); err != nil {
				return err
			}
		}
		return nil
	},
}

// everything lists all that there is and uses it.
func everything(c *client) error {
	for _, t := range c.tools {
		if err := c.callTool(t.Name, object{}); err != nil {
			return err
		}
	}
	var resources struct{ Resources []struct{ URI string } }
	if err := c.request("resources/list", object{}, &resources); err != nil {
		return err
	}
	for _, r := range resources.Resources {
		if err := c.request("resources/read", object{"uri": r.URI}, nil); err != nil {
			return err
		}
	}
	var prompts struct{ Prompts []struct{ Name string } }
	if err := c.request("prompts/list", object{}, &prompts); err != nil {
		return err
	}
	for _, p := range prompts.Prompts {
		if err := c.request("prompts/get", object{"name": p.Name}, nil); err != nil {
			return err
		}
	}
	return nil
}

// asTold makes the calls that the suite hands over.
func asTold(c *client) error {
	var told struct {
		ToolCalls []struct {
			Name      string
			Arguments object
		}
	}
	if err := json.Unmarshal([]byte(os.Getenv("MCP_CONFORMANCE_CONTEXT")), &told); err != nil {
		return err
	}
	for _, call := range told.ToolCalls {
		if err := c.callTool(call.Name, call.Arguments); err != nil {
			return err
		}
	}
	return nil
}
