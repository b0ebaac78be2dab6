package main

import (
	"cmp"
	"regexp"
	"slices"
	"strings"

	"sidegate/proxy"
)

// buildBackends makes the list from the one place that names tool servers.
func (r *resolver) buildBackends(command []string, file *configFile) []proxy.BackendConfig {
	fromFile := file != nil && len(file.backends) > 0
	var places []string
	if len(command) > 0 {
		places = append(places, commandPlace)
	}
	if len(r.backends) > 0 {
		places = append(places, r.place("backend"))
	}
	if fromFile {
		places = append(places, file.backends[0].place)
	}
	if len(places) > 1 {
		r.found.add(strings.Join(places, " and "), "name the tool server in one place only")
		return nil
	}
	switch {
	case len(command) > 0:
		return []proxy.BackendConfig{r.commandBackend(command)}
	case len(r.backends) > 0:
		return r.forTheirKind(r.urlBackends())
	case fromFile:
		return r.forTheirKind(r.fileBackends(file.backends))
	}
	r.where["backend"] = "COMMAND" // whose lack validation reports
	return nil
}

// oneBackend starts from what was said for all of them.
func (r *resolver) oneBackend(name string) proxy.BackendConfig {
	b := r.backend
	b.Name = name
	b.Env = slices.Clone(b.Env)
	b.Pass = slices.Clone(b.Pass)
	return b
}

// forTheirKind takes what was said for all backends, and means something for
// one kind only, from the others: variables from URLs, paths from what is no
// HTTP server. Where no backend is of that kind it stays, and validation
// reports it. Nor is one number of links right for all kinds.
func (r *resolver) forTheirKind(all []proxy.BackendConfig) []proxy.BackendConfig {
	commands := slices.ContainsFunc(all, func(b proxy.BackendConfig) bool { return b.URL == "" })
	web := slices.ContainsFunc(all, func(b proxy.BackendConfig) bool { return isHTTP(b.URL) })
	for i := range all {
		b := &all[i]
		if commands && b.URL != "" && !r.saidFor(b, "env") {
			b.Env = nil
		}
		if web && !isHTTP(b.URL) && !r.saidFor(b, "pass") {
			b.Pass = nil
		}
		if web && !isHTTP(b.URL) && !r.saidFor(b, "probe") {
			b.Probe = ""
		}
		if isHTTP(b.URL) && !r.flags.Changed("max-links") && !r.saidFor(b, "max-links") {
			b.MaxLinks = httpLinks
		}
	}
	return all
}

// httpLinks is how many links to an HTTP server there may be unless something
// else is said: each is a session with the server, and no process.
const httpLinks = 2000

func isHTTP(url string) bool { return strings.HasPrefix(url, "http") }

// saidFor tells whether the file gives the backend a value of its own.
func (r *resolver) saidFor(b *proxy.BackendConfig, flag string) bool {
	_, own := r.where[b.Name+" "+flag]
	return own
}

const commandPlace = "COMMAND after --"

func (r *resolver) commandBackend(command []string) proxy.BackendConfig {
	b := r.oneBackend("default")
	b.Command = command
	r.where[b.Name+" command"] = commandPlace
	return b
}

// named matches the NAME= of a --backend; a URL has a ":" before any "=".
var named = regexp.MustCompile(`^([^=:/]*)=(.*)$`)

func (r *resolver) urlBackends() []proxy.BackendConfig {
	var all []proxy.BackendConfig
	for _, text := range r.backends {
		b := r.oneBackend("default")
		b.URL = text
		if m := named.FindStringSubmatch(text); m != nil {
			b.Name, b.URL = m[1], m[2]
		}
		r.where[b.Name+" url"] = r.place("backend")
		all = append(all, b)
	}
	return all
}

func (r *resolver) fileBackends(named []fileBackend) []proxy.BackendConfig {
	var all []proxy.BackendConfig
	for _, fb := range named {
		b := r.oneBackend(fb.name)
		b.Command, b.URL = fb.command, fb.url
		flags, spare := backendFlags(&b), backendFlags(&proxy.BackendConfig{})
		for _, s := range fb.settings {
			if r.above[s.flag] {
				setAll(spare, s, &r.found) // not used, but looked at
				continue
			}
			setAll(flags, s, &r.found)
			r.where[b.Name+" "+s.flag] = s.where
		}
		r.where[b.Name+" backend"] = fb.place
		r.where[b.Name+" command"] = cmp.Or(fb.commandPlace, fb.place)
		r.where[b.Name+" url"] = cmp.Or(fb.urlPlace, fb.place)
		all = append(all, b)
	}
	return all
}
