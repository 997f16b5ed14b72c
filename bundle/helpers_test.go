package bundle

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/whereto/whereto/run"
)

// fakeRun makes a run folder with package run's own functions; the recipe is YAML.
func fakeRun(t testing.TB, recipe string) string {
	t.Helper()
	meta := run.NewMeta("fake", []byte(recipe))
	meta.Seed, meta.DataFingerprint, meta.IndexFingerprint = 7, "data-a", "index-a"
	r, err := run.Create(filepath.Join(t.TempDir(), "run"), meta, []byte(recipe))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	store := model.NewStore()
	if _, err := store.CreateVariable("/net/w", tensors.FromValue([][]float32{{1, 2, 3}, {4, 5, 6}})); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(r.WriteFile(run.IndexFile, []byte("an index")), r.WriteFile("eval-test.json", []byte("{}")),
		r.SaveCheckpoint(run.Best, store, run.State{Step: 3}, nil), r.SaveCheckpoint(run.Last, store, run.State{Step: 4}, nil), r.MarkDone()); err != nil {
		t.Fatal(err)
	}
	return r.Dir()
}

// fakeData makes a log file and a data folder.
func fakeData(t testing.TB) (log, folder string) {
	t.Helper()
	dir := t.TempDir()
	log, folder = filepath.Join(dir, "log: new york.tsv"), filepath.Join(dir, "nyc")
	for path, text := range map[string]string{log: "u\tp\n", filepath.Join(folder, "actions.parquet"): "actions", filepath.Join(folder, "profiles.parquet"): "profiles",
		filepath.Join(folder, "impressions.parquet"): "impressions", filepath.Join(folder, "rejects.jsonl"): "rejects"} {
		mustWrite(t, path, text)
	}
	return log, folder
}

func mustWrite(t testing.TB, path, text string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
		t.Fatal(err)
	}
}

// packed makes a bundle with all roles and both kinds of data.
func packed(t testing.TB) (dir string, m Manifest) {
	t.Helper()
	log, folder := fakeData(t)
	dir = filepath.Join(t.TempDir(), "bundle")
	m, err := Pack(t.Context(), PackOptions{Run: fakeRun(t, "name: base\n"), Embed: fakeRun(t, "tune: {stage: embed}\n"),
		Rank: fakeRun(t, "tune: {stage: rank}\n"), Data: []string{log, folder}, Out: dir})
	if err != nil {
		t.Fatal(err)
	}
	return dir, m
}

// small makes a bundle of one run without data; the recipe sets versions apart.
func small(t testing.TB, recipe string) (dir string, m Manifest) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "bundle")
	m, err := Pack(t.Context(), PackOptions{Run: fakeRun(t, recipe), Out: dir})
	if err != nil {
		t.Fatal(err)
	}
	return dir, m
}

// copyDir copies a folder, so that what is done to it does not reach the original.
func copyDir(t testing.TB, from string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	return to
}

// tree lists all below a folder.
func tree(t testing.TB, dir string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(dir, func(p string, e fs.DirEntry, err error) error {
		if err == nil && p != dir {
			rel, err := filepath.Rel(dir, p)
			if err != nil {
				return err
			}
			out = append(out, filepath.ToSlash(rel))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func wantError(t testing.TB, what string, err, sentinel error, words ...string) {
	t.Helper()
	if !errors.Is(err, sentinel) {
		t.Errorf("%s: error %v, want %v", what, err, sentinel)
		return
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%s: error %q does not say %q", what, err, w)
		}
	}
}

// countdown is done after it was asked some number of times: at any moment of the work.
type countdown struct {
	context.Context
	left atomic.Int64
}

// stopAt is a context that is done when it is asked for the n-th time, from 0.
func stopAt(ctx context.Context, n int) context.Context {
	c := &countdown{Context: ctx}
	c.left.Store(int64(n))
	return c
}

func (c *countdown) Err() error {
	if c.left.Add(-1) < 0 {
		return context.Canceled
	}
	return nil
}
