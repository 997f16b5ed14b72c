package tune

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/whereto/whereto/fit"
	"github.com/whereto/whereto/internal/testkit"
	"github.com/whereto/whereto/poi"
	"github.com/whereto/whereto/recipe"
	"github.com/whereto/whereto/run"
	"github.com/whereto/whereto/training"
)

// tinyBase is a network of a few thousand numbers on a city of 60 people.
const tinyBase = `
name: tiny
data:
  protocol: last-of-user
  index: {mode: hier, block_km: 5}
  split: {min_poi: 1, min_user: 5}
  city: {users: 60, pois: 300, days: 28, visits: 20, impressions: 6}
batch: {window: 12, chunk: 12, size: 8, location: user, geo_table: 16, profile: 2}
model:
  decoder: {layers: 1, dim: 12, heads: 2, kv_heads: 2, ffn: 16, dropout: 0}
  copy_head: false
  evidence: false
  generate_weight: 0
  user_embedding: false
  action_token: true
  dropout: 0
training: {epochs: 1, max_steps: 3, lr: 0.01, min_lr: 0.001, warmup_steps: 1, ema_decay: 0, checkpoint_minutes: 0, log_every: 1, prefetch: 0}
recommend: {batch: 8}
`

// tinyStage is read over tinyBase; the stage comes with the settings.
const tinyStage = `
name: tiny-stage
training: {epochs: 1, max_steps: 6, lr: 0.01, min_lr: 0.001, warmup_steps: 1, weight_decay: 0, ema_decay: 0, checkpoint_minutes: 0, log_every: 1, prefetch: 0, keep_best: auc}
feed: {requests: 2, options: 16, size: 4}
`

var stages = []string{"embed", "rank", "align"}

// world is the pre-trained run that all tests start from.
type world struct {
	dir  string // its run folder
	base *fit.Assembly
}

var theWorld = sync.OnceValues(func() (w *world, err error) {
	dir, err := os.MkdirTemp("", "tune")
	if err != nil {
		return nil, err
	}
	w = &world{dir: filepath.Join(dir, "base")}
	rec, err := recipe.Parse([]byte(tinyBase), nil)
	if err != nil {
		return w, err
	}
	if w.base, err = fit.Assemble(context.Background(), rec, nil); err != nil {
		return w, err
	}
	backend, err := goBackend()
	if err != nil {
		return w, err
	}
	defer backend.Finalize()
	r, err := createRun(w.dir, w.base)
	if err != nil {
		return w, err
	}
	o := training.Options{Backend: backend, Store: w.base.NewStore(), Model: w.base.Model, Batches: w.base.Batches(), Run: r, Progress: training.Progress{Mode: "none"}}
	_, err = training.Train(context.Background(), o, rec.Training)
	return w, errors.Join(err, r.Close())
})

func TestMain(m *testing.M) {
	code := m.Run()
	if w, _ := theWorld(); w != nil {
		_ = os.RemoveAll(filepath.Dir(w.dir)) // the system clears what is left
	}
	os.Exit(code)
}

func getWorld(t testing.TB) *world {
	t.Helper()
	w, err := theWorld()
	must(t, err)
	return w
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// pureGo is the engine of tests that need one only.
func pureGo(t testing.TB) compute.Backend {
	t.Helper()
	b, err := goBackend()
	must(t, err)
	t.Cleanup(b.Finalize)
	return b
}

// createRun makes a run folder as `whereto finetune` does.
func createRun(dir string, a *fit.Assembly) (*run.Run, error) {
	text, err := a.Recipe.Resolved()
	if err != nil {
		return nil, err
	}
	meta := run.NewMeta(a.Recipe.Name, text)
	meta.DataFingerprint, meta.IndexFingerprint = a.Dataset.Fingerprint, a.Index.Fingerprint()
	r, err := run.Create(dir, meta, text)
	if err != nil {
		return nil, err
	}
	return r, r.WriteTo(run.IndexFile, a.Index.Write)
}

// newRun is createRun in a folder of the test's own.
func newRun(t testing.TB, a *fit.Assembly) *run.Run {
	t.Helper()
	r, err := createRun(filepath.Join(t.TempDir(), "run"), a)
	must(t, err)
	t.Cleanup(func() { must(t, r.Close()) })
	return r
}

// weights are those of the pre-trained run, in a store of their own: a tensor
// belongs to the engine that first used it.
func (w *world) weights(t testing.TB) *model.Store {
	t.Helper()
	r, err := run.Open(w.dir)
	must(t, err)
	defer r.Close()
	ck, err := r.OpenCheckpoint(run.Last)
	must(t, err)
	defer ck.Close()
	store := w.base.NewStore()
	must(t, ck.Restore(store, training.IsModelPath))
	return store
}

func (w *world) recipe(t testing.TB, stage string, sets ...string) *recipe.Recipe {
	t.Helper()
	rec, err := recipe.Over(w.base.Recipe, []byte(tinyStage), append([]string{"tune={stage: " + stage + ", dim: 6}"}, sets...))
	must(t, err)
	return rec
}

// stage assembles a stage on the pre-trained run.
func (w *world) stage(t testing.TB, backend compute.Backend, stage string, sets ...string) *Assembly {
	t.Helper()
	a, err := Assemble(t.Context(), w.base, w.recipe(t, stage, sets...), Options{Backend: backend})
	must(t, err)
	return a
}

// withMedia switches the encoder on that needs no model.
var withMedia = []string{"media={kind: builtin, dim: 256, image: layout}"}

// learn trains a stage from store and returns the values of every step.
func (a *Assembly) learn(t testing.TB, backend compute.Backend, store *model.Store, cfg training.Config, change func(o *training.Options)) (*run.Run, []map[string]float64) {
	t.Helper()
	o, err := a.Options(t.Context(), backend, store, nil)
	must(t, err)
	o.Validate, o.Run, o.Progress = nil, newRun(t, a.Assembly), training.Progress{Mode: "none"}
	if change != nil {
		change(&o)
	}
	_, err = training.Train(t.Context(), o, cfg)
	must(t, err)
	records, err := o.Run.ReadMetrics()
	must(t, err)
	var steps []map[string]float64
	for _, r := range records {
		if r.Kind == "train" {
			steps = append(steps, r.Values)
		}
	}
	return o.Run, steps
}

// only gives the first batch again and again.
type only struct {
	training.Batches
	steps int
}

func (o only) Steps(int) int { return o.steps }

func (o only) Batch(ctx context.Context, _, _ int) (training.Batch, error) {
	return o.Batches.Batch(ctx, 0, 0)
}

// some are requests of the feed, n evenly spaced.
func (a *Assembly) some(n int) []*poi.Request {
	var out []*poi.Request
	for i := 0; i < len(a.Feed.Requests); i += max(1, len(a.Feed.Requests)/n) {
		out = append(out, &a.Feed.Requests[i])
	}
	return out
}

// rank scores requests.
func rank(t testing.TB, r poi.Ranker, requests ...*poi.Request) [][]float64 {
	t.Helper()
	dst := room(requests)
	must(t, r.Rank(t.Context(), requests, dst))
	return dst
}

// ranker is the stage's ranker on the weights of store.
func (a *Assembly) ranker(t testing.TB, backend compute.Backend, store *model.Store) poi.Ranker {
	t.Helper()
	r, err := a.Ranker("test", backend, store)
	must(t, err)
	return r
}

// apart is the largest difference of scores.
func apart(t testing.TB, a, b [][]float64) float64 {
	t.Helper()
	worst := 0.0
	if len(a) != len(b) {
		t.Fatalf("%d and %d requests", len(a), len(b))
	}
	for i := range a {
		if len(a[i]) != len(b[i]) {
			t.Fatalf("request %d: %d and %d scores", i, len(a[i]), len(b[i]))
		}
		for j := range a[i] {
			if d := math.Abs(a[i][j] - b[i][j]); !(d <= worst) {
				worst = d
			}
		}
	}
	return worst
}

// spread is the largest difference of scores within one set: what a bound on apart
// means something beside.
func spread(scores [][]float64) float64 {
	lo, hi := math.Inf(1), math.Inf(-1)
	for _, row := range scores {
		for _, x := range row {
			lo, hi = min(lo, x), max(hi, x)
		}
	}
	return hi - lo
}

// sameWeights compares the network's variables bit by bit.
func sameWeights(t testing.TB, a, b *model.Store) {
	t.Helper()
	n := 0
	for v := range a.IterVariables() {
		if !training.IsModelPath(v.Path()) || !strings.HasPrefix(v.Path(), "/spacetime") {
			continue
		}
		other := b.GetVariable(v.Path())
		if other == nil {
			t.Errorf("%s is in one store only", v.Path())
			continue
		}
		n++
		x, y := tensors.MustCopyFlatData[float32](v.MustValue()), tensors.MustCopyFlatData[float32](other.MustValue())
		for i := range x {
			if math.Float32bits(x[i]) != math.Float32bits(y[i]) {
				t.Errorf("%s[%d] is %v and %v", v.Path(), i, x[i], y[i])
				break
			}
		}
	}
	if n == 0 {
		t.Error("no weights to compare")
	}
}

// eachBackend runs a test on every engine at hand.
func eachBackend(t *testing.T, f func(t *testing.T, backend compute.Backend)) {
	for name, backend := range testkit.Backends(t) {
		t.Run(name, func(t *testing.T) { f(t, backend) })
	}
}

func wantError(t testing.TB, err, is error, parts ...string) {
	t.Helper()
	if !errors.Is(err, is) {
		t.Fatalf("error %v, want one that wraps %q", err, is)
	}
	for _, part := range parts {
		if !strings.Contains(fmt.Sprint(err), part) {
			t.Errorf("error %v does not say %q", err, part)
		}
	}
}

// pick are the first requests of a feed.
func pick(f *poi.Feed, n int) []*poi.Request {
	var out []*poi.Request
	for i := range n {
		out = append(out, &f.Requests[i])
	}
	return out
}
