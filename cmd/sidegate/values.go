package main

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// value is a pflag.Value over *p: a flag, a variable and a key of the file all
// go through Set, so that a value means one thing wherever it stands.
type value[T any] struct {
	p      *T
	kind   string // for the help
	parse  func(string) (T, error)
	format func(T) string
}

func (v *value[T]) Set(s string) error {
	x, err := v.parse(s)
	if err == nil {
		*v.p = x
	}
	return err
}

func (v *value[T]) String() string { return v.format(*v.p) }
func (v *value[T]) Type() string   { return v.kind }

// list is a pflag.Value that grows with each Set. A list with commas takes
// several elements in one string, the others only one, since an element may
// hold a comma itself.
type list[T any] struct {
	p      *[]T
	kind   string
	commas bool
	parse  func(string) (T, error)
}

func (l *list[T]) Set(s string) error {
	parts := []string{s}
	if l.commas {
		parts = strings.Split(s, ",")
	}
	var added []T
	for _, part := range parts {
		x, err := l.parse(strings.TrimSpace(part))
		if err != nil {
			return err
		}
		added = append(added, x)
	}
	*l.p = append(*l.p, added...)
	return nil
}

// String is what pflag shows as the default: lists start empty.
func (l *list[T]) String() string { return "" }
func (l *list[T]) Type() string   { return l.kind }
func (l *list[T]) reset()         { *l.p = nil }

// A resetter is a list, whatever its elements are.
type resetter interface{ reset() }

func stringValue(p *string, kind string) *value[string] {
	return &value[string]{p, kind, parseString, func(s string) string { return s }}
}

// choiceValue takes one of a few words.
func choiceValue(p *string, words ...string) *value[string] {
	parse := func(s string) (string, error) {
		for _, w := range words {
			if s == w {
				return s, nil
			}
		}
		return "", fmt.Errorf("must be %s; it is %q", strings.Join(words, ", "), s)
	}
	return &value[string]{p, strings.Join(words, "|"), parse, func(s string) string { return s }}
}

func stringList(p *[]string, kind string, commas bool) *list[string] {
	return &list[string]{p, kind, commas, parseString}
}

func prefixList(p *[]netip.Prefix) *list[netip.Prefix] {
	return &list[netip.Prefix]{p, "CIDR", true, parsePrefix}
}

func countValue(p *int) *value[int] {
	return &value[int]{p, "N", parseCount, strconv.Itoa}
}

func rateValue(p *float64) *value[float64] {
	return &value[float64]{p, "N", parseRate, func(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }}
}

func sizeValue[T int | int64](p *T) *value[T] {
	parse := func(s string) (T, error) {
		n, err := parseSize(s)
		return T(n), err
	}
	return &value[T]{p, "SIZE", parse, func(n T) string { return formatSize(int64(n)) }}
}

func durationValue(p *time.Duration) *value[time.Duration] {
	return &value[time.Duration]{p, "TIME", parseDuration, formatDuration}
}

func boolValue(p *bool) *value[bool] {
	return &value[bool]{p, "bool", parseBool, strconv.FormatBool}
}

// notValue is a flag that says what is not to be.
func notValue(p *bool) *value[bool] {
	not := !*p
	parse := func(s string) (bool, error) {
		b, err := parseBool(s)
		if err == nil {
			*p = !b
		}
		return b, err
	}
	return &value[bool]{&not, "bool", parse, strconv.FormatBool}
}

func parseString(s string) (string, error) {
	if s == "" {
		return "", errors.New("must not be empty")
	}
	return s, nil
}

func parseBool(s string) (bool, error) {
	switch s {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, fmt.Errorf("must be true or false; it is %q", s)
}

func parseCount(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil {
		return 0, fmt.Errorf("must be a whole number; it is %q", s)
	}
	return n, nil
}

func parseRate(s string) (float64, error) {
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
		return 0, fmt.Errorf("must be a number; it is %q", s)
	}
	return f, nil
}

// parsePrefix takes a single address too.
func parsePrefix(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return p, fmt.Errorf("must be an address or a network such as 10.0.0.0/8; it is %q", s)
	}
	return p.Masked(), nil
}

var sizeUnits = []struct {
	suffix string
	bytes  int64
}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}}

func parseSize(s string) (int64, error) {
	digits, unit := s, int64(1)
	for _, u := range sizeUnits {
		if d, ok := strings.CutSuffix(s, u.suffix); ok {
			digits, unit = d, u.bytes
		}
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n > math.MaxInt64/unit || n < math.MinInt64/unit {
		return 0, fmt.Errorf("must be bytes, as in 16777216 or 16MiB (KiB, MiB, GiB); it is %q", s)
	}
	return n * unit, nil
}

func formatSize(n int64) string {
	for _, u := range sizeUnits {
		if n != 0 && n%u.bytes == 0 {
			return strconv.FormatInt(n/u.bytes, 10) + u.suffix
		}
	}
	return strconv.FormatInt(n, 10)
}

func parseDuration(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0, fmt.Errorf("must be a time with its unit, such as 30s, 5m or 1h30m; it is %q", s)
	}
	return d, nil
}

// formatDuration is Duration.String without the zeros at the end: 1h, not 1h0m0s.
func formatDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}
