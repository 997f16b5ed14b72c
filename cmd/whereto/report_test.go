package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/whereto/whereto/run"
)

func TestReportCommand(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	for _, name := range []string{"a", "b"} {
		r, err := run.Create(path(name), run.NewMeta("run "+name, nil), nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name, args, page, says string // page: file the command should have written
		status                 int
	}{
		{"one run", "report @/a", "a/report.html", "wrote @/a/report.html", 0},
		{"several runs", "report @/a @/b --out @/both.html --split validation", "both.html", "wrote @/both.html", 0},
		{"no run", "report", "", "between 1 and 24 arg", 2},
		{"unknown split", "report @/a --split train", "", "use one of auto, test, validation", 2},
		{"a folder that is no run", "report @ --out @/none.html", "", "not a run folder", 1},
		{"nowhere to write", "report @/a --out @/none/page.html", "", "--out", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			stdout, stderr, status := runArgs(t, strings.Fields(strings.ReplaceAll(c.args, "@", dir))...)
			if status != c.status || stdout != "" || !strings.Contains(stderr, strings.ReplaceAll(c.says, "@", dir)) {
				t.Errorf("got status %d, %q and %q, want %d and %q", status, stdout, stderr, c.status, c.says)
			}
			if c.page == "" {
				return
			}
			text, err := os.ReadFile(path(c.page))
			if err != nil || !strings.Contains(string(text), "run a") {
				t.Errorf("page of %d bytes, error %v", len(text), err)
			}
		})
	}
}
