package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gomlx/compute"

	"github.com/whereto/whereto/engine"
	"github.com/whereto/whereto/eval"
	"github.com/whereto/whereto/fit"
	"github.com/whereto/whereto/internal/testkit"
	"github.com/whereto/whereto/poi"
	"github.com/whereto/whereto/run"
)

// tinySets make the quickstart recipe train in a second on the pure-Go engine.
var tinySets = []string{
	"data.city.users=40", "data.city.pois=300", "data.city.days=30", "data.city.visits=30", "data.split={min_poi: 2, min_user: 5}",
	"evidence={max_past: 8, next: 2, near: 2}", "batch={window: 8, chunk: 8, size: 8, geo_table: 16, profile: 2}",
	"model.decoder={layers: 1, dim: 12, heads: 2, kv_heads: 2, ffn: 16}", "model.head_hidden=8", "model.head_out=4",
	"training={epochs: 2, max_steps: 4, warmup_steps: 1}", "recommend.batch=8",
}

// at runs a command line on the pure-Go engine; words of line are separated by
// spaces, "@" stands for dir.
func at(t *testing.T, dir, line string, more ...string) (stdout, stderr string, status int) {
	t.Helper()
	args := strings.Fields(strings.ReplaceAll(line, "@", dir))
	return runArgs(t, append(append(args, more...), "--backend", "go")...)
}

// goEngine opens the pure-Go engine for the length of a test.
func goEngine(t *testing.T) compute.Backend {
	t.Helper()
	backend, _, err := engine.Open(engine.Go)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(backend.Finalize)
	return backend
}

// tiny are the flags of tinySets.
func tiny() []string {
	var out []string
	for _, s := range tinySets {
		out = append(out, "--set", s)
	}
	return out
}

// tinyRun trains a small run on a city.
const tinyRun = "pretrain quickstart --data @/city --out @/run"

// all runs lines one after another; none may fail.
func all(t *testing.T, dir string, lines ...string) {
	t.Helper()
	for _, line := range lines {
		var more []string
		if line == tinyRun {
			more = tiny()
		}
		if _, stderr, status := at(t, dir, line, more...); status != 0 {
			t.Fatalf("%s: status %d: %s", line, status, stderr)
		}
	}
}

// trainTiny writes the run @/run of the city @/city, which it simulates.
func trainTiny(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	all(t, dir, "data synth --users 40 --pois 300 --days 30 --out @/city", tinyRun)
	return dir
}

// knownVisits returns a user of the run's data and a history file with his last
// visits, of which row unknown (from 1; 0: none) is on a place nobody knows.
func knownVisits(t *testing.T, dir string, unknown int) (user, file string) {
	t.Helper()
	backend := goEngine(t)
	o, err := fit.Open(t.Context(), filepath.Join(dir, "run"), fit.OpenOptions{Backend: backend})
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	u := o.Dataset.Users[0]
	var b strings.Builder
	b.WriteString("user,poi,name,category,lat,lng,time,offset_min,type\n")
	for i, v := range u.Visits[:4] {
		p := o.Dataset.Places[v.POI]
		id := p.ID
		if i+1 == unknown {
			id = "nowhere"
		}
		fmt.Fprintf(&b, "me,%s,%s,%s,%f,%f,%s,%d,%s\n", id, "n", "c", p.Lat, p.Lng, time.UnixMilli(v.TimeMS).UTC().Format(time.RFC3339), v.OffsetMin, o.Dataset.Types[v.Type])
	}
	return u.ID, testkit.WriteFile(t, "history.csv", b.String())
}

// From a log to a table, an audit and recommendations, as a newcomer would.
func TestFromLogToRecommendation(t *testing.T) {
	dir := trainTiny(t)
	user, history := knownVisits(t, dir, 0)
	_, holed := knownVisits(t, dir, 2)
	for _, c := range []struct {
		line   string
		more   []string
		stdout string
		stderr string
	}{
		{"pretrain quickstart --out @/run", tiny(), "is finished already, with seed 1", ""},
		{"pretrain quickstart --data @/city --out @/run2 --seed 2", tiny(), "trained with seed 2: 4 steps", ""},
		{"pretrain quickstart --plan", tiny(), "parameters", ""},
		{"eval @/run --split validation", nil, "recency", ""},
		{"eval @/run --split validation --protocol every-checkin -o json", nil, `"protocol": "every-checkin"`, ""},
		{"eval @/run @/run2", nil, "quickstart: Acc@1 over 2 seeds: mean .", ""},
		{"eval @/run @/run2 -o markdown", nil, "| run2 |", ""},
		{"eval @/run @/run2 -o json", nil, `"sd":`, ""},
		{"audit @/run", nil, "pass  " + eval.CheckFingerprints, ""},
		{"audit @/run -o json --checkpoint last", nil, `"pass": true`, ""},
		{"recommend @/run -k 3 --user " + user, nil, "probability", ""},
		{"recommend @/run -k 3 -o json --lat 45.7 --lng 4.8 --time 2026-01-05T12:00:00+01:00 --user " + user, nil, `"time": "2026-01-05T12:00:00+01:00"`, ""},
		{"recommend @/run -k 3 -o geojson --history " + history, nil, `"FeatureCollection"`, ""},
		{"recommend @/run -k 3 --skip-unknown -o json --history " + holed, nil, `"skipped": 1`, "left out 1 actions"},
		{"bench train quickstart --steps 2 --batches 1 --export @/peer", tiny(), "tokens/s", ""},
		{"bench network quickstart --people 3 --batch 2 --for 20ms", tiny(), "everything kept, 4 clients", ""},
		{"bench index --places 1e3,2000", nil, "2000", ""},
		{"recipes ls", nil, "quickstart", ""},
		{"recipes cat quickstart", nil, "name: quickstart", ""},
	} {
		stdout, stderr, status := at(t, dir, c.line, c.more...)
		if status != 0 {
			t.Fatalf("%s: status %d: %s", c.line, status, stderr)
		}
		if !strings.Contains(stdout, strings.ReplaceAll(c.stdout, "mean .", "mean ")) || !strings.Contains(stderr, c.stderr) {
			t.Errorf("%s: standard output\n%s\nlacks %q, or standard error\n%s\nlacks %q", c.line, stdout, c.stdout, stderr, c.stderr)
		}
	}
	for _, name := range []string{"run/card.json", "run/index.bin", "run/eval-test.json", "run/predictions-test.jsonl",
		"run/eval-validation-every-checkin.json", "run/DONE", "peer/manifest.json", "peer/batches/000/feature.npy", "peer/checkpoints/first/model.safetensors"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What scripts read from `eval -o json` (DESIGN section 11).
func TestEvalJSON(t *testing.T) {
	dir := trainTiny(t)
	stdout, stderr, status := at(t, dir, "eval @/run -o json --progress none")
	if status != 0 || stderr != "" {
		t.Fatalf("status %d: %s", status, stderr)
	}
	type metrics map[string]struct{ Value, Lo, Hi float64 }
	type part struct {
		Share   float64
		Metrics metrics
	}
	var got struct {
		Split, Protocol    string
		N                  int
		Seed               int64
		Metrics            metrics
		Floors             map[string]struct{ Metrics metrics }
		Returns, Discovery part
		Distance           struct{ P50, P75, P90 float64 } `json:"distance_m"`
	}
	if err := json.Unmarshal([]byte(stdout), &got); err != nil {
		t.Fatal(err)
	}
	if got.Split != "test" || got.Protocol != "last-of-trajectory" || got.N < 1 || got.Seed != 1 || got.Distance.P90 <= 0 {
		t.Errorf("got %+v", got)
	}
	if s := got.Returns.Share + got.Discovery.Share; s < 0.999 || s > 1.001 {
		t.Errorf("shares of returns and discovery sum to %v", s)
	}
	for _, name := range []string{"counter", "recency", "markov", "popularity", "last", "nearest"} {
		if _, ok := got.Floors[name].Metrics["acc@1"]; !ok {
			t.Errorf("floor %s is missing", name)
		}
	}
	for _, name := range []string{"acc@1", "acc@5", "acc@10", "mrr"} {
		if m, ok := got.Metrics[name]; !ok || m.Lo > m.Value || m.Value > m.Hi {
			t.Errorf("%s is %+v", name, m)
		}
	}
}

// An audit that cannot fail is worth nothing: two planted leaks are found.
func TestAuditFindsPlantedLeaks(t *testing.T) {
	dir := trainTiny(t)
	// The test split was read before the checkpoint was chosen.
	note := fmt.Sprintf(`{"time":%q,"split":"test"}`+"\n", time.Now().Add(-time.Hour).UTC().Format(time.RFC3339))
	if err := os.WriteFile(filepath.Join(dir, "run", readsFile), []byte(note), 0o644); err != nil {
		t.Fatal(err)
	}
	stdout, stderr, status := at(t, dir, "audit @/run")
	if status != 1 || !strings.Contains(stdout, "FAIL  "+eval.CheckChoice) || !strings.Contains(stderr, "audit failed, 1 of 8") {
		t.Errorf("status %d, %s%s", status, stdout, stderr)
	}
	// A statistic counts the visits of all parts.
	cmd := newAuditCmd()
	backend := goEngine(t)
	o, err := fit.Open(t.Context(), filepath.Join(dir, "run"), fit.OpenOptions{Backend: backend})
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	in, err := auditInput(o, backend)
	if err != nil {
		t.Fatal(err)
	}
	in.Targets = 2
	in.Artefacts = append(in.Artefacts, eval.Artefact{Name: "leaky popularity", Fit: func(d *poi.Dataset) (string, error) {
		n := make([]int, len(d.Places))
		for _, u := range d.Users {
			for _, v := range u.Visits {
				n[v.POI]++
			}
		}
		return fmt.Sprint(n), nil
	}})
	var out strings.Builder
	cmd.SetOut(&out)
	cmd.SetContext(t.Context())
	if err := printAudit(cmd, in, "table"); err == nil || !strings.Contains(out.String(), "FAIL  "+eval.CheckFit) || !strings.Contains(out.String(), "leaky popularity") {
		t.Errorf("%v: %s", err, out.String())
	}
}

// The quickstart walks the whole way, and again without training.
func TestQuickstart(t *testing.T) {
	dir := t.TempDir()
	for i, want := range []string{"Training took", "was trained before"} {
		stdout, stderr, status := at(t, dir, "quickstart --out @/qs --seed 3", tiny()...)
		if status != 0 {
			t.Fatalf("call %d: status %d: %s", i, status, stderr)
		}
		for _, part := range []string{want, " people, ", "recency", "22:00", "report.html", "What to try next"} {
			if !strings.Contains(stdout, part) {
				t.Errorf("call %d: %q is not in\n%s", i, part, stdout)
			}
		}
		if !strings.Contains(stderr, "pure-Go engine is slow") {
			t.Errorf("call %d: nothing said of the slow engine: %s", i, stderr)
		}
	}
	for _, name := range []string{"report.html", "city/places.geojson", run.RecipeFile} {
		if _, err := os.Stat(filepath.Join(dir, "qs", name)); err != nil {
			t.Error(err)
		}
	}
}
