package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/whereto/whereto/casebook"
	"github.com/whereto/whereto/internal/testkit"
	"github.com/whereto/whereto/poi"
	"github.com/whereto/whereto/run"
	"github.com/whereto/whereto/tune"
)

// rankTiny writes the run @/rank on top of that of trainTiny's recipe.
func rankTiny(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	recipe := testkit.WriteFile(t, "rank.yaml", "name: tiny-rank\ntraining: {epochs: 1, max_steps: 4, warmup_steps: 1, keep_best: auc}\n"+
		"feed: {requests: 2, options: 16, size: 4}\ntune: {stage: rank}\nmedia: {kind: builtin, dim: 256}\n")
	all(t, dir, "data synth --users 40 --pois 300 --days 30 --impressions 6 --out @/city", tinyRun,
		"finetune rank "+recipe+" --from @/run --out @/rank")
	return dir
}

func TestExplain(t *testing.T) {
	dir := rankTiny(t)
	stdout, stderr, status := at(t, dir, "explain @/rank -o json")
	if status != 0 {
		t.Fatal(stderr)
	}
	var got explained
	if err := json.Unmarshal([]byte(stdout), &got); err != nil {
		t.Fatal(err)
	}
	if got.Clicked == nil || !*got.Clicked || got.Rank < 1 || got.Rank > got.Shown || got.Against != "popularity" || got.Click == nil || !(*got.Click <= *got.Relevance) ||
		len(got.Likes) == 0 || len(got.Parts) < 3 || got.Probability <= 0 || got.Probability >= 1 {
		t.Errorf("%+v", got)
	}
	for _, list := range [][]tune.Cause{got.Actions, got.Parts} {
		if !slices.IsSortedFunc(list, func(a, b tune.Cause) int {
			if max(a.Delta, -a.Delta) < max(b.Delta, -b.Delta) {
				return 1
			}
			return -1
		}) {
			t.Errorf("causes are not by size: %+v", list)
		}
	}
	page, err := os.ReadFile(filepath.Join(dir, "rank", "case.html"))
	if err != nil || !strings.Contains(string(page), "whereto case page") || !strings.Contains(string(page), got.Request) || !strings.Contains(string(page), "data:image/png") {
		t.Errorf("page of %d bytes: %v", len(page), err)
	}

	// The same case by its name, beside a run of another stage.
	stdout, stderr, status = at(t, dir, "explain @/rank --request "+got.Request+" --poi "+got.POI+" --against @/run --out @/case.html")
	if status != 0 || !strings.Contains(stderr, "wrote ") {
		t.Fatal(stderr)
	}
	for _, want := range []string{"request " + got.Request, "(" + got.POI + ")", "clicked", "by quickstart ", "past action", "part", "hidden truth"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("the table\n%s\nlacks %q", stdout, want)
		}
	}
	// Without --poi it is the clicked one that the run ranks highest; any place can be asked for.
	for _, line := range []string{"explain @/rank --request " + got.Request, "explain @/rank --split validation", "explain @/rank --poi " + got.POI,
		"explain @/rank --request " + got.Request + " --poi " + another(t, dir, got.POI)} {
		if stdout, stderr, status := at(t, dir, line+" --out @/case.html"); status != 0 || !strings.Contains(stdout, "probability of a click") {
			t.Errorf("%s: status %d, %s, %s", line, status, stdout, stderr)
		}
	}
	notes, err := os.ReadFile(filepath.Join(dir, "rank", readsFile))
	if err != nil || strings.Count(string(notes), `"test"`) != 5 || strings.Count(string(notes), `"validation"`) != 1 {
		t.Errorf("looks at the parts: %s, %v", notes, err)
	}
	explainFails(t, dir, got.Request)
}

// another is a POI of the run's data that is not the one given.
func another(t *testing.T, dir, id string) string {
	t.Helper()
	_, stderr, _ := at(t, dir, "explain @/rank --poi nowhere")
	_, list, ok := strings.Cut(stderr, "near it are ")
	if !ok {
		t.Fatal(stderr)
	}
	for _, p := range strings.Split(strings.TrimSpace(list), ", ") {
		if p != id {
			return p
		}
	}
	t.Fatalf("only %s in %q", id, list)
	return ""
}

func explainFails(t *testing.T, dir, request string) {
	t.Helper()
	for _, c := range []struct {
		line, stderr string
		status       int
	}{
		{"explain @/run", "is a run of pre-training", 1},
		{"explain @/city", "this is not a run folder", 1},
		{"explain @/rank --request " + request + "x", "is not among", 1},
		{"explain @/rank --poi nowhere", "unknown POI; near it are p", 1},
		{"explain @/rank --against @/city", "this is not a run folder", 1},
		{"explain @/rank --split train", "use one of validation, test", 2},
		{"explain", "accepts 1 arg", 2},
	} {
		stdout, stderr, status := at(t, dir, c.line)
		if status != c.status || !strings.Contains(stderr, c.stderr) || stdout != "" {
			t.Errorf("%s: status %d, standard error %q, standard output %q; want %d and %q", c.line, status, stderr, stdout, c.status, c.stderr)
		}
	}
	if _, stderr, _ := at(t, dir, "explain @/rank --request "+request+"x"); !strings.Contains(stderr, request) {
		t.Errorf("%q does not name the nearest request", stderr)
	}
	if err := os.WriteFile(filepath.Join(dir, "rank", run.RecipeFile), []byte("name: x\ntune: {stage: embed}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, stderr, status := at(t, dir, "explain @/rank"); status != 1 || !regexp.MustCompile("stage embed|recipe").MatchString(stderr) {
		t.Errorf("status %d, %s", status, stderr)
	}
}

func TestNeighbours(t *testing.T) {
	ids := []string{"r9", "r2", "r1", "r2", "r30"}
	for word, want := range map[string]string{"r2x": "r1, r2, r30, r9", "a": "r1, r2, r30, r9", "z": "r1, r2, r30, r9"} {
		if got := neighbours(ids, word); got != want {
			t.Errorf("near %s: %s, want %s", word, got, want)
		}
	}
	if got := neighbours([]string{"a", "b", "c", "d", "e", "f"}, "e"); got != "c, d, e, f" {
		t.Error(got)
	}
	if got := neighbours([]string{"only"}, "x"); got != "only" {
		t.Error(got)
	}
	if known(-1) != casebook.Unknown || known(.5) != .5 {
		t.Error("what a log does not know")
	}
	if got := whoIs(&poi.User{ID: "u1", Profile: poi.Profile{Occupation: "baker", Tags: []string{"parks"}}}); got != "baker, parks, user u1" {
		t.Error(got)
	}
}
