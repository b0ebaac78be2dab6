package main

import (
	"regexp"
	"strings"

	"github.com/spf13/pflag"
)

const envPrefix = "SIDEGATE_"

// envName is the variable of a flag: --max-message is SIDEGATE_MAX_MESSAGE.
func envName(flag string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// environSettings picks the gate's own variables out of environ. Lists are
// separated by commas; an empty variable is none, since many launchers cannot
// leave one out. An unknown one is an error: a misspelt SIDEGATE_TOKEN_FILE
// would leave the gate open.
func environSettings(environ []string, flags *pflag.FlagSet, found *problems) []setting {
	names := map[string]*pflag.Flag{}
	var known []string
	flags.VisitAll(func(f *pflag.Flag) {
		names[envName(f.Name)] = f
		known = append(known, envName(f.Name))
	})
	var settings []setting
	for _, e := range environ {
		name, text, _ := strings.Cut(e, "=")
		if !strings.HasPrefix(name, envPrefix) || text == "" || serviceLink(name, text) {
			continue
		}
		flag, ok := names[name]
		if !ok {
			found.add(name, "unknown variable"+didYouMean(name, known))
			continue
		}
		s := setting{flag: flag.Name, where: name, values: []string{text}}
		if isList(flag) {
			s.values = strings.Split(text, ",")
		}
		settings = append(settings, s)
	}
	return settings
}

// setFromEnviron sets the flags that the command line left open, for commands
// that read no file. What is not used is looked at too, in spare, a set of the
// same flags. It returns which variable a flag has its value from.
func setFromEnviron(flags, spare *pflag.FlagSet, environ []string, found *problems) map[string]string {
	where := map[string]string{}
	for _, e := range environSettings(environ, flags, found) {
		target := flags
		if flags.Changed(e.flag) {
			target = spare
		} else {
			where[e.flag] = e.where
		}
		setAll(target, e, found)
	}
	return where
}

// serviceLink tells the variables that Kubernetes gives every container of a
// namespace for each Service, where that is named sidegate or sidegate-something:
// SIDEGATE_FILES_SERVICE_HOST, SIDEGATE_PORT_8080_TCP_ADDR. What could be a flag's
// is told by its value, as in SIDEGATE_GATE_PORT=tcp://10.0.0.1:80.
func serviceLink(name, value string) bool {
	if linkName.MatchString(name) {
		return true
	}
	protocol, _, ok := strings.Cut(value, "://")
	return strings.HasSuffix(name, "_PORT") && ok && (protocol == "tcp" || protocol == "udp" || protocol == "sctp")
}

var linkName = regexp.MustCompile(`_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)$`)

func isList(f *pflag.Flag) bool {
	_, ok := f.Value.(resetter)
	return ok
}
