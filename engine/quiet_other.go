//go:build !cgo || !linux

package engine

// Yield does nothing here: see the one for Linux with cgo.
func Yield() error { return nil }

// Threads does nothing here: see the one for Linux with cgo.
func Threads(int) {}

// Trim does nothing here: see the one for Linux with cgo.
func Trim() {}
