package main

import (
	"cmp"
	"fmt"
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
		return r.urlBackends()
	case fromFile:
		return r.fileBackends(file.backends)
	}
	r.where["backend"] = "COMMAND" // whose lack validation reports
	return nil
}

// newBackend starts from what was said for all of them.
func (r *resolver) newBackend(name string) proxy.BackendConfig {
	b := r.backend
	b.Name = name
	b.Env = slices.Clone(b.Env)
	return b
}

const commandPlace = "COMMAND after --"

func (r *resolver) commandBackend(command []string) proxy.BackendConfig {
	b := r.newBackend("default")
	b.Command = command
	r.where[b.Name+" command"] = commandPlace
	return b
}

// named matches the NAME= of a --backend; a URL has a ":" before any "=".
var named = regexp.MustCompile(`^([^=:/]*)=(.*)$`)

func (r *resolver) urlBackends() []proxy.BackendConfig {
	var all []proxy.BackendConfig
	for _, text := range r.backends {
		b := r.newBackend("default")
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
		b := r.newBackend(fb.name)
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

// serveOneCommand refuses what the configuration can say and this version
// cannot serve.
func (r *resolver) serveOneCommand() {
	if len(r.found) > 0 {
		return
	}
	for _, b := range r.gate.Backends {
		if b.URL != "" {
			r.found.add(r.place(b.Name+" url"), "this version serves commands only, and no URLs: start the tool server with -- COMMAND")
			return
		}
	}
	if n := len(r.gate.Backends); n > 1 {
		b := r.gate.Backends[1]
		r.found.add(r.place(b.Name+" backend"), fmt.Sprintf("this version serves one backend, and this is the second of %d", n))
	}
}
