package refusal

import "strings"

// Version refuses a modern request whose revision is not served, and says which
// are (2026-07-28, schema, "UnsupportedProtocolVersionError"). requested comes
// from the client.
func Version(requested string, supported []string) *Refusal {
	r := UnsupportedVersion.With("this protocol version is not served; ask for one of: %s", strings.Join(supported, ", "))
	r.Data = append(r.Data, `{"supported":[`...)
	for i, s := range supported {
		if i > 0 {
			r.Data = append(r.Data, ',')
		}
		r.Data = appendString(r.Data, s)
	}
	r.Data = append(r.Data, `],"requested":`...)
	r.Data = appendString(r.Data, requested)
	r.Data = append(r.Data, '}')
	return r
}

// Capability refuses a call that needs a capability which the client did not
// declare: its name as it stands in ClientCapabilities, and where it is part of
// another after that one and a dot, as in "elicitation.url" (2026-07-28, schema,
// "MissingRequiredClientCapabilityError").
func Capability(name string) *Refusal {
	r := MissingCapability.With("the call needs the capability %s, which the client did not declare; declare it in _meta, or do without the call", name)
	r.Data = append(r.Data, `{"requiredCapabilities":{`...)
	for i, part := range strings.Split(name, ".") {
		if i > 0 {
			r.Data = append(r.Data, '{')
		}
		r.Data = appendString(r.Data, part)
		r.Data = append(r.Data, ':')
	}
	r.Data = append(r.Data, `{}`...)
	r.Data = append(r.Data, strings.Repeat("}", strings.Count(name, ".")+2)...)
	return r
}
