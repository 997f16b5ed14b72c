package testkit

import (
	"bytes"
	"compress/gzip"
	"os"
	"path/filepath"
	"testing"
)

// ModuleRoot returns the folder that holds go.mod, found upwards from the
// folder the test runs in.
func ModuleRoot(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatalf("find the module root: %v", err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			t.Fatal("find the module root: no go.mod in this folder or above; run the test from the checkout")
		}
		dir = parent
	}
}

// DataDir returns the folder of the real data sets: the environment variable
// WHERETO_DATA, else ../shared/data seen from the module root. It skips the
// test, saying where it looked, when there is none.
func DataDir(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("WHERETO_DATA")
	if dir == "" {
		dir = filepath.Join(ModuleRoot(t), "..", "shared", "data")
	}
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		t.Skipf("no real data at %s; set WHERETO_DATA to the folder that holds foursquare-nyc to run this test", dir)
	}
	return dir
}

// DataFile returns a file below DataDir, for example
// DataFile(t, "foursquare-nyc", "checkins.tsv.gz"), and skips the test when it
// is absent.
func DataFile(t testing.TB, parts ...string) string {
	t.Helper()
	path := filepath.Join(append([]string{DataDir(t)}, parts...)...)
	if _, err := os.Stat(path); err != nil {
		t.Skipf("no real data file %s; set WHERETO_DATA to a folder that holds it to run this test", path)
	}
	return path
}

// WriteFile writes content under name in a new temporary folder, which goes
// away with the test, and returns the file's path.
func WriteFile(t testing.TB, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatalf("write the test file %s: %v", name, err)
	}
	return path
}

// Gzip returns content compressed, for tests of readers.
func Gzip(t testing.TB, content string) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := gzip.NewWriter(&buf)
	if _, err := w.Write([]byte(content)); err != nil {
		t.Fatalf("compress test content: %v", err)
	}
	if err := w.Close(); err != nil {
		t.Fatalf("compress test content: %v", err)
	}
	return buf.Bytes()
}
