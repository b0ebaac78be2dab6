//go:build !linux

package main

// dropPages does nothing: the system takes pages back when it needs them.
func dropPages() {}
