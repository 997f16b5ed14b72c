package bundle

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/whereto/whereto/pipeline"
	"github.com/whereto/whereto/poi"
	"github.com/whereto/whereto/run"
)

func TestPackAndOpen(t *testing.T) {
	dir, m := packed(t)
	b, err := Open(t.Context(), dir, VerifyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(b.Manifest, m) {
		t.Errorf("opened\n%+v, packed\n%+v", b.Manifest, m)
	}
	if m.Name != "fake" || !slices.Equal(m.Roles, []string{"generate", "rank", "embed"}) || len(m.Version) != 12 || m.Runs["run"].Seed != 7 || m.Runs["embed"].DataFingerprint != "data-a" {
		t.Errorf("manifest %+v", m)
	}
	var files []string
	for _, p := range m.Parts {
		files = append(files, p.Path)
	}
	want := []string{"data/0/log- new york.tsv", "data/1/nyc/actions.parquet", "data/1/nyc/impressions.parquet", "data/1/nyc/profiles.parquet"}
	for _, d := range []string{"embed", "rank", "run"} {
		for _, f := range []string{"checkpoints/best/DONE", "checkpoints/best/model.safetensors", "checkpoints/best/state.json", "index.bin", "meta.json", "recipe.yaml"} {
			want = append(want, d+"/"+f)
		}
	}
	if !slices.Equal(files, want) {
		t.Errorf("parts\n%v, want\n%v", files, want)
	}
	if got := b.Data(); !slices.Equal(got, []string{filepath.Join(dir, "data", "0", "log- new york.tsv"), filepath.Join(dir, "data", "1", "nyc")}) {
		t.Errorf("data at %v", got)
	}
	for what, folder := range map[string]string{"run": b.Run(), "embed": b.Embed(), "rank": b.Rank()} {
		r, err := run.Open(folder)
		if err != nil || folder != filepath.Join(dir, what) {
			t.Fatalf("%s at %s: %v", what, folder, err)
		}
		ck, err := r.OpenCheckpoint(run.Best)
		if err != nil || ck.State.Step != 3 {
			t.Fatalf("%s: %v", what, err)
		}
		if err := ck.Close(); err != nil {
			t.Error(err)
		}
	}
	alone, _ := small(t, "name: alone\n")
	if b, err = Open(t.Context(), alone, VerifyOptions{}); err != nil || b.Embed() != "" || b.Rank() != "" || b.Data() != nil || b.Dir() != alone {
		t.Errorf("a run alone: %+v, error %v", b, err)
	}
}

// The same parts have the same version wherever and whenever they are packed; what the
// source does afterwards does not reach the bundle.
func TestBundleStandsAlone(t *testing.T) {
	log, folder := fakeData(t)
	source := fakeRun(t, "name: x\n")
	var versions []string
	var last string
	for range 2 {
		last = filepath.Join(t.TempDir(), "b")
		m, err := Pack(t.Context(), PackOptions{Run: source, Data: []string{log, folder}, Out: last})
		if err != nil {
			t.Fatal(err)
		}
		versions = append(versions, m.Version)
		if i := slices.IndexFunc(m.Parts, func(p Part) bool { return strings.Contains(p.Path, "impressions") }); i >= 0 {
			t.Errorf("a bundle that only generates holds %s", m.Parts[i].Path)
		}
	}
	if versions[0] != versions[1] {
		t.Errorf("versions %v of the same parts", versions)
	}
	f, err := os.OpenFile(log, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("grown\n"); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Close(), os.RemoveAll(source), os.RemoveAll(folder)); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), last, VerifyOptions{}); err != nil {
		t.Error(err)
	}
}

func TestPackTakesTheRecipesData(t *testing.T) {
	log, folder := fakeData(t)
	out := filepath.Join(t.TempDir(), "b")
	m, err := Pack(t.Context(), PackOptions{Run: fakeRun(t, "data:\n  paths: ["+folder+", '"+log+"']\n  format: actions\n"), Out: out})
	if err != nil {
		t.Fatal(err)
	}
	if m.Parts[0].Path != "data/0/nyc/actions.parquet" || m.Parts[2].Path != "data/1/log- new york.tsv" {
		t.Errorf("parts %+v", m.Parts[:3])
	}
}

// ofAnotherIndex makes a run of the rank stage whole in itself, on another index.
func ofAnotherIndex(dir string) error {
	text, err := os.ReadFile(filepath.Join(dir, "meta.json"))
	if err != nil {
		return err
	}
	text = bytes.Replace(text, []byte(`"index-a"`), []byte(`"index-b"`), 1)
	state, err := os.ReadFile(filepath.Join(dir, "checkpoints/best/state.json"))
	if err != nil {
		return err
	}
	sum := run.Fingerprint(state)
	state = bytes.Replace(state, []byte(`"index-a"`), []byte(`"index-b"`), 1)
	done, err := os.ReadFile(filepath.Join(dir, "checkpoints/best/DONE"))
	if err != nil {
		return err
	}
	done = bytes.Replace(done, []byte(sum), []byte(run.Fingerprint(state)), 1)
	recipe := []byte("tune: {stage: rank}\n")
	text = bytes.Replace(text, []byte(run.Fingerprint([]byte("name: base\n"))), []byte(run.Fingerprint(recipe)), 1)
	return errors.Join(os.WriteFile(filepath.Join(dir, "meta.json"), text, 0o644), os.WriteFile(filepath.Join(dir, "recipe.yaml"), recipe, 0o644),
		os.WriteFile(filepath.Join(dir, "checkpoints/best/state.json"), state, 0o644), os.WriteFile(filepath.Join(dir, "checkpoints/best/DONE"), done, 0o644))
}

func TestPackRefuses(t *testing.T) {
	base := fakeRun(t, "name: base\n")
	spoilt := func(do func(dir string) error) string {
		dir := fakeRun(t, "name: base\n")
		if err := do(dir); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	remove := func(name ...string) func(string) error {
		return func(dir string) error { return os.RemoveAll(filepath.Join(append([]string{dir}, name...)...)) }
	}
	_, folder := fakeData(t)
	empty := t.TempDir()
	for _, tt := range []struct {
		name string
		o    PackOptions
		want error
		says string
	}{
		{"no run named", PackOptions{}, poi.ErrBadInput, "folder of a run"},
		{"no run there", PackOptions{Run: filepath.Join(empty, "none")}, fs.ErrNotExist, "none"},
		{"not a run", PackOptions{Run: empty}, run.ErrIncomplete, "meta.json"},
		{"no checkpoint", PackOptions{Run: spoilt(remove("checkpoints", "best"))}, run.ErrIncomplete, "best"},
		{"half a checkpoint", PackOptions{Run: spoilt(remove("checkpoints", "best", "DONE"))}, fs.ErrNotExist, "DONE"},
		{"no index", PackOptions{Run: spoilt(remove("index.bin"))}, fs.ErrNotExist, "index.bin"},
		{"damaged weights", PackOptions{Run: spoilt(func(dir string) error {
			return os.Truncate(filepath.Join(dir, "checkpoints", "best", "model.safetensors"), 100)
		})}, run.ErrCorrupt, "model.safetensors"},
		{"edited recipe", PackOptions{Run: spoilt(func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "recipe.yaml"), []byte("name: other\n"), 0o644)
		})}, ErrCorrupt, "recipe.yaml"},
		{"a recipe that is none", PackOptions{Run: fakeRun(t, "a: [\n")}, run.ErrCorrupt, "recipe.yaml"},
		{"a ranker that generates", PackOptions{Run: fakeRun(t, "tune: {stage: rank}\n")}, poi.ErrBadInput, `stage "rank"`},
		{"a generator that ranks", PackOptions{Run: base, Rank: base}, poi.ErrBadInput, "role of rank"},
		{"a ranker of another index", PackOptions{Run: base, Rank: spoilt(ofAnotherIndex)}, run.ErrMismatch, "index-b"},
		{"no data there", PackOptions{Run: base, Data: []string{filepath.Join(empty, "log.tsv")}}, fs.ErrNotExist, "log.tsv"},
		{"a folder without a log", PackOptions{Run: base, Data: []string{empty}}, fs.ErrNotExist, "actions.parquet"},
		{"impressions elsewhere", PackOptions{Run: base, Rank: fakeRun(t, "data: {impressions: [/far/away]}\ntune: {stage: rank}\n"), Data: []string{folder}}, poi.ErrBadInput, "data.impressions"},
		{"half a signing key", PackOptions{Run: base, Sign: ed25519.PrivateKey("short")}, poi.ErrBadInput, "5 bytes"},
	} {
		parent := t.TempDir()
		tt.o.Out = filepath.Join(parent, "out")
		if tt.name == "no run named" {
			tt.o.Out = ""
		}
		_, err := Pack(t.Context(), tt.o)
		wantError(t, tt.name, err, tt.want, tt.says)
		if left := tree(t, parent); len(left) > 0 {
			t.Errorf("%s: left %v", tt.name, left)
		}
	}
	if _, err := Pack(t.Context(), PackOptions{Run: base, Out: empty}); !errors.Is(err, fs.ErrExist) {
		t.Errorf("over a folder: error %v", err)
	}
}

// Stopped at any moment, Pack leaves nothing, and says that it was stopped.
func TestInterruptedPackLeavesNothing(t *testing.T) {
	log, folder := fakeData(t)
	source := fakeRun(t, "name: x\n")
	for stop := 0; ; stop++ {
		parent := t.TempDir()
		out := filepath.Join(parent, "out")
		_, err := Pack(stopAt(t.Context(), stop), PackOptions{Run: source, Data: []string{log, folder}, Out: out})
		if err == nil {
			if stop < 10 {
				t.Fatalf("only %d moments to stop at", stop)
			}
			if _, err := Open(t.Context(), out, VerifyOptions{}); err != nil {
				t.Error(err)
			}
			break
		}
		if left := tree(t, parent); !errors.Is(err, context.Canceled) || len(left) > 0 {
			t.Fatalf("stopped at moment %d: error %v, left %v", stop, err, left)
		}
	}
	if got := tree(t, filepath.Dir(source)); !slices.Contains(got, "run/index.bin") {
		t.Errorf("the source has only %v", got)
	}
}

func TestOpenStops(t *testing.T) {
	dir, _ := small(t, "name: x\n")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Open(ctx, dir, VerifyOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

// harms is what may happen to a file.
func harms(t *testing.T) map[string]func(path string) error {
	return map[string]func(path string) error{
		"a bit": func(path string) error {
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			text[len(text)/2] ^= 1
			return os.WriteFile(path, text, 0o644)
		},
		"cut":     func(path string) error { return os.Truncate(path, 1) },
		"emptied": func(path string) error { return os.Truncate(path, 0) },
		"longer": func(path string) error {
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			return os.WriteFile(path, append(text, 0), 0o644)
		},
		"gone": os.Remove,
		"a link to the same": func(path string) error {
			away := filepath.Join(t.TempDir(), "away")
			return errors.Join(os.Rename(path, away), os.Symlink(away, path))
		},
		"a folder":        func(path string) error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o755)) },
		"another beside":  func(path string) error { return os.WriteFile(path+".bak", nil, 0o644) },
		"a link beside":   func(path string) error { return os.Symlink(path, path+".link") },
		"a folder beside": func(path string) error { return os.Mkdir(path+".d", 0o755) },
	}
}

// Whatever happens to any file of a bundle, Open refuses it and names the file.
func TestOpenRefusesAnyChange(t *testing.T) {
	original, m := packed(t)
	dir := copyDir(t, original)
	refused := func(file, name string, harm func(path string) error) {
		path := filepath.Join(dir, filepath.FromSlash(file))
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := harm(path); err != nil {
			t.Fatal(err)
		}
		_, err = Open(t.Context(), dir, VerifyOptions{})
		wantError(t, file+" "+name, err, ErrCorrupt, file)
		beside, err := filepath.Glob(path + ".*")
		if err != nil {
			t.Fatal(err)
		}
		for _, harmed := range append(beside, path) {
			if err := os.RemoveAll(harmed); err != nil {
				t.Fatal(err)
			}
		}
		mustWrite(t, path, string(text))
	}
	for name, harm := range harms(t) {
		for _, p := range m.Parts {
			refused(p.Path, name, harm)
		}
		refused(ManifestFile, name, harm)
	}
	if _, err := Open(t.Context(), dir, VerifyOptions{}); err != nil {
		t.Errorf("mended: %v", err)
	}
	if _, err := Open(t.Context(), filepath.Join(original, "none"), VerifyOptions{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no folder: error %v", err)
	}
}

// The names this package knows are those the others write.
func TestNamesOfOtherPackages(t *testing.T) {
	if want := []string{pipeline.ActionsFile, pipeline.ProfilesFile, pipeline.DetailsFile, pipeline.ImpressionsFile}; !slices.Equal(dataFiles, want) {
		t.Errorf("data files %v, package pipeline reads %v", dataFiles, want)
	}
	dir := fakeRun(t, "name: x\n")
	for _, name := range runFiles {
		if _, err := os.Stat(filepath.Join(dir, filepath.FromSlash(name))); err != nil {
			t.Error(err)
		}
	}
}
