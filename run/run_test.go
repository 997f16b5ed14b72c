package run

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// newRun makes a run in a fresh folder.
func newRun(t testing.TB) *Run {
	t.Helper()
	recipe := []byte("name: test\n")
	meta := NewMeta("test", recipe)
	meta.Seed, meta.DataFingerprint, meta.IndexFingerprint, meta.Backend = 7, "data-a", "index-a", "go"
	r, err := Create(filepath.Join(t.TempDir(), "deep", "run"), meta, recipe)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// wantError checks the sentinel and the words of an error.
func wantError(t *testing.T, err, sentinel error, words ...string) {
	t.Helper()
	if !errors.Is(err, sentinel) {
		t.Errorf("error %v, want %v", err, sentinel)
		return
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("error %q does not say %q", err, w)
		}
	}
}

func TestCreateOpen(t *testing.T) {
	r := newRun(t)
	again, err := Open(r.Dir())
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(again.Meta(), r.Meta()) {
		t.Errorf("meta read back is\n%+v, want\n%+v", again.Meta(), r.Meta())
	}
	recipe, err := again.ReadFile(RecipeFile)
	if err != nil || Fingerprint(recipe) != again.Meta().RecipeHash {
		t.Errorf("recipe %q, %v: its hash is not the one in meta.json", recipe, err)
	}
	if again.IsDone() {
		t.Error("a new run is done")
	}
	if err := r.MarkDone(); err != nil {
		t.Fatal(err)
	}
	if !again.IsDone() {
		t.Error("a run marked done is not done")
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(r.Dir()), ".*")); len(left) > 0 {
		t.Errorf("temporary files left: %v", left)
	}
}

func TestCreateInEmptyFolderOnly(t *testing.T) {
	dir := t.TempDir()
	if _, err := Create(dir, NewMeta("x", nil), nil); err != nil {
		t.Fatalf("an empty folder: %v", err)
	}
	_, err := Create(dir, NewMeta("x", nil), nil)
	wantError(t, err, ErrExists, dir, "--resume auto")
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Create(file, NewMeta("x", nil), nil); err == nil {
		t.Error("a run was created over a file")
	}
}

func TestOpenHalfWritten(t *testing.T) {
	for name, spoil := range map[string]func(r *Run) error{
		"no meta":      func(r *Run) error { return os.Remove(r.Path(MetaFile)) },
		"half meta":    func(r *Run) error { return os.Truncate(r.Path(MetaFile), 20) },
		"empty meta":   func(r *Run) error { return os.Truncate(r.Path(MetaFile), 0) },
		"no recipe":    func(r *Run) error { return os.Remove(r.Path(RecipeFile)) },
		"empty folder": func(r *Run) error { return errors.Join(os.RemoveAll(r.Dir()), os.Mkdir(r.Dir(), 0o755)) },
	} {
		r := newRun(t)
		if err := spoil(r); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(r.Dir()); !errors.Is(err, ErrIncomplete) || !strings.Contains(err.Error(), r.Dir()) || !strings.Contains(err.Error(), "again") {
			t.Errorf("%s: %v, want ErrIncomplete with the folder and what to do", name, err)
		}
	}
	r := newRun(t)
	if err := os.WriteFile(r.Path(MetaFile), []byte(`{"format":"whereto-run/99"}`), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := Open(r.Dir())
	wantError(t, err, ErrMismatch, "whereto-run/99")
	if _, err := Open(r.Path("nowhere")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing folder: %v", err)
	}
	if _, err := Open(r.Path(RecipeFile)); err == nil || !strings.Contains(err.Error(), "not a folder") {
		t.Errorf("a file: %v", err)
	}
}

func TestReadWriteFile(t *testing.T) {
	r := newRun(t)
	if err := r.WriteFile("eval-test.json", []byte("old")); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("no space left on device")
	err := r.WriteTo("eval-test.json", func(w io.Writer) error {
		if _, err := w.Write([]byte("new")); err != nil {
			return err
		}
		return broken
	})
	if !errors.Is(err, broken) {
		t.Errorf("error %v, want %v", err, broken)
	}
	if got, err := r.ReadFile("eval-test.json"); err != nil || string(got) != "old" {
		t.Errorf("after a failed write: %q, %v; want the old content", got, err)
	}
	if left, _ := filepath.Glob(r.Path(".eval*")); len(left) > 0 {
		t.Errorf("temporary files left: %v", left)
	}
	for _, bad := range []string{"", ".", "..", "../x", "a/b", `a\b`} {
		if err := r.WriteFile(bad, nil); err == nil {
			t.Errorf("name %q was accepted for writing", bad)
		}
		if _, err := r.ReadFile(bad); err == nil {
			t.Errorf("name %q was accepted for reading", bad)
		}
	}
	_, err = r.ReadFile(IndexFile)
	wantError(t, err, ErrIncomplete, IndexFile)
}

// TestHolder is the second process of TestLock: it locks the folder in the
// environment, says so and waits for its input to end.
func TestHolder(t *testing.T) {
	dir := os.Getenv("WHERETO_TEST_LOCK")
	if dir == "" {
		t.Skip("helper of TestLock")
	}
	r, err := Open(dir)
	if err == nil {
		err = r.Lock()
	}
	fmt.Printf("locked: %v\n", err)
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		t.Error(err)
	}
}

func TestLock(t *testing.T) {
	r := newRun(t)
	cmd := exec.Command(os.Args[0], "-test.run=^TestHolder$")
	cmd.Env = append(os.Environ(), "WHERETO_TEST_LOCK="+r.Dir())
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
	line := make([]byte, len("locked: <nil>"))
	if _, err := io.ReadFull(out, line); err != nil || string(line) != "locked: <nil>" {
		t.Fatalf("helper said %q, %v", line, err)
	}
	wantError(t, r.Lock(), ErrLocked, r.Dir(), fmt.Sprintf("process %d", cmd.Process.Pid), "--out")
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, out); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	// The helper died without unlocking: the lock is free.
	if err := r.Lock(); err != nil {
		t.Fatalf("after the other process ended: %v", err)
	}
	if err := r.Lock(); err != nil {
		t.Errorf("locking twice in one process: %v", err)
	}
	other, err := Open(r.Dir())
	if err != nil {
		t.Fatal(err)
	}
	wantError(t, other.Lock(), ErrLocked, fmt.Sprintf("process %d", os.Getpid()))
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if err := other.Lock(); err != nil {
		t.Errorf("after Close: %v", err)
	}
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
}

func someRecord(step int, kind string) Record {
	return Record{Step: step, Kind: kind, Time: time.Unix(int64(step), 0).UTC(), Values: map[string]float64{"loss": 1 / float64(step+3)}}
}

func TestMetrics(t *testing.T) {
	r := newRun(t)
	if got, err := r.ReadMetrics(); err != nil || got != nil {
		t.Errorf("without a file: %v, %v", got, err)
	}
	var want []Record
	for i := range 5 {
		rec := someRecord(i, "train")
		if err := r.AppendMetrics(rec); err != nil {
			t.Fatal(err)
		}
		want = append(want, rec)
	}
	check := func(when string) {
		t.Helper()
		got, err := r.ReadMetrics()
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v, %v; want %v", when, got, err, want)
		}
	}
	check("as written")
	if err := r.KeepMetrics(func(rec Record) bool { return rec.Step <= 2 }); err != nil {
		t.Fatal(err)
	}
	want = want[:3]
	check("after KeepMetrics")
	if err := r.AppendMetrics(someRecord(9, "validation")); err != nil {
		t.Fatal(err)
	}
	want = append(want, someRecord(9, "validation"))
	check("appended after KeepMetrics")
	if err := r.AppendMetrics(Record{Values: map[string]float64{"loss": nan()}}); err == nil {
		t.Error("NaN was recorded")
	}
	check("after a refused record")
}

func nan() float64 { zero := 0.0; return zero / zero }

// However a crash cuts the file, all whole records are read, and the next one
// is appended after them.
func TestTornMetrics(t *testing.T) {
	var text []byte
	var ends []int
	full := newRun(t)
	for i := range 3 {
		if err := full.AppendMetrics(someRecord(i, "train")); err != nil {
			t.Fatal(err)
		}
		var err error
		if text, err = full.ReadFile(MetricsFile); err != nil {
			t.Fatal(err)
		}
		ends = append(ends, len(text))
	}
	r := newRun(t)
	rapid.Check(t, func(t *rapid.T) {
		cut := rapid.IntRange(0, len(text)).Draw(t, "cut")
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(r.Path(MetricsFile), text[:cut], 0o644); err != nil {
			t.Fatal(err)
		}
		whole := 0
		for whole < len(ends) && ends[whole] <= cut {
			whole++
		}
		got, err := r.ReadMetrics()
		if err != nil || len(got) != whole {
			t.Fatalf("cut at %d: %d records, %v; want %d", cut, len(got), err, whole)
		}
		if err := r.AppendMetrics(someRecord(77, "train")); err != nil {
			t.Fatal(err)
		}
		if got, err = r.ReadMetrics(); err != nil || len(got) != whole+1 || got[whole].Step != 77 {
			t.Fatalf("cut at %d, then appended: %v, %v", cut, got, err)
		}
	})
}

func TestCorruptMetrics(t *testing.T) {
	r := newRun(t)
	for text, line := range map[string]string{
		"{\"step\":1}\nrubbish\n{\"step\":2}\n":                       "line 2",
		strings.Repeat("x", maxMetricsLine+10) + "\n":                 "line 1",
		"{\"step\":1}\n{\"step\":1, \"values\": {\"a\": \"high\"}}\n": "line 2",
	} {
		if err := os.WriteFile(r.Path(MetricsFile), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		_, err := r.ReadMetrics()
		wantError(t, err, ErrCorrupt, line, MetricsFile)
	}
}

func FuzzDecodeMetrics(f *testing.F) {
	f.Add([]byte("{\"step\":1,\"epoch\":0,\"kind\":\"train\",\"values\":{\"loss\":1}}\n"))
	f.Add([]byte("\n\n{"))
	f.Fuzz(func(t *testing.T, data []byte) {
		records, err := decodeMetrics(bytes.NewReader(data))
		if err == nil && len(records) != bytes.Count(data, []byte("\n")) {
			t.Errorf("%d records of %d lines", len(records), bytes.Count(data, []byte("\n")))
		}
		if err != nil && !errors.Is(err, ErrCorrupt) {
			t.Errorf("error %v does not wrap ErrCorrupt", err)
		}
	})
}

func TestMetaDescribesThisProgram(t *testing.T) {
	m := NewMeta("n", []byte("r"))
	if m.Format != metaFormat || !strings.HasPrefix(m.GoVersion, "go") || m.Host.Cores < 1 || m.Host.OS == "" || len(m.Command) == 0 || m.WheretoVersion == "" {
		t.Errorf("meta %+v has gaps", m)
	}
	if m.RecipeHash != "454349e422f05297191ead13e21d3db520e5abef52055e4964b82fb213f593a1" { // printf r | sha256sum
		t.Errorf("hash of the recipe is %s", m.RecipeHash)
	}
}
