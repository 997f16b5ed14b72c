package source

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/whereto/whereto/poi"
)

// rejectLog collects the lines of a reject file.
type rejectLog struct{ all []Reject }

func (l *rejectLog) Write(p []byte) (int, error) {
	var r Reject
	if err := json.Unmarshal(p, &r); err != nil {
		return 0, err
	}
	l.all = append(l.all, r)
	return len(p), nil
}

// writeFile writes content to a file of that name in a new folder.
func writeFile(t testing.TB, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func gzipped(t testing.TB, content string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write([]byte(content)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func distinct(all []poi.Action) (users, pois int) {
	u, p := map[string]bool{}, map[string]bool{}
	for _, a := range all {
		u[a.User], p[a.POI] = true, true
	}
	return len(u), len(p)
}

// wantBadInput checks an error's kind and that it names every part.
func wantBadInput(t *testing.T, err error, parts ...string) {
	t.Helper()
	if !errors.Is(err, poi.ErrBadInput) {
		t.Errorf("error %v does not wrap poi.ErrBadInput", err)
		return
	}
	for _, p := range parts {
		if !strings.Contains(err.Error(), p) {
			t.Errorf("error %q does not say %q", err, p)
		}
	}
}
