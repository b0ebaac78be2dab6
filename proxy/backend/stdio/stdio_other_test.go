//go:build !linux

package stdio

// firstProcess is Linux's: there are no process namespaces here.
func firstProcess() int { return 1 }

// dropMark does nothing: there is no mark on this system.
func dropMark() {}
