package proxy

import (
	"fmt"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

func (c *Config) validateBackends() []error {
	if len(c.Backends) == 0 {
		return []error{&FlagError{Flag: "backend", Reason: `is missing: name the tool server, as in: sidegate run -- npx -y @modelcontextprotocol/server-filesystem "$PWD"`}}
	}
	var errs []error
	for i := range c.Backends {
		b := &c.Backends[i]
		add := func(flag, reason string) {
			if reason != "" {
				errs = append(errs, &FlagError{Backend: b.Name, Flag: flag, Reason: reason})
			}
		}
		b.validate(add)
		if b.Isolation == IsolationPrincipal && c.TokenFile == "" {
			add("isolation", IsolationPrincipal+" needs --token-file: without it callers cannot be told apart")
		}
		if slices.ContainsFunc(c.Backends[:i], func(o BackendConfig) bool { return o.Name == b.Name }) {
			errs = append(errs, &FlagError{Backend: b.Name, Flag: "backend", Reason: fmt.Sprintf("stands for two backends named %q; write --backend NAME=URL, with a name of its own for each", b.Name)})
		}
	}
	return errs
}

var backendName = regexp.MustCompile(`^[a-z0-9-]{1,63}$`)

func (b *BackendConfig) validate(add func(flag, reason string)) {
	if !backendName.MatchString(b.Name) {
		add("backend", fmt.Sprintf("must have a name of 1 to 63 characters a-z, 0-9 and -; it is %q", b.Name))
	}
	switch {
	case len(b.Command) > 0 && b.URL != "":
		add("url", "cannot stand beside command: give one of the two")
	case len(b.Command) == 0 && b.URL == "":
		add("command", "must have a command or a url")
	case b.URL != "":
		add("url", checkURL(b.URL))
	default:
		add("command", checkCommand(b.Command))
	}
	b.validateKind(add)
	b.validateSharing(add)
	add("era", checkEra(b.Era))
	add("max-parked", checkCount(b.MaxParked, 1))
	add("park-timeout", checkTimeout(b.ParkTimeout))
	add("max-sessions", checkCount(b.MaxSessions, 1))
	add("max-calls", checkCount(b.MaxCalls, 1))
	add("max-links", checkCount(b.MaxLinks, 1))
	add("warm", checkCount(b.Warm, 0))
	if b.Warm > b.MaxLinks && b.MaxLinks > 0 {
		add("warm", fmt.Sprintf("must be at most --max-links, %d; it is %d", b.MaxLinks, b.Warm))
	}
	add("link-wait", checkWait(b.LinkWait))
	add("call-timeout", checkTimeout(b.CallTimeout))
	add("stop-timeout", checkTimeout(b.StopTimeout))
}

// validateKind checks what only one kind of server has: a command its
// environment, one that is spoken to over HTTP other paths.
func (b *BackendConfig) validateKind(add func(flag, reason string)) {
	if len(b.Env) > 0 && b.URL != "" {
		add("env", "means nothing for a URL: it is a command that is given variables")
	}
	for _, e := range b.Env {
		add("env", checkEnv(e))
	}
	scheme, _, _ := strings.Cut(b.URL, "://")
	if len(b.Pass) > 0 && !slices.Contains(httpSchemes, scheme) {
		add("pass", "means something for a URL only that starts with "+strings.Join(httpSchemes, "://, ")+"://: other servers have no paths")
	}
	add("probe", checkProbe(b.Probe, scheme))
	for _, p := range b.Pass {
		add("pass", checkPass(p))
	}
}

// checkProbe takes what is sent to the server as it stands: a path, and perhaps
// a query.
func checkProbe(target, scheme string) string {
	odd := func(c rune) bool { return c <= ' ' || c >= 0x7f || c == '#' || c == '\\' }
	switch {
	case target == "":
		return ""
	case !slices.Contains(httpSchemes, scheme):
		return "means something for a URL only that starts with " + strings.Join(httpSchemes, "://, ") + "://: other servers have no paths"
	case !strings.HasPrefix(target, "/") || strings.ContainsFunc(target, odd):
		return fmt.Sprintf("must be a path that starts with /, without spaces, and what is not ASCII percent-encoded; it is %q", target)
	}
	return ""
}

func (b *BackendConfig) validateSharing(add func(flag, reason string)) {
	switch b.Isolation {
	case IsolationSession, IsolationPrincipal, IsolationShared:
	default:
		add("isolation", fmt.Sprintf("must be %s, %s or %s; it is %q", IsolationSession, IsolationPrincipal, IsolationShared, b.Isolation))
	}
	if reason := checkCount(b.Links, 1); reason != "" {
		add("links", reason)
	} else if b.Links > 1 && b.Isolation != IsolationShared {
		add("links", fmt.Sprintf("means something with --isolation shared only; it is %d, and the isolation %s", b.Links, b.Isolation))
	} else if b.Isolation == IsolationShared && b.Links >= b.MaxLinks && b.MaxLinks > 0 {
		add("links", fmt.Sprintf("must be less than --max-links, %d, since a call that may be asked something back has a link to itself; it is %d", b.MaxLinks, b.Links))
	}
}

// The values of BackendConfig.Era.
const (
	EraAuto   = "auto"
	EraLegacy = "legacy"
	EraModern = "modern"
)

func checkEra(era string) string {
	if era != EraAuto && era != EraLegacy && era != EraModern {
		return fmt.Sprintf("must be %s, %s or %s; it is %q", EraAuto, EraLegacy, EraModern, era)
	}
	return ""
}

// The checks below return what is allowed and what was given, or "".

// backendSchemes are the kinds of server that a URL can name, those first that
// are spoken to over HTTP.
var (
	backendSchemes = []string{"http", "https", "http+unix", "unix", "tcp", "ws", "wss"}
	httpSchemes    = backendSchemes[:3]
)

func checkURL(s string) string {
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok || !slices.Contains(backendSchemes, scheme) {
		allowed := "must be a URL that starts with " + strings.Join(backendSchemes, "://, ") + "://"
		if strings.Contains(s, "@") {
			return allowed // without s, which may hold a password
		}
		return fmt.Sprintf("%s; it is %q", allowed, s)
	}
	switch scheme {
	case "unix":
		if !strings.HasPrefix(rest, "/") || len(rest) < 2 || strings.ContainsRune(rest, 0) {
			return fmt.Sprintf("must be unix:///PATH; it is %q", s)
		}
		return ""
	case "tcp":
		return checkTCP(s, rest)
	case "http+unix":
		return checkSocketURL(s, rest)
	}
	return checkWebURL(s, scheme)
}

func checkTCP(s, address string) string {
	host, port, err := net.SplitHostPort(address)
	if n, bad := strconv.ParseUint(port, 10, 16); err != nil || bad != nil || n == 0 || host == "" || strings.ContainsAny(host, "/@ \x00") {
		return fmt.Sprintf("must be tcp://HOST:PORT; it is %q", s)
	}
	return ""
}

// checkSocketURL: where a URL has its host, this kind has the path of a socket,
// percent-encoded.
func checkSocketURL(s, rest string) string {
	host, _, _ := strings.Cut(rest, "/")
	path, err := url.PathUnescape(host)
	if err != nil || !strings.HasPrefix(path, "/") || len(path) < 2 || strings.ContainsAny(path, "@\x00") || strings.Contains(rest, "#") {
		return fmt.Sprintf("must be http+unix://SOCKET/PATH, where each / of SOCKET is written %%2F, as in http+unix://%%2Frun%%2Ftool.sock/mcp; it is %q", s)
	}
	return ""
}

func checkWebURL(s, scheme string) string {
	form := "must be " + scheme + "://HOST[:PORT][/PATH]"
	u, err := url.Parse(s)
	if err != nil {
		return form // without s, which may hold a password
	}
	if u.User != nil {
		return "must not hold a user or a password: they would end up in logs"
	}
	if _, bad := strconv.ParseUint(u.Port(), 10, 16); u.Hostname() == "" || u.Fragment != "" || bad != nil && u.Port() != "" {
		return fmt.Sprintf("%s; it is %q", form, s)
	}
	return ""
}

// ownPaths are served by the gate itself, and with all below them are no other
// server's.
var ownPaths = []string{"/mcp", "/sse", "/messages", "/ws", "/servers", "/healthz"}

// checkPass takes a path that all readers read alike: there is nothing in it to
// decode or to clean.
func checkPass(p string) string {
	plain := func(c rune) bool { return c > ' ' && c < 0x7f && !strings.ContainsRune(`%?#*;\"<>`, c) }
	if !strings.HasPrefix(p, "/") || strings.ContainsFunc(p, func(c rune) bool { return !plain(c) }) {
		return fmt.Sprintf("must be a path that starts with / and is plain, without %%, ?, ; and *; one that ends with / lets all below it through; it is %q", p)
	}
	for segment := range strings.SplitSeq(strings.TrimSuffix(p[1:], "/"), "/") {
		if segment == "." || segment == ".." || segment == "" && p != "/" {
			return fmt.Sprintf("must not have empty parts, . or .. in it; it is %q", p)
		}
	}
	for _, own := range ownPaths {
		if p == own || strings.HasPrefix(p, own+"/") || strings.HasSuffix(p, "/") && strings.HasPrefix(own, p) {
			return fmt.Sprintf("must leave %s to the gate itself; it is %q", own, p)
		}
	}
	return ""
}

func checkCommand(argv []string) string {
	if argv[0] == "" {
		return "must start with the program's name; it starts with an empty argument"
	}
	if slices.ContainsFunc(argv, func(a string) bool { return strings.ContainsRune(a, 0) }) {
		return "must not hold a NUL character"
	}
	return ""
}

func checkEnv(s string) string {
	name, _, _ := strings.Cut(s, "=")
	if name == "" || strings.ContainsAny(name, " \t\n") || strings.ContainsRune(s, 0) {
		// The value stays out of the message: it may well be a secret.
		return fmt.Sprintf("must be NAME=VALUE, or NAME to pass on the gate's own value; its name is %q", name)
	}
	return ""
}
