package run

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
)

// smallStore holds one variable of each kind; x sets the numbers apart.
func smallStore(t *testing.T, x float32) *model.Store {
	t.Helper()
	s := model.NewStore()
	for _, v := range []struct {
		path  string
		value *tensors.Tensor
	}{
		{"/net/w", tensors.FromValue([][]float32{{x, 2, 3}, {4, 5, 6}})},
		{"/net/scalar", tensors.FromScalar(x)},
		{"/count", tensors.FromValue([]int32{int32(x), -1})},
		{"/optimizer/step", tensors.FromScalar(int64(x))},
	} {
		if _, err := s.CreateVariable(v.path, v.value); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func values(s *model.Store) map[string]any {
	out := map[string]any{}
	for v := range s.IterVariables() {
		out[v.Path()] = v.MustValue().Value()
	}
	return out
}

func mustSave(t *testing.T, r *Run, name string, s *model.Store, st State) {
	t.Helper()
	if err := r.SaveCheckpoint(name, s, st, nil); err != nil {
		t.Fatal(err)
	}
}

// load opens a checkpoint into a store without variables.
func load(t *testing.T, r *Run, name string) (State, map[string]any) {
	t.Helper()
	ck, err := r.OpenCheckpoint(name)
	if err != nil {
		t.Fatal(err)
	}
	defer ck.Close()
	s := model.NewStore()
	if err := ck.Restore(s, nil); err != nil {
		t.Fatal(err)
	}
	return ck.State, values(s)
}

func TestCheckpointRoundTrip(t *testing.T) {
	r := newRun(t)
	if r.HasCheckpoint(Last) {
		t.Error("a new run has a checkpoint")
	}
	want := State{Step: 12, Epoch: 2, Batch: 3, Seed: -5, WithoutGain: 1, LossSum: 0.1, LossWeight: 1.0 / 3, Backend: "go",
		Best: &Choice{Metric: "acc@1", Value: 0.1 + 0.2, Epoch: 1, Step: 8, All: map[string]float64{"acc@1": 0.1 + 0.2, "mrr": 0.5}}}
	s := smallStore(t, 1)
	mustSave(t, r, Last, s, want)
	got, all := load(t, r, Last)
	if !reflect.DeepEqual(all, values(s)) {
		t.Errorf("values %v, want %v", all, values(s))
	}
	want.Format, want.RecipeHash, want.DataFingerprint, want.IndexFingerprint = stateFormat, r.Meta().RecipeHash, "data-a", "index-a"
	if time.Since(got.SavedAt) > time.Hour {
		t.Errorf("saved at %v", got.SavedAt)
	}
	got.SavedAt = time.Time{}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("state\n%+v, want\n%+v", got, want)
	}
	// Load fills a store that has the variables; a filter leaves others alone.
	other := smallStore(t, 9)
	ck, err := r.OpenCheckpoint(Last)
	if err != nil {
		t.Fatal(err)
	}
	defer ck.Close()
	if err := ck.Load(other, func(p string) bool { return strings.HasPrefix(p, "/net/") }); err != nil {
		t.Fatal(err)
	}
	v := values(other)
	if v["/net/scalar"] != float32(1) || v["/optimizer/step"] != int64(9) {
		t.Errorf("after loading /net: %v", v)
	}
}

func TestLoadRefusesOtherModel(t *testing.T) {
	r := newRun(t)
	mustSave(t, r, Last, smallStore(t, 1), State{})
	ck, err := r.OpenCheckpoint(Last)
	if err != nil {
		t.Fatal(err)
	}
	defer ck.Close()
	s := smallStore(t, 2)
	for path, v := range map[string]*tensors.Tensor{"/extra": tensors.FromScalar(float32(1))} {
		if _, err := s.CreateVariable(path, v); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.DeleteVariable("/count"); err != nil {
		t.Fatal(err)
	}
	if err := s.GetVariable("/net/w").SetValue(tensors.FromValue([]float32{1})); err != nil {
		t.Fatal(err)
	}
	before := values(s)
	err = ck.Load(s, nil)
	wantError(t, err, ErrMismatch, "not in the file: extra", "not in the model: count", "net/w is F32[2 3] in the file and F32[1] in the model")
	if !reflect.DeepEqual(values(s), before) {
		t.Error("a refused checkpoint changed the store")
	}
	wantError(t, ck.Restore(s, nil), ErrMismatch, "use Load")
}

func TestCheckpointOfOtherIndexOrData(t *testing.T) {
	r := newRun(t)
	mustSave(t, r, Last, smallStore(t, 1), State{})
	ck, err := r.OpenCheckpoint(Last)
	if err != nil {
		t.Fatal(err)
	}
	defer ck.Close()
	wantError(t, ck.Check("data-a", "index-b"), ErrMismatch, "index-a", "index-b")
	wantError(t, ck.Check("data-b", "index-a"), ErrMismatch, "data-a", "data-b")
	if err := errors.Join(ck.Check("data-a", "index-a"), ck.Check("", "")); err != nil {
		t.Errorf("the right fingerprints: %v", err)
	}
	// A checkpoint copied from another run is noticed when opened.
	recipe := []byte("x")
	meta := NewMeta("other", recipe)
	meta.DataFingerprint, meta.IndexFingerprint = "data-a", "index-b"
	other, err := Create(filepath.Join(t.TempDir(), "other"), meta, recipe)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(other.Path(CheckpointsDir, Last), os.DirFS(r.Path(CheckpointsDir, Last))); err != nil {
		t.Fatal(err)
	}
	_, err = other.OpenCheckpoint(Last)
	wantError(t, err, ErrMismatch, "index-a", "index-b")
}

func TestSpoiledCheckpoint(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(dir string) error
		want  error
	}{
		"no DONE":     {func(d string) error { return os.Remove(filepath.Join(d, DoneFile)) }, ErrIncomplete},
		"empty DONE":  {func(d string) error { return os.Truncate(filepath.Join(d, DoneFile), 0) }, ErrCorrupt},
		"no tensors":  {func(d string) error { return os.Remove(filepath.Join(d, tensorsFile)) }, ErrIncomplete},
		"cut tensors": {func(d string) error { return os.Truncate(filepath.Join(d, tensorsFile), 100) }, ErrCorrupt},
		"cut state":   {func(d string) error { return os.Truncate(filepath.Join(d, stateFile), 10) }, ErrCorrupt},
		"changed bit": {func(d string) error {
			path := filepath.Join(d, tensorsFile)
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			data[len(data)-1] ^= 1
			return os.WriteFile(path, data, 0o644)
		}, ErrCorrupt},
	} {
		r := newRun(t)
		mustSave(t, r, Last, smallStore(t, 1), State{})
		dir := r.Path(CheckpointsDir, Last)
		if err := c.spoil(dir); err != nil {
			t.Fatal(err)
		}
		if _, err := r.OpenCheckpoint(Last); !errors.Is(err, c.want) || !strings.Contains(err.Error(), dir) {
			t.Errorf("%s: %v, want %v naming the folder", name, err, c.want)
		}
	}
}

// fullDisk lets n bytes through and then says what a full disk says.
type fullDisk struct {
	w    io.Writer
	left *int
}

func (f fullDisk) Write(p []byte) (int, error) {
	if len(p) > *f.left {
		n, _ := f.w.Write(p[:*f.left])
		*f.left = 0
		return n, syscall.ENOSPC
	}
	*f.left -= len(p)
	return f.w.Write(p)
}

// Wherever the disk fills up, the error says so and the previous checkpoint is
// whole; nothing temporary is left.
func TestFullDiskKeepsPrevious(t *testing.T) {
	r := newRun(t)
	old := smallStore(t, 1)
	mustSave(t, r, Last, old, State{Step: 1})
	size := 0
	r.wrap = func(w io.Writer) io.Writer { return w }
	dir := r.Path(CheckpointsDir, Last)
	for _, name := range []string{tensorsFile, stateFile, DoneFile} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		size += int(info.Size())
	}
	for room := 0; room < size; room += max(1, size/40) {
		left := room
		r.wrap = func(w io.Writer) io.Writer { return fullDisk{w, &left} }
		err := r.SaveCheckpoint(Last, smallStore(t, 2), State{Step: 2}, nil)
		wantError(t, err, syscall.ENOSPC, "step 2", "previous checkpoint is kept", "no space left")
		st, got := load(t, r, Last)
		if st.Step != 1 || !reflect.DeepEqual(got, values(old)) {
			t.Fatalf("room for %d bytes: the previous checkpoint is now step %d, %v", room, st.Step, got)
		}
	}
	entries, err := os.ReadDir(r.Path(CheckpointsDir))
	if err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
	left := size + 100
	r.wrap = func(w io.Writer) io.Writer { return fullDisk{w, &left} }
	mustSave(t, r, Last, smallStore(t, 2), State{Step: 2})
	if st, _ := load(t, r, Last); st.Step != 2 {
		t.Errorf("with room enough: step %d", st.Step)
	}
}

// A crash between taking the old folder away and putting the new one in place
// leaves a checkpoint that is found, and the next save cleans up.
func TestCrashBetweenRenames(t *testing.T) {
	r := newRun(t)
	mustSave(t, r, Last, smallStore(t, 1), State{Step: 1})
	root := r.Path(CheckpointsDir)
	if err := os.Rename(filepath.Join(root, Last), filepath.Join(root, "."+Last+".old")); err != nil {
		t.Fatal(err)
	}
	if st, _ := load(t, r, Last); st.Step != 1 || !r.HasCheckpoint(Last) {
		t.Errorf("after the crash: step %d", st.Step)
	}
	if err := os.Mkdir(filepath.Join(root, "."+Last+".tmp-123"), 0o755); err != nil { // a save cut short
		t.Fatal(err)
	}
	mustSave(t, r, Last, smallStore(t, 2), State{Step: 2})
	if st, _ := load(t, r, Last); st.Step != 2 {
		t.Errorf("after the next save: step %d", st.Step)
	}
	mustSave(t, r, Last, smallStore(t, 3), State{Step: 3})
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	names := []string{}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if !slices.Equal(names, []string{Last}) {
		t.Errorf("left behind: %v", names)
	}
}

func TestSaveRefuses(t *testing.T) {
	r := newRun(t)
	for _, bad := range []string{"", "../x", "a/b"} {
		if err := r.SaveCheckpoint(bad, smallStore(t, 1), State{}, nil); err == nil {
			t.Errorf("name %q was accepted", bad)
		}
	}
	s := smallStore(t, 1)
	if _, err := s.CreateVariable("/odd", tensors.FromScalar(complex64(1))); err != nil {
		t.Fatal(err)
	}
	if err := r.SaveCheckpoint(Last, s, State{}, nil); err == nil || !strings.Contains(err.Error(), "/odd") {
		t.Errorf("a complex variable: %v", err)
	}
	if r.HasCheckpoint(Last) {
		t.Error("a refused checkpoint is there")
	}
}

func TestListedIsShort(t *testing.T) {
	var many []string
	for i := range 9 {
		many = append(many, fmt.Sprint(i))
	}
	if got := listed("x: ", many); got != "x: 0, 1, 2, 3, 4 and 4 more;" {
		t.Errorf("%q", got)
	}
	if got := listed("x: ", nil); got != "" {
		t.Errorf("%q for nothing", got)
	}
}
