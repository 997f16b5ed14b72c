package testkit

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/gobackend"
)

// Backends returns the compute backends that tests run on: "go" always, "onnx"
// where this build has cgo and the ONNX Runtime library is on the machine (from
// ONNXRUNTIME_SHARED_LIBRARY_PATH, else from whereto/onnxruntime/<version> in
// the user's cache folder). Where "onnx" is missing, a skipped subtest of that
// name says why.
//
// A tensor belongs to the backend that first used it: make new ones for each.
func Backends(t testing.TB) map[string]compute.Backend {
	t.Helper()
	all := make(map[string]compute.Backend)
	be, err := gobackend.New("ops_sequential") // as package engine opens it
	if err != nil {
		t.Fatalf("open the go backend: %v", err)
	}
	all["go"] = be
	be, why := openONNX()
	if be != nil {
		all["onnx"] = be
		return all
	}
	if t, ok := t.(*testing.T); ok {
		t.Run("onnx", func(t *testing.T) { t.Skip("not run on onnx: " + why) })
	}
	return all
}

// onnxLibrary returns the path of the ONNX Runtime library, "" if there is none.
func onnxLibrary() string {
	if path := os.Getenv("ONNXRUNTIME_SHARED_LIBRARY_PATH"); path != "" {
		return path
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	found, err := filepath.Glob(filepath.Join(cache, "whereto", "onnxruntime", "*", "libonnxruntime.so.1"))
	if err != nil || len(found) == 0 {
		return ""
	}
	return found[len(found)-1]
}
