//go:build cgo

package testkit

import (
	"github.com/gomlx/compute"
	onnxbackend "github.com/gomlx/compute-onnx"
)

// openONNX returns the ONNX Runtime backend, or why there is none. A library
// that is there but does not open is a reason too: the test on "go" still counts.
func openONNX() (compute.Backend, string) {
	path := onnxLibrary()
	if path == "" {
		return nil, "no ONNX Runtime library; run `make setup` or set ONNXRUNTIME_SHARED_LIBRARY_PATH"
	}
	be, err := onnxbackend.New("cpu," + path)
	if err != nil {
		return nil, err.Error()
	}
	return be, ""
}
