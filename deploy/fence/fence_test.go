package fence

import (
	"strings"
	"testing"
)

// A fence that would mean nothing is refused, with the reason.
func TestValidate(t *testing.T) {
	for _, c := range []struct {
		change func(*Config)
		want   string // "" where there is nothing wrong
	}{
		{func(*Config) {}, ""},
		{func(c *Config) { c.Egress = &Egress{Port: 15001} }, ""},
		{func(c *Config) { c.ToolPorts = nil }, "tool-port is missing"},
		{func(c *Config) { c.ToolPorts = []int{8080, 0} }, "tool-port must be a port from 1 to 65535; it is 0"},
		{func(c *Config) { c.GatePort = 65536 }, "gate-port must be a port from 1 to 65535; it is 65536"},
		{func(c *Config) { c.GatePort = 8080 }, "gate-port must not be a tool port: 8080 is both"},
		{func(c *Config) { c.ToolUID = 1337 }, "tool-uid must not be the gate's: with 1337 for both"},
		{func(c *Config) { c.ToolUID = 0 }, "tool-uid must not be 0: root may become the gate's user"},
		{func(c *Config) { c.GateUID = 0 }, "gate-uid must not be 0: root of every other container would pass for the gate"},
		{func(c *Config) { c.Egress = &Egress{Port: 8080} }, "egress-port must be a listener of its own: 8080"},
		{func(c *Config) { c.Egress = &Egress{Port: 15006} }, "egress-port must be a listener of its own: 15006"},
		{func(c *Config) { c.Egress = &Egress{Port: 70000} }, "egress-port must be a port"},
		{func(c *Config) { c.Egress = &Egress{Allow: []Destination{to("10.0.0.0/8", 0, "tcp")}} }, "egress-allow must be a port"},
	} {
		cfg := config(c.change)
		var found []string
		cfg.Validate(func(flag, reason string) { found = append(found, flag+" "+reason) })
		got := strings.Join(found, "\n")
		if (c.want == "") != (got == "") || !strings.HasPrefix(got, c.want) {
			t.Errorf("%+v: %q; want %q", cfg, got, c.want)
		}
	}
}

func TestDestinationIsWrittenAsTheFlagTakesIt(t *testing.T) {
	for _, c := range []struct {
		d    Destination
		want string
	}{
		{to("10.0.0.0/8", 443, "tcp"), "10.0.0.0/8:443"},
		{to("10.0.0.10/32", 53, "udp"), "10.0.0.10/32:53/udp"},
		{to("2001:db8::/32", 443, "tcp"), "[2001:db8::/32]:443"},
	} {
		if got := c.d.String(); got != c.want {
			t.Errorf("%q; want %q", got, c.want)
		}
	}
}
