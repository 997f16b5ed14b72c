package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/whereto/whereto/city"
	"github.com/whereto/whereto/internal/testkit"
	"github.com/whereto/whereto/pipeline"
	"github.com/whereto/whereto/poi"
)

// stageTiny trains, beside the run of a city with impressions, an aligned run and a
// ranker: @/run, @/align and @/rank.
func stageTiny(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	const short = "training: {epochs: 1, max_steps: 2, warmup_steps: 1, keep_best: auc}\n"
	aligned := testkit.WriteFile(t, "tiny-align.yaml", "name: tiny-align\ntune: {stage: align, loss: dpo, beta: 1}\nfeed: {requests: 2, options: 16, size: 4}\n"+short)
	ranks := testkit.WriteFile(t, "tiny-rank.yaml", "name: tiny-rank\ntune: {stage: rank}\nfeed: {requests: 2, options: 16, size: 4}\n"+short)
	all(t, dir, "data synth --users 40 --pois 300 --days 30 --impressions 8 --no-images --out @/city", tinyRun,
		"finetune align "+aligned+" --from @/run --out @/align", "finetune rank "+ranks+" --from @/run --out @/rank")
	return dir
}

// reportOf reads `eval --on lists -o json`.
func reportOf(t *testing.T, text string) (r listReport) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return r
}

// From runs to tables, saved lists, two judges and every mistake, on one set of runs.
func TestEvalLists(t *testing.T) {
	dir := stageTiny(t)
	meals := testkit.WriteFile(t, "meals.yaml", "version: 1\nrules: [{name: lunch, hours: \"11:00-15:00\", prefer: Food}]\n")
	line := "eval --on lists @/run @/align --rows 12 --judge city --rules " + meals + " -o json"
	first, stderr, status := at(t, dir, line)
	if status != 0 || !strings.Contains(stderr, "lists of "+filepath.Join(dir, "align")+" for requests") {
		t.Fatalf("status %d: %s", status, stderr)
	}
	report := reportOf(t, first)
	if report.Split != "test" || report.Rows != 12 || report.Top != 100 || report.Seeds != 1 || len(report.Hits) != len(report.Moments) || len(report.Judged) != 1 {
		t.Errorf("report %+v", report)
	}
	t.Run("schema", func(t *testing.T) { listSchema(t, first) })
	if again, _, status := at(t, dir, line+" --saved"); status != 0 || again != first {
		t.Errorf("saved lists: status %d, other figures:\n%s\nwant\n%s", status, again, first)
	}
	if notes, err := os.ReadFile(filepath.Join(dir, "align", readsFile)); err != nil || strings.Count(string(notes), `"test"`) != 1 {
		t.Errorf("notes of looks %q, %v; want one", notes, err)
	}
	t.Run("planted lists", func(t *testing.T) { plantLists(t, dir) })
	t.Run("a model judges", func(t *testing.T) { modelJudges(t, dir) })
	t.Run("mistakes", func(t *testing.T) { listMistakes(t, dir, meals) })
}

// listSchema holds what scripts read.
func listSchema(t *testing.T, text string) {
	var all map[string]any
	if err := json.Unmarshal([]byte(text), &all); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"":          "discovery feed fingerprint hits judged moments moved rows seeds split systems top",
		"systems":   "name runs",
		"moments":   "n name of",
		"hits":      "hunt ks n resamples rows seed users",
		"discovery": "ks moments ms n resamples rows seed users",
		"moved":     "against moments name rules top",
		"judged":    "a b cases failed fits_a fits_b identical judge poi_level resamples rows seed swayed_poi swayed_system system_level",
	} {
		at := all
		if path != "" {
			list, ok := all[path].([]any)
			if !ok || len(list) == 0 {
				t.Errorf("%s is %v", path, all[path])
				continue
			}
			at, _ = list[0].(map[string]any)
		}
		if got := strings.Join(slices.Sorted(maps.Keys(at)), " "); got != want {
			t.Errorf("keys of %q: %s, want %s", path, got, want)
		}
	}
}

// plant replaces the lists of a run at the requests: those of the best or the worst
// places by the truth of the city.
func plant(t *testing.T, dir, name string, pick func(places []int32) []int32, c *city.City, d *poi.Dataset, requests map[string]*poi.Request) {
	t.Helper()
	path := filepath.Join(dir, name, listsName(poi.Test))
	text, err := os.ReadFile(path)
	var f listFile
	if err != nil || json.Unmarshal(text, &f) != nil {
		t.Fatalf("%v in %s", err, text)
	}
	numbers, err := placesOf(c, d)
	if err != nil {
		t.Fatal(err)
	}
	last := &f.Kinds[len(f.Kinds)-1]
	for i := range last.Moments {
		r := requests[last.Moments[i].ID]
		u, _ := personOf(c, d.Users[r.User].ID)
		at := city.Moment{TimeMS: r.TimeMS, OffsetMin: r.OffsetMin, Lat: float64(r.UserLat), Lng: float64(r.UserLng)}
		order := make([]int32, len(d.Places))
		for p := range order {
			order[p] = int32(p)
		}
		slices.SortFunc(order, func(a, b int32) int {
			return cmp.Compare(c.Relevance(u, at, numbers[b]), c.Relevance(u, at, numbers[a]))
		})
		last.Moments[i].Places = nil
		for _, p := range pick(order) {
			last.Moments[i].Places = append(last.Moments[i].Places, d.Places[p].ID)
		}
	}
	if text, err = json.Marshal(f); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o644); err != nil {
		t.Fatal(err)
	}
}

// The judge of the city prefers the best ten places of the truth to the worst ten at
// every request, and says so whichever run holds them.
func plantLists(t *testing.T, dir string) {
	cfg := pipeline.Default()
	cfg.Paths, cfg.Protocol = []string{filepath.Join(dir, "city")}, "last-of-trajectory"
	cfg.Split.MinPOI, cfg.Split.MinUser = 2, 5
	d, _, _, err := pipeline.Load(t.Context(), cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	feed, _, err := pipeline.LoadFeed(t.Context(), cfg, d, nil)
	if err != nil {
		t.Fatal(err)
	}
	requests := map[string]*poi.Request{}
	for i := range feed.Requests {
		requests[feed.Requests[i].ID] = &feed.Requests[i]
	}
	settings, err := pipeline.CityOf(cfg)
	if err != nil {
		t.Fatal(err)
	}
	c, err := city.New(settings)
	if err != nil {
		t.Fatal(err)
	}
	plant(t, dir, "run", func(p []int32) []int32 { return p[len(p)-10:] }, c, d, requests)
	plant(t, dir, "align", func(p []int32) []int32 { return p[:10] }, c, d, requests)
	for _, x := range []struct {
		runs string
		win  float64
	}{{"@/run @/align", 1}, {"@/align @/run", 0}} {
		stdout, stderr, status := at(t, dir, "eval --on lists "+x.runs+" --rows 12 --judge city --judge-cases 7 --saved -o json")
		if status != 0 {
			t.Fatal(stderr)
		}
		j := reportOf(t, stdout).Judged[0]
		if j.Cases > 7 || j.System.Win.Value != x.win || j.System.Lose.Value != 1-x.win {
			t.Errorf("%s: %d cases, won %v, lost %v; want 7 at most, %v, %v", x.runs, j.Cases, j.System.Win.Value, j.System.Lose.Value, x.win, 1-x.win)
		}
	}
}

// modelServer answers every case alike: all places suit, neither list is better.
// After good answers it is down.
func modelServer(t *testing.T, asked *atomic.Int64, good *atomic.Int64) string {
	t.Helper()
	fits := strings.TrimSuffix(strings.Repeat("true,", judgedTop), ",")
	content, err := json.Marshal(fmt.Sprintf(`{"analysis":"a","first_fits":[%s],"second_fits":[%s],"verdict":"even"}`, fits, fits))
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if asked.Add(1) > good.Load() {
			w.Header().Set("Retry-After", "3600") // longer than anybody waits
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"choices":[{"finish_reason":"stop","message":{"role":"assistant","content":%s}}]}`, content)
	}))
	t.Cleanup(s.Close)
	return s.URL + "/v1"
}

// A server that goes away costs nothing but the answers it did not give.
func modelJudges(t *testing.T, dir string) {
	var asked, good atomic.Int64
	good.Store(5)
	line := "eval --on lists @/run @/align --rows 12 --saved --judge endpoint --judge-model m --judge-url " + modelServer(t, &asked, &good)
	stdout, stderr, status := at(t, dir, line)
	cache := filepath.Join(dir, "align", judgeFolder)
	if status != 1 || !strings.Contains(stdout, "discovery rate") || strings.Contains(stdout, "% of cases") {
		t.Errorf("status %d, want 1 with the tables that need no judge:\n%s", status, stdout)
	}
	for _, part := range []string{"endpoint unreachable", "tiny-align against quickstart", listsName(poi.Test), cache, "run again with --saved to go on"} {
		if !strings.Contains(stderr, part) {
			t.Errorf("%q is not in %s", part, stderr)
		}
	}
	asked.Store(0)
	good.Store(1000)
	if stdout, stderr, status = at(t, dir, line+" -o json"); status != 0 {
		t.Fatal(stderr)
	}
	j := reportOf(t, stdout).Judged[0]
	if j.Judge != "m" || j.System.Even.Value != 1 || j.FitsA.Value != 1 || j.Failed != 0 {
		t.Errorf("judged %+v", j)
	}
	if n := int(asked.Load()); n == 0 || n >= 2*j.Cases-j.Identical {
		t.Errorf("%d questions after an interruption, want some and fewer than the %d of all", n, 2*j.Cases-j.Identical)
	}
	asked.Store(0)
	if _, stderr, status = at(t, dir, line); status != 0 || asked.Load() != 0 {
		t.Errorf("status %d and %d questions, want none: all answers are kept; %s", status, asked.Load(), stderr)
	}
}

func listMistakes(t *testing.T, dir, meals string) {
	odd := testkit.WriteFile(t, "odd.yaml", "version: 1\nrules: [{name: lunch, hours: \"11:00-15:00\", prefer: Foood}]\n")
	if _, stderr, status := at(t, dir, "data synth --users 40 --pois 300 --days 30 --seed 9 --impressions 8 --out @/city9"); status != 0 {
		t.Fatal(stderr)
	}
	if _, stderr, status := at(t, dir, "pretrain quickstart --data @/city9 --out @/other", tiny()...); status != 0 {
		t.Fatal(stderr)
	}
	cut := filepath.Join(dir, "run", listsName(poi.Validation))
	if err := os.WriteFile(cut, []byte(`{"format":`), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args   string
		stderr string
		status int
	}{
		{"@/run @/rank", "is of stage rank, which scores candidates and makes no lists", 1},
		{"@/run @/other", "results are not comparable", 1},
		{"@/run @/none", "give the folder that pretrain wrote", 1},
		{"@/run @/align --rules @/none.yaml", "none.yaml", 1},
		{"@/run @/align --rules " + odd + " --saved --rows 12", `no open place has the category "Foood"; nearest is "Food"`, 1},
		{"@/run @/align --saved --rows 11", `its --rows is "12", here "11"; run without --saved once`, 1},
		{"@/run @/align --saved --rows 12 --checkpoint last", `its checkpoint is "best", here "last"`, 1},
		{"@/other --saved", "run without --saved once", 1},
		{"@/run --saved --split validation", "run without --saved once", 1},
		{"@/run --saved --data @/city9", "was trained on data", 1},
		{"@/run --rules " + meals, "give another run", 2},
		{"@/run --rows 0", "--rows is 0, want 1 to 10000", 2},
		{"@/run --judge-cases 20000", "--judge-cases is 20000", 2},
		{"@/run --protocol every-checkin", "--protocol goes with --on targets", 2},
		{"@/run @/align --judge endpoint", "url must look like", 2},
		{"@/run @/align --judge endpoint --judge-url http://localhost:1/v1", "model is empty", 2},
		{"@/run @/align --judge city --judge-model m", "go with --judge endpoint", 2},
		{"@/run --on targets --rules " + meals, "--rules goes with --on lists", 2},
		{"@/run --on impressions --judge city", "--judge goes with --on lists", 2},
	} {
		stdout, stderr, status := at(t, dir, "eval --on lists "+c.args)
		if status != c.status || !strings.Contains(stderr, c.stderr) || stdout != "" {
			t.Errorf("%s: status %d, standard output %q, standard error %q; want %d saying %q", c.args, status, stdout, stderr, c.status, c.stderr)
		}
	}
	// A log without the city's settings has no truth.
	if err := os.WriteFile(filepath.Join(dir, "city", pipeline.CardFile), []byte(`{"name":"log"}`), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, stderr, status := at(t, dir, "eval --on lists @/run @/align --saved --rows 12 --judge city"); status != 1 || !strings.Contains(stderr, "tells of no simulated city") || !strings.Contains(stderr, "--judge endpoint") {
		t.Errorf("status %d, %s", status, stderr)
	}
}
