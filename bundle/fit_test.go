package bundle_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/gobackend"

	"github.com/whereto/whereto/bundle"
	"github.com/whereto/whereto/city"
	"github.com/whereto/whereto/fit"
	"github.com/whereto/whereto/pipeline"
	"github.com/whereto/whereto/poi"
	"github.com/whereto/whereto/recipe"
	"github.com/whereto/whereto/run"
	"github.com/whereto/whereto/training"
)

const tinyRecipe = `
name: tiny
data:
  index: {mode: hier, block_km: 5}
  split: {min_poi: 2, min_user: 5}
evidence: {max_past: 8, next: 2, near: 2, history: 50}
batch: {window: 8, chunk: 8, size: 8, location: user, geo_table: 16, profile: 2}
model: {decoder: {layers: 1, dim: 12, heads: 2, kv_heads: 2, ffn: 16}, action_token: true, head_hidden: 8, head_out: 4}
training: {epochs: 1, max_steps: 1, warmup_steps: 1}
recommend: {batch: 8}
`

// trained makes a real run on a data folder, by one step of training.
func trained(t *testing.T, backend compute.Backend, dataDir string) string {
	t.Helper()
	rec, err := recipe.Parse([]byte(tinyRecipe), []string{"data.paths=[" + dataDir + "]"})
	if err != nil {
		t.Fatal(err)
	}
	a, err := fit.Assemble(t.Context(), rec, nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := rec.Resolved()
	if err != nil {
		t.Fatal(err)
	}
	meta := run.NewMeta("tiny", text)
	meta.DataFingerprint, meta.IndexFingerprint = a.Dataset.Fingerprint, a.Index.Fingerprint()
	r, err := run.Create(filepath.Join(t.TempDir(), "run"), meta, text)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := r.WriteTo(run.IndexFile, a.Index.Write); err != nil {
		t.Fatal(err)
	}
	o := a.Options(backend, a.NewStore())
	o.Run, o.Progress = r, training.Progress{Mode: "none"}
	if _, err := training.Train(t.Context(), o, rec.Training); err != nil {
		t.Fatal(err)
	}
	return r.Dir()
}

// answers asks the first test questions.
func answers(t *testing.T, opened *fit.Trained) []poi.Ranked {
	t.Helper()
	var out []poi.Ranked
	for _, target := range opened.Dataset.Targets[poi.Test][:3] {
		list, err := opened.Predictor.Recommend(t.Context(), opened.Dataset.QueryOf(target), 5)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, list...)
	}
	return out
}

// A real run answers from its bundle as before when the run and its data are gone.
func TestBundleAnswersAlone(t *testing.T) {
	backend, err := gobackend.New("ops_sequential")
	if err != nil {
		t.Fatal(err)
	}
	defer backend.Finalize()
	home := t.TempDir()
	data := filepath.Join(home, "city")
	cfg := city.DefaultConfig()
	cfg.Users, cfg.POIs, cfg.Days, cfg.Visits = 30, 300, 30, 30
	if _, err := pipeline.WriteCity(t.Context(), cfg, data, pipeline.CityOptions{}, nil); err != nil {
		t.Fatal(err)
	}
	source := trained(t, backend, data)
	before, err := fit.Open(t.Context(), source, fit.OpenOptions{Backend: backend})
	if err != nil {
		t.Fatal(err)
	}
	want := answers(t, before)
	if err := before.Close(); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "bundle")
	if _, err := bundle.Pack(t.Context(), bundle.PackOptions{Run: source, Out: out}); err != nil {
		t.Fatal(err)
	}
	for _, gone := range []string{home, source} {
		if err := os.RemoveAll(gone); err != nil {
			t.Fatal(err)
		}
	}
	b, err := bundle.Open(t.Context(), out, bundle.VerifyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	after, err := fit.Open(t.Context(), b.Run(), fit.OpenOptions{Backend: backend, Data: b.Data()})
	if err != nil {
		t.Fatal(err)
	}
	if got := answers(t, after); len(want) == 0 || !slices.Equal(got, want) {
		t.Errorf("answers\n%v, before packing\n%v", got, want)
	}
	if err := after.Close(); err != nil {
		t.Fatal(err)
	}
	// Opening and answering wrote nothing into the bundle.
	if _, err := bundle.Open(t.Context(), out, bundle.VerifyOptions{}); err != nil {
		t.Error(err)
	}
}
