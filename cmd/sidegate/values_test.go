package main

import (
	"math"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/spf13/pflag"
)

func TestSizes(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "1": 1, "16777216": 16 << 20, "16MiB": 16 << 20, "64KiB": 64 << 10, "2GiB": 2 << 30,
		"8589934591GiB": 8589934591 << 30, "9223372036854775807": math.MaxInt64,
	} {
		if n, err := parseSize(text); err != nil || n != want {
			t.Errorf("parseSize(%q) = %d, %v; want %d", text, n, err, want)
		}
	}
	for _, text := range []string{"", "MiB", "16MB", "16mib", "1.5MiB", "16 MiB", "0x10", "1_000", "8589934592GiB", "9223372036854775808"} {
		n, err := parseSize(text)
		if err == nil {
			t.Errorf("parseSize(%q) = %d; want an error", text, n)
		}
	}
}

func TestTextOfSizesAndTimes(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 1: "1", 1000: "1000", 1024: "1KiB", 1536: "1536", 16 << 20: "16MiB", 3 << 30: "3GiB"} {
		if got := formatSize(n); got != want {
			t.Errorf("formatSize(%d) = %q; want %q", n, got, want)
		}
	}
	for d, want := range map[time.Duration]string{
		0: "0s", time.Second: "1s", 90 * time.Second: "1m30s", 30 * time.Minute: "30m", 24 * time.Hour: "24h",
		time.Hour + time.Second: "1h0m1s", 10 * time.Minute: "10m", 150 * time.Millisecond: "150ms",
	} {
		if got := formatDuration(d); got != want {
			t.Errorf("formatDuration(%v) = %q; want %q", d, got, want)
		}
	}
}

// What the help shows as a default can be written as a value, and means the
// default.
func TestDefaultsAreValues(t *testing.T) {
	s := defaults()
	flagSet(s.groups()).VisitAll(func(f *pflag.Flag) {
		if f.DefValue == "" {
			return // a list, or a text that is empty unless it is set
		}
		if err := f.Value.Set(f.DefValue); err != nil {
			t.Errorf("--%s %s: %v", f.Name, f.DefValue, err)
		}
		if got := f.Value.String(); got != f.DefValue {
			t.Errorf("--%s %s became %s", f.Name, f.DefValue, got)
		}
	})
	if want := defaults(); s.gate.MaxMessage != want.gate.MaxMessage || s.gate.SessionLifetime != want.gate.SessionLifetime {
		t.Errorf("setting the defaults changed them: %+v", s.gate)
	}
}

func TestWrongValues(t *testing.T) {
	flags := flagSet(defaults().groups())
	for _, c := range []struct{ flag, text, want string }{
		{"max-message", "16MB", `must be bytes, as in 16777216 or 16MiB (KiB, MiB, GiB); it is "16MB"`},
		{"grace", "25", `must be a time with its unit, such as 30s, 5m or 1h30m; it is "25"`},
		{"max-links", "many", `must be a whole number; it is "many"`},
		{"max-links", "1.5", `must be a whole number; it is "1.5"`},
		{"rate", "fast", `must be a number; it is "fast"`},
		{"rate", "NaN", `must be a number; it is "NaN"`},
		{"rate", "Inf", `must be a number; it is "Inf"`},
		{"trust-proxy", "10.0.0.0/33", `must be an address or a network such as 10.0.0.0/8; it is "10.0.0.0/33"`},
		{"trust-proxy", "10.0.0.0/8,here", `must be an address or a network such as 10.0.0.0/8; it is "here"`},
		{"trust-proxy", "fe80::1%eth0", `must be an address or a network such as 10.0.0.0/8; it is "fe80::1%eth0"`},
		{"log-level", "loud", `must be debug, info, warn, error; it is "loud"`},
		{"log-format", "JSON", `must be auto, json, console; it is "JSON"`},
		{"curl", "yes", `must be true or false; it is "yes"`},
		{"token-file", "", `must not be empty`},
		{"allow-host", "a,,b", `must not be empty`},
	} {
		err := flags.Lookup(c.flag).Value.Set(c.text)
		if err == nil || err.Error() != c.want {
			t.Errorf("--%s %q: %v\nwant %s", c.flag, c.text, err, c.want)
		}
	}
}

// A list takes all of a text or nothing of it.
func TestLists(t *testing.T) {
	s := defaults()
	flags := flagSet(s.groups())
	set := func(flag, text string) {
		t.Helper()
		if err := flags.Lookup(flag).Value.Set(text); err != nil {
			t.Fatal(err)
		}
	}
	set("trust-proxy", "10.1.2.3/8, 192.0.2.1")
	set("trust-proxy", "::1")
	want := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.0.2.1/32"), netip.MustParsePrefix("::1/128")}
	if !slices.Equal(s.gate.TrustProxy, want) {
		t.Errorf("--trust-proxy gave %v; want %v", s.gate.TrustProxy, want)
	}
	if err := flags.Lookup("trust-proxy").Value.Set("::2,x"); err == nil || len(s.gate.TrustProxy) != 3 {
		t.Errorf("half a list was taken: %v, %v", err, s.gate.TrustProxy)
	}
	set("env", "LIST=a,b")
	if want := []string{"LIST=a,b"}; !slices.Equal(s.backend.Env, want) {
		t.Errorf("--env gave %q; want %q: a value may hold a comma", s.backend.Env, want)
	}
}
