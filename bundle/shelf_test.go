package bundle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gofrs/flock"

	"github.com/whereto/whereto/poi"
)

func newShelf(t testing.TB) *Shelf {
	t.Helper()
	s, err := OpenShelf(filepath.Join(t.TempDir(), "models"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// filled is a shelf with so many versions, in the order they were added.
func filled(t testing.TB, n int) (*Shelf, []string) {
	t.Helper()
	s := newShelf(t)
	var versions []string
	for i := range n {
		dir, _ := small(t, fmt.Sprintf("name: v%d\n", i))
		m, err := s.Add(t.Context(), dir, VerifyOptions{})
		if err != nil {
			t.Fatal(err)
		}
		versions = append(versions, m.Version)
	}
	return s, versions
}

// state describes a shelf: versions, then current and previous.
func state(t testing.TB, s *Shelf) (versions []string, current, previous string) {
	t.Helper()
	list, err := s.List()
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		versions = append(versions, e.Manifest.Version)
		if e.Current {
			current = e.Manifest.Version
		}
		if e.Previous {
			previous = e.Manifest.Version
		}
	}
	named, err := s.Current()
	if err != nil || named != current {
		t.Fatalf("current is %q in the list and %q by name, error %v", current, named, err)
	}
	slices.Sort(versions)
	return versions, current, previous
}

func TestShelf(t *testing.T) {
	ctx := t.Context()
	s, v := filled(t, 3)
	want := slices.Sorted(slices.Values(v))
	check := func(when, current, previous string) {
		t.Helper()
		if got, c, p := state(t, s); !slices.Equal(got, want) || c != current || p != previous {
			t.Errorf("%s: %v, current %q, previous %q; want %v, %q, %q", when, got, c, p, want, current, previous)
		}
	}
	check("new", "", "")
	if _, err := s.RollBack(ctx); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("nothing to roll back to: error %v", err)
	}
	for _, step := range []struct {
		name              string
		do                func() error
		current, previous string
	}{
		{"first", func() error { return s.Activate(ctx, v[0]) }, v[0], ""},
		{"second", func() error { return s.Activate(ctx, v[1]) }, v[1], v[0]},
		{"the same again", func() error { return s.Activate(ctx, v[1]) }, v[1], v[0]},
		{"third", func() error { return s.Activate(ctx, v[2]) }, v[2], v[1]},
		{"back", func() error { _, err := s.RollBack(ctx); return err }, v[1], v[2]},
		{"and forth", func() error { _, err := s.RollBack(ctx); return err }, v[2], v[1]},
	} {
		if err := step.do(); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		check(step.name, step.current, step.previous)
	}
	wantError(t, "remove the current", s.Remove(ctx, v[2]), ErrCurrent, v[2])
	if err := s.Remove(ctx, v[1]); err != nil {
		t.Fatal(err)
	}
	want = slices.DeleteFunc(want, func(x string) bool { return x == v[1] })
	check("previous removed", v[2], "")
	if err := s.Remove(ctx, v[0]); err != nil {
		t.Fatal(err)
	}
	want = []string{v[2]}
	check("another removed", v[2], "")
	wantError(t, "remove again", s.Remove(ctx, v[0]), fs.ErrNotExist, v[0])
	wantError(t, "activate one that is gone", s.Activate(ctx, v[0]), fs.ErrNotExist, v[0])
	for _, bad := range []string{"", "..", "current", "0123456789AB", "0123456789abc", "../0123456789"} {
		wantError(t, "activate "+bad, s.Activate(ctx, bad), poi.ErrBadInput)
		wantError(t, "remove "+bad, s.Remove(ctx, bad), poi.ErrBadInput)
		_, err := s.Open(ctx, bad, VerifyOptions{})
		wantError(t, "open "+bad, err, poi.ErrBadInput)
	}
	if left := tree(t, s.Dir()); slices.ContainsFunc(left, func(p string) bool { return strings.Contains(p, hiddenMark) }) {
		t.Errorf("left %v", left)
	}
}

func TestShelfAdd(t *testing.T) {
	s := newShelf(t)
	dir, m := packed(t)
	mine, private, _ := newKey(t)
	if _, err := s.Add(t.Context(), dir, trust(mine)); !errors.Is(err, ErrSignature) {
		t.Errorf("unsigned: error %v", err)
	}
	if err := Sign(dir, private); err != nil {
		t.Fatal(err)
	}
	got, err := s.Add(t.Context(), dir, trust(mine))
	if err != nil || got.Version != m.Version {
		t.Fatalf("%v, error %v", got.Version, err)
	}
	if _, err := s.Add(t.Context(), dir, VerifyOptions{}); !errors.Is(err, fs.ErrExist) {
		t.Errorf("twice: error %v", err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	b, err := s.Open(t.Context(), m.Version, trust(mine))
	if err != nil || b.Dir() != filepath.Join(s.Dir(), m.Version) {
		t.Errorf("%+v, error %v", b, err)
	}
	harmed := copyDir(t, b.Dir())
	mustWrite(t, filepath.Join(harmed, "run", "index.bin"), "an indeX")
	if _, err := newShelf(t).Add(t.Context(), harmed, VerifyOptions{}); !errors.Is(err, ErrCorrupt) {
		t.Errorf("harmed: error %v", err)
	}
}

// Stopped at any moment, Add leaves nothing on the shelf.
func TestInterruptedAddLeavesNothing(t *testing.T) {
	dir, m := small(t, "name: x\n")
	for stop := 0; ; stop++ {
		s := newShelf(t)
		_, err := s.Add(stopAt(t.Context(), stop), dir, VerifyOptions{})
		left := slices.DeleteFunc(tree(t, s.Dir()), func(p string) bool { return p == lockFile })
		if err == nil {
			if stop < 10 || !slices.Contains(left, m.Version+"/"+ManifestFile) {
				t.Errorf("after %d moments: %v", stop, left)
			}
			return
		}
		if !errors.Is(err, context.Canceled) || len(left) > 0 {
			t.Fatalf("stopped at moment %d: error %v, left %v", stop, err, left)
		}
	}
}

// What a killed change left is gone after the next one, and never listed.
func TestShelfSweeps(t *testing.T) {
	s, v := filled(t, 1)
	mustWrite(t, filepath.Join(s.Dir(), "."+v[0]+hiddenMark+"1", "x"), "half")
	mustWrite(t, filepath.Join(s.Dir(), ".current"+hiddenMark+"2"), "half")
	if got, _, _ := state(t, s); !slices.Equal(got, v) {
		t.Errorf("list %v, want %v", got, v)
	}
	if err := s.Activate(t.Context(), v[0]); err != nil {
		t.Fatal(err)
	}
	for _, p := range tree(t, s.Dir()) {
		if strings.Contains(p, hiddenMark) {
			t.Errorf("%s is left", p)
		}
	}
}

func TestShelfIsCorrupt(t *testing.T) {
	s, v := filled(t, 2)
	if err := s.Activate(t.Context(), v[0]); err != nil {
		t.Fatal(err)
	}
	// A version under the name of another.
	if err := errors.Join(os.RemoveAll(s.path(v[1])), os.CopyFS(s.path(v[1]), os.DirFS(s.path(v[0])))); err != nil {
		t.Fatal(err)
	}
	_, err := s.Open(t.Context(), v[1], VerifyOptions{})
	wantError(t, "under another name", err, ErrCorrupt, v[0], v[1])
	for _, text := range []string{"", "nonsense", "../../etc", strings.Repeat("a", 100), v[0] + v[0]} {
		mustWrite(t, filepath.Join(s.Dir(), currentFile), text)
		if _, err := s.Current(); !errors.Is(err, ErrCorrupt) {
			t.Errorf("current file %q: error %v", text, err)
		}
		if _, err := s.RollBack(t.Context()); !errors.Is(err, ErrCorrupt) {
			t.Errorf("roll back with current file %q: error %v", text, err)
		}
	}
	mustWrite(t, filepath.Join(s.path(v[0]), ManifestFile), "{")
	mustWrite(t, filepath.Join(s.Dir(), currentFile), v[0])
	if _, err := s.List(); !errors.Is(err, ErrCorrupt) {
		t.Errorf("a broken manifest: error %v", err)
	}
}

// TestShelfHolder is the other process of TestShelfLock: it holds the lock until its
// input ends.
func TestShelfHolder(t *testing.T) {
	dir := os.Getenv("WHERETO_TEST_SHELF")
	if dir == "" {
		t.Skip("helper of TestShelfLock")
	}
	lock := flock.New(filepath.Join(dir, lockFile))
	got, err := lock.TryLock()
	fmt.Printf("locked: %v %v\n", got, err)
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		t.Error(err)
	}
}

func TestShelfLock(t *testing.T) {
	s, v := filled(t, 1)
	cmd := exec.Command(os.Args[0], "-test.run=^TestShelfHolder$")
	cmd.Env = append(os.Environ(), "WHERETO_TEST_SHELF="+s.Dir())
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	want := "locked: true <nil>"
	line := make([]byte, len(want))
	if _, err := io.ReadFull(out, line); err != nil || string(line) != want {
		t.Fatalf("the helper said %q, %v", line, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*lockEvery)
	defer cancel()
	wantError(t, "while another process changes", s.Activate(ctx, v[0]), ErrLocked, s.Dir())
	if _, _, err := s.names(); err != nil {
		t.Errorf("reading needs no lock: %v", err)
	}
	// It waits for the other, whose lock goes with the process.
	done := make(chan error, 1)
	go func() { done <- s.Activate(t.Context(), v[0]) }()
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, out); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Fatal("still waiting for a process that is gone")
	}
}

// Many change and read at once: a reader never sees anything but whole versions.
func TestShelfTogether(t *testing.T) {
	s, v := filled(t, 3)
	if err := errors.Join(s.Activate(t.Context(), v[0]), s.Activate(t.Context(), v[1])); err != nil {
		t.Fatal(err)
	}
	extra, m := small(t, "name: extra\n")
	var wg sync.WaitGroup
	for i := range 3 {
		wg.Go(func() {
			for k := range 3 {
				if err := s.Activate(t.Context(), v[(i+k)%3]); err != nil {
					t.Error(err)
				}
				if _, err := s.RollBack(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Go(func() {
		for range 3 {
			if _, err := s.Add(t.Context(), extra, VerifyOptions{}); err != nil {
				t.Error(err)
			}
			if err := s.Remove(t.Context(), m.Version); err != nil {
				t.Error(err)
			}
		}
	})
	for range 2 {
		wg.Go(func() {
			for range 20 {
				if list, err := s.List(); err != nil || len(list) < 3 {
					t.Errorf("%d versions, error %v", len(list), err)
				}
				current, err := s.Current()
				if err != nil || !slices.Contains(v, current) {
					t.Errorf("current %q, error %v", current, err)
				}
			}
		})
	}
	wg.Wait()
}
