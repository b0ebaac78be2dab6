//go:build !linux

package stdio

// firstProcess is Linux's: there are no process namespaces here.
func firstProcess() int { return 1 }
