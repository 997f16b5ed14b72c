package engine

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

const fakeLibrary = "not really a library"

// fakeRelease is what setup looks for in the fake archive.
var fakeRelease = release{member: "package/lib.so", sha256: hexSum(fakeLibrary)}

func hexSum(s string) string {
	h := sha256.Sum256([]byte(s))
	return hex.EncodeToString(h[:])
}

// archive is a gzipped tar of name, content pairs.
func archive(t *testing.T, members ...string) []byte {
	t.Helper()
	var buf bytes.Buffer
	gz := gzip.NewWriter(&buf)
	tw := tar.NewWriter(gz)
	for i := 0; i < len(members); i += 2 {
		err := tw.WriteHeader(&tar.Header{Name: members[i], Mode: 0o644, Size: int64(len(members[i+1]))})
		if _, err2 := tw.Write([]byte(members[i+1])); err != nil || err2 != nil {
			t.Fatal(err, err2)
		}
	}
	if err := errors.Join(tw.Close(), gz.Close()); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// fakeNPM puts an npm on PATH that copies tgz to where npm pack would put it and
// then runs the shell lines of after. PATH holds nothing else but /bin and /usr/bin.
func fakeNPM(t *testing.T, tgz []byte, after string) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("the fake npm is a shell script")
	}
	dir := t.TempDir()
	src := filepath.Join(dir, "source")
	script := "#!/bin/sh\n[ \"$1 $2 $4\" = 'pack " + npmPackage + " --pack-destination' ] || { echo \"unexpected: $*\" >&2; exit 9; }\n" +
		"cp '" + src + "' \"$5/package-1.tgz\" || exit 8\n" + after + "\n"
	if err := errors.Join(os.WriteFile(src, tgz, 0o644), os.WriteFile(filepath.Join(dir, "npm"), []byte(script), 0o755)); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":/bin:/usr/bin")
}

// freshCache points the user's cache folder to an empty one.
func freshCache(t *testing.T) (library string) {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("the cache folder follows XDG_CACHE_HOME on Linux only")
	}
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	t.Setenv(libraryEnv, "")
	path, err := CachedLibrary()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// left lists what is in the library's folder.
func left(t *testing.T, library string) []string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(library))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestSetupFetchesOnce(t *testing.T) {
	lib := freshCache(t)
	fakeNPM(t, archive(t, "package/other", "x", "package/lib.so", fakeLibrary), "")
	got, err := setup(t.Context(), fakeRelease)
	if err != nil || got != (SetupResult{Path: lib, Fetched: true}) {
		t.Fatalf("first: %+v, %v", got, err)
	}
	if b, err := os.ReadFile(lib); err != nil || string(b) != fakeLibrary {
		t.Errorf("library holds %q, %v", b, err)
	}
	if names := left(t, lib); len(names) != 1 {
		t.Errorf("folder holds %q, want the library alone", names)
	}
	t.Setenv("PATH", "") // the second time needs no npm
	if got, err := setup(t.Context(), fakeRelease); err != nil || got != (SetupResult{Path: lib}) {
		t.Errorf("second: %+v, %v", got, err)
	}
}

func TestSetupReplacesDamagedLibrary(t *testing.T) {
	lib := freshCache(t)
	if err := errors.Join(os.MkdirAll(filepath.Dir(lib), 0o755), os.WriteFile(lib, []byte("half a libr"), 0o644)); err != nil {
		t.Fatal(err)
	}
	fakeNPM(t, archive(t, "package/lib.so", fakeLibrary), "")
	if got, err := setup(t.Context(), fakeRelease); err != nil || !got.Fetched {
		t.Fatalf("%+v, %v", got, err)
	}
	if sum, err := sumFile(lib); err != nil || sum != fakeRelease.sha256 {
		t.Errorf("sum is %s, %v", sum, err)
	}
}

func TestSetupFailsClean(t *testing.T) {
	good := archive(t, "package/lib.so", fakeLibrary)
	for _, c := range []struct {
		name     string
		tgz      []byte
		after    string
		say      string
		noSource bool // the library cannot be had, as opposed to: is wrong
	}{
		{"wrong sum", archive(t, "package/lib.so", "evil"), "", "checksum of package/lib.so", false},
		{"no member", archive(t, "package/other", fakeLibrary), "", "has no file package/lib.so", false},
		{"truncated", good[:len(good)/4], "", "npm archive", false},
		{"not an archive", []byte("<html>"), "", "npm archive", false},
		{"npm fails", good, "echo 'npm error 404' >&2; exit 1", "exit status 1: npm error 404", true},
		{"no archive", good, "rm \"$5\"/*.tgz", "left 0 archives", true},
		{"two archives", good, "cp \"$5/package-1.tgz\" \"$5/package-2.tgz\"", "left 2 archives", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			lib := freshCache(t)
			fakeNPM(t, c.tgz, c.after)
			_, err := setup(t.Context(), fakeRelease)
			if err == nil || !strings.Contains(err.Error(), c.say) || errors.Is(err, ErrNoSource) != c.noSource {
				t.Errorf("error %v, want one that says %q, ErrNoSource %v", err, c.say, c.noSource)
			}
			if names := left(t, lib); len(names) != 0 {
				t.Errorf("left behind: %q", names)
			}
		})
	}
}

func TestSetupWithoutNPM(t *testing.T) {
	lib := freshCache(t)
	t.Setenv("PATH", t.TempDir())
	if _, err := setup(t.Context(), fakeRelease); !errors.Is(err, ErrNoSource) || !strings.Contains(err.Error(), "npm is not on PATH") {
		t.Errorf("got %v", err)
	}
	if names := left(t, lib); len(names) != 0 {
		t.Errorf("left behind: %q", names)
	}
}

// A person who presses Ctrl-C wants to stop, not to go on without the library.
func TestSetupCancelled(t *testing.T) {
	lib := freshCache(t)
	fakeNPM(t, archive(t, "package/lib.so", fakeLibrary), "")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := setup(ctx, fakeRelease); !errors.Is(err, context.Canceled) || errors.Is(err, ErrNoSource) {
		t.Errorf("got %v, want context.Canceled alone", err)
	}
	if names := left(t, lib); len(names) != 0 {
		t.Errorf("left behind: %q", names)
	}
}

func TestLibraryOrder(t *testing.T) {
	cached := freshCache(t)
	if _, err := Library(); !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "whereto setup") {
		t.Errorf("nothing there: %v", err)
	}
	if err := errors.Join(os.MkdirAll(filepath.Dir(cached), 0o755), os.WriteFile(cached, nil, 0o644)); err != nil {
		t.Fatal(err)
	}
	if got, err := Library(); err != nil || got != (FoundLibrary{cached, "cache"}) {
		t.Errorf("cached: %+v, %v", got, err)
	}
	own := filepath.Join(t.TempDir(), "own.so")
	t.Setenv(libraryEnv, own)
	if _, err := Library(); !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), libraryEnv) {
		t.Errorf("a file named but missing must not fall back to the cache: %v", err)
	}
	if err := os.WriteFile(own, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if got, err := Library(); err != nil || got != (FoundLibrary{own, libraryEnv}) {
		t.Errorf("named: %+v, %v", got, err)
	}
}
