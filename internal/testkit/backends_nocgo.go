//go:build !cgo

package testkit

import "github.com/gomlx/compute"

// openONNX returns no backend: ONNX Runtime is called through cgo.
func openONNX() (compute.Backend, string) { return nil, "this build has no cgo" }
