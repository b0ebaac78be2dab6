//go:build !linux

package stdio

// dropMark does nothing: there is no mark on this system.
func dropMark() {}
