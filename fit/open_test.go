package fit_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/gobackend"

	"github.com/whereto/whereto/fit"
	"github.com/whereto/whereto/index"
	"github.com/whereto/whereto/pipeline"
	"github.com/whereto/whereto/poi"
	"github.com/whereto/whereto/recipe"
	"github.com/whereto/whereto/run"
	"github.com/whereto/whereto/training"
)

// tinyCity is a network of a few thousand numbers on a city of 30 people.
const tinyCity = `
name: tiny
data:
  index: {mode: hier, block_km: 5}
  split: {min_poi: 2, min_user: 5}
  city: {users: 30, pois: 300, days: 30, visits: 30}
evidence: {max_past: 8, next: 2, near: 2, history: 50}
batch: {window: 8, chunk: 8, size: 8, location: user, geo_table: 16, profile: 2}
model: {decoder: {layers: 1, dim: 12, heads: 2, kv_heads: 2, ffn: 16}, action_token: true, head_hidden: 8, head_out: 4}
training: {epochs: 3, max_steps: 6, warmup_steps: 1, ema_decay: 0.9}
recommend: {batch: 8}
`

func cityRecipe(t *testing.T, sets ...string) *recipe.Recipe {
	t.Helper()
	r, err := recipe.Parse([]byte(tinyCity), sets)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func pureGo(t *testing.T) compute.Backend {
	t.Helper()
	b, err := gobackend.New("ops_sequential")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Finalize)
	return b
}

// trainCity trains a recipe into a run folder and returns it with the choice.
func trainCity(t *testing.T, backend compute.Backend, rec *recipe.Recipe) (dir string, best *run.Choice) {
	t.Helper()
	a, err := fit.Assemble(t.Context(), rec, nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := rec.Resolved()
	if err != nil {
		t.Fatal(err)
	}
	dir = filepath.Join(t.TempDir(), "run")
	meta := run.NewMeta("tiny", text)
	meta.DataFingerprint, meta.IndexFingerprint = a.Dataset.Fingerprint, a.Index.Fingerprint()
	r, err := run.Create(dir, meta, text)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := r.WriteTo(run.IndexFile, a.Index.Write); err != nil {
		t.Fatal(err)
	}
	o := a.Options(backend, a.NewStore())
	o.Run, o.Progress = r, training.Progress{Mode: "none"}
	res, err := training.Train(t.Context(), o, rec.Training)
	if err != nil {
		t.Fatal(err)
	}
	return dir, res.Best
}

// What was chosen on validation is what comes back: an opened run has the
// averaged weights of the best epoch, and gives the figures of that moment.
func TestOpenedRunIsTheChosenOne(t *testing.T) {
	backend := pureGo(t)
	dir, best := trainCity(t, backend, cityRecipe(t))
	if best == nil {
		t.Fatal("no epoch was chosen")
	}
	opened, err := fit.Open(t.Context(), dir, fit.OpenOptions{Backend: backend})
	if err != nil {
		t.Fatal(err)
	}
	defer opened.Close()
	got, err := opened.Validate(backend)(t.Context(), opened.Store)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range best.All {
		if got[name] != want {
			t.Errorf("%s is %v in the opened run, was %v at training", name, got[name], want)
		}
	}
	if opened.State.Step != best.Step || opened.Questions != opened.Dataset {
		t.Errorf("state %+v, want step %d", opened.State, best.Step)
	}
	last, err := fit.Open(t.Context(), dir, fit.OpenOptions{Backend: backend, Checkpoint: run.Last, Protocol: "every-checkin"})
	if err != nil {
		t.Fatal(err)
	}
	defer last.Close()
	if last.State.Step != 6 || last.Questions.Protocol != "every-checkin" || last.Dataset.Protocol == "every-checkin" {
		t.Errorf("last checkpoint at step %d, questions by %s", last.State.Step, last.Questions.Protocol)
	}
	if n, m := len(last.Questions.Targets[poi.Test]), len(last.Dataset.Targets[poi.Test]); n <= m {
		t.Errorf("every-checkin asks %d questions, last-of-trajectory %d", n, m)
	}
}

func TestOpenRefuses(t *testing.T) {
	backend := pureGo(t)
	dir, _ := trainCity(t, backend, cityRecipe(t, "training.max_steps=1"))
	flat, _ := trainCity(t, backend, cityRecipe(t, "training.max_steps=1", "data.index.mode=flat"))
	bigger, _ := trainCity(t, backend, cityRecipe(t, "training.max_steps=1", "model.head_hidden=9"))
	for _, c := range []struct {
		name string
		harm func(t *testing.T, dir string)
		want error
		says string
	}{
		{"no recipe", remove(run.RecipeFile), run.ErrIncomplete, run.RecipeFile},
		{"no meta", remove(run.MetaFile), run.ErrIncomplete, run.MetaFile},
		{"no index", remove(run.IndexFile), run.ErrIncomplete, "--resume auto"},
		{"no checkpoint", remove(run.CheckpointsDir, run.Best), run.ErrIncomplete, "--checkpoint last"},
		{"half a checkpoint", remove(run.CheckpointsDir, run.Best, run.DoneFile), run.ErrIncomplete, run.DoneFile},
		{"another index", copyFrom(flat, run.IndexFile), run.ErrMismatch, "copy the run's own index back"},
		{"a checkpoint from another index", copyFrom(flat, run.CheckpointsDir, run.Best), run.ErrMismatch, "index"},
		{"a checkpoint of another network", copyFrom(bigger, run.CheckpointsDir, run.Best), run.ErrMismatch, "do not fit"},
		{"another city", edit(run.RecipeFile, "days: 30", "days: 29"), run.ErrMismatch, "was trained on data"},
		{"edited recipe", edit(run.RecipeFile, "epochs:", "epoks:"), recipe.ErrRecipe, `"epochs"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			bad := filepath.Join(t.TempDir(), "run")
			if err := os.CopyFS(bad, os.DirFS(dir)); err != nil {
				t.Fatal(err)
			}
			c.harm(t, bad)
			opened, err := fit.Open(t.Context(), bad, fit.OpenOptions{Backend: backend})
			if err == nil {
				opened.Close()
			}
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want %v saying %q", err, c.want, c.says)
			}
		})
	}
	for name, o := range map[string]fit.OpenOptions{
		"unknown checkpoint": {Backend: backend, Checkpoint: "newest"},
		"unknown protocol":   {Backend: backend, Protocol: "random"},
	} {
		if _, err := fit.Open(t.Context(), dir, o); !errors.Is(err, poi.ErrBadInput) {
			t.Errorf("%s: got %v, want ErrBadInput", name, err)
		}
	}
	if _, err := fit.Open(t.Context(), filepath.Join(dir, "none"), fit.OpenOptions{Backend: backend}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no folder: %v", err)
	}
}

func remove(parts ...string) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		if err := os.RemoveAll(filepath.Join(append([]string{dir}, parts...)...)); err != nil {
			t.Fatal(err)
		}
	}
}

func copyFrom(other string, parts ...string) func(*testing.T, string) {
	name := filepath.Join(parts...)
	return func(t *testing.T, dir string) {
		remove(parts...)(t, dir)
		from := filepath.Join(other, name)
		info, err := os.Stat(from)
		if err != nil {
			t.Fatal(err)
		}
		if info.IsDir() {
			err = os.CopyFS(filepath.Join(dir, name), os.DirFS(from))
		} else {
			var data []byte
			if data, err = os.ReadFile(from); err == nil {
				err = os.WriteFile(filepath.Join(dir, name), data, 0o644)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func edit(name, old, now string) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		path := filepath.Join(dir, name)
		text, err := os.ReadFile(path)
		if err != nil || !strings.Contains(string(text), old) {
			t.Fatalf("%s lacks %q (%v)", name, old, err)
		}
		if err := os.WriteFile(path, []byte(strings.Replace(string(text), old, now, 1)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// The plan counts what training then does.
func TestPlan(t *testing.T) {
	backend := pureGo(t)
	rec := cityRecipe(t)
	a, err := fit.Assemble(t.Context(), rec, nil)
	if err != nil {
		t.Fatal(err)
	}
	p, err := a.Plan(t.Context(), backend, 2)
	if err != nil {
		t.Fatal(err)
	}
	if p.Steps != 6 || p.Parameters == 0 || p.FLOPs <= 0 || p.Seconds != p.FLOPs/2e9 {
		t.Errorf("plan %+v", p)
	}
	store := a.NewStore()
	cfg := rec.Training
	cfg.MaxSteps = 1
	o := a.Options(backend, store)
	o.Validate, o.Progress = nil, training.Progress{Mode: "none"}
	if _, err := training.Train(t.Context(), o, cfg); err != nil {
		t.Fatal(err)
	}
	if n := training.Parameters(store); n != p.Parameters {
		t.Errorf("the plan has %d parameters, training %d", p.Parameters, n)
	}
}

// Without validation targets nothing can be chosen, and nothing is validated.
func TestOptionsWithoutValidation(t *testing.T) {
	rec := cityRecipe(t)
	d, ix, report, err := pipeline.Load(t.Context(), rec.Data, nil)
	if err != nil {
		t.Fatal(err)
	}
	a, err := fit.New(rec, d, ix, report)
	if err != nil {
		t.Fatal(err)
	}
	backend := pureGo(t)
	if a.Options(backend, a.NewStore()).Validate == nil {
		t.Error("validation targets, but no Validate")
	}
	d.Targets[poi.Validation] = nil
	if a.Options(backend, a.NewStore()).Validate != nil {
		t.Error("no validation targets, but a Validate")
	}
	if ix.Mode != index.Hier {
		t.Errorf("index mode %s", ix.Mode)
	}
}
