package engine

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
)

// libraryEnv names a file that takes precedence over the cache folder; the ONNX
// backend reads the same variable.
const libraryEnv = "ONNXRUNTIME_SHARED_LIBRARY_PATH"

// Version of ONNX Runtime that Setup installs and the tests were run with.
const Version = "1.30.0"

// npmPackage carries the library for every platform we pin.
const npmPackage = "onnxruntime-node@" + Version

// libraryFile is the library's name in the cache folder.
const libraryFile = "libonnxruntime.so.1"

// release is the library of one platform inside the npm package.
type release struct {
	member string // path inside the archive
	sha256 string // of the member, hex
}

// releases by GOOS/GOARCH. The sums were computed from the published package.
var releases = map[string]release{
	"linux/amd64": {"package/bin/napi-v6/linux/x64/libonnxruntime.so.1",
		"ffb75a925ba05e47b235bb66e3e3911714a80b328a9c9425539feb204aa32a23"},
	"linux/arm64": {"package/bin/napi-v6/linux/arm64/libonnxruntime.so.1",
		"1f549d46250b005580b597f4164984aaf75b3bcb9f3aeb07c7f8a8fe60b23c76"},
}

// Found library of ONNX Runtime.
type FoundLibrary struct {
	Path   string `json:"path"`
	Source string `json:"source"` // the environment variable's name, or "cache"
}

// CachedLibrary is where Setup puts the library and Library looks for it:
// whereto/onnxruntime/<version> in the user's cache folder. The file need not exist.
func CachedLibrary() (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("user's cache folder: %w; set HOME or XDG_CACHE_HOME", err)
	}
	return filepath.Join(dir, "whereto", "onnxruntime", Version, libraryFile), nil
}

// Library finds the ONNX Runtime library without loading it. It returns
// ErrUnavailable, with the advice to run setup, if there is none.
func Library() (FoundLibrary, error) {
	if path := os.Getenv(libraryEnv); path != "" {
		if _, err := os.Stat(path); err != nil {
			return FoundLibrary{}, fmt.Errorf("%w: %s: %w", ErrUnavailable, libraryEnv, err)
		}
		return FoundLibrary{Path: path, Source: libraryEnv}, nil
	}
	path, err := CachedLibrary()
	if err != nil {
		return FoundLibrary{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	if _, err := os.Stat(path); err != nil {
		return FoundLibrary{}, fmt.Errorf("%w: no ONNX Runtime library; run `whereto setup`, or set %s to its file", ErrUnavailable, libraryEnv)
	}
	return FoundLibrary{Path: path, Source: "cache"}, nil
}

// platform is the key of releases for this program.
func platform() string { return runtime.GOOS + "/" + runtime.GOARCH }
