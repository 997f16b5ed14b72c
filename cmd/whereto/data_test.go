package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/whereto/whereto/internal/testkit"
	"github.com/whereto/whereto/pipeline"
	"github.com/whereto/whereto/run"
	"github.com/whereto/whereto/source"
)

// runArgs runs the program into buffers and returns its exit status.
func runArgs(t *testing.T, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	var out, errs bytes.Buffer
	status = execute(t.Context(), args, &out, &errs)
	return out.String(), errs.String(), status
}

// toyLog writes a native CSV log: 6 users, 5 places, three visits on each of 20
// days. The last row is bad.
func toyLog(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("user,poi,name,category,lat,lng,time,offset_min,type\n")
	for day := range 20 {
		for hour := 9; hour < 18; hour += 4 {
			for u := range 6 {
				p := (u + hour + day/10) % 5
				fmt.Fprintf(&b, "u%d,p%d,Place %d,Food,40.%d,-74.0%d,2024-05-%02dT%02d:0%d:00Z,-240,checkin\n", u, p, p, p+1, p, day+1, hour+4, u)
			}
		}
	}
	b.WriteString("u0,p0,Place 0,Food,91,-74.0,2024-05-01T09:00:00Z,-240,checkin\n")
	return testkit.WriteFile(t, "toy.csv", b.String())
}

func TestDataAndIndexCommands(t *testing.T) {
	log, dir := toyLog(t), t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	if err := os.Mkdir(path("run"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		args   string // "@" stands for dir, "LOG" for the log
		stdout string
		stderr string
	}{
		{"card as table", "data describe LOG", "protocol last-of-trajectory", "reading toy.csv"},
		{"card as JSON", "data describe LOG --protocol every-checkin -o json", `"protocol": "every-checkin"`, "splitting 360 actions"},
		{"rejects", "data describe LOG --rejects @/bad.jsonl", "rejected while reading: 1", ""},
		{"import", "data import LOG --out @/toy -o json", `"rejected": 1`, "wrote @/toy"},
		{"describe the folder", "data describe @/toy", "toy, protocol", ""},
		{"synth", "data synth --users 20 --pois 300 --days 14 --out @/city", "", "places.geojson (300 places)"},
		{"synth with impressions", "data synth --users 40 --pois 300 --days 21 --impressions 5 --no-images --out @/asked", "", "next: whereto data describe @/asked"},
		{"describe impressions", "data describe @/asked --min-poi 2", "Requests without a click", "reading impressions of"},
		{"build", "index build LOG --out @/toy.index", "block", "wrote @/toy.index"},
		{"show", "index show @/toy.index", "block", ""},
		{"show as JSON", "index show @/toy.index -o json", `"places": 5`, ""},
		{"update", "index build LOG --update @/toy.index --min-poi 1 --out @/run/" + run.IndexFile, "", "wrote"},
		{"show a run", "index show @/run", "block", ""},
		{"flat", "index build LOG --mode flat --out @/flat.index", "flat", ""},
		{"export", "index export @/toy.index --out @/toy.geojson", "", "wrote @/toy.geojson"},
		{"export to standard output", "index export @/toy.index --blocks=false", `"FeatureCollection"`, ""},
	} {
		ok := t.Run(c.name, func(t *testing.T) {
			args := strings.Fields(strings.NewReplacer("@", dir, "LOG", log).Replace(c.args))
			stdout, stderr, status := runArgs(t, args...)
			if status != 0 {
				t.Fatalf("status %d: %s", status, stderr)
			}
			if !strings.Contains(stdout, c.stdout) || !strings.Contains(stderr, strings.ReplaceAll(c.stderr, "@", dir)) {
				t.Errorf("standard output\n%s\nlacks %q, or standard error\n%s\nlacks %q", stdout, c.stdout, stderr, c.stderr)
			}
		})
		if !ok {
			break // later lines read what this one should have written
		}
	}
	for _, name := range []string{"bad.jsonl", "toy/rejects.jsonl"} {
		text, err := os.ReadFile(path(name))
		if err != nil || !strings.Contains(string(text), source.ReasonSwapped) {
			t.Errorf("%s holds %q, error %v", name, text, err)
		}
	}
	text, err := os.ReadFile(path("toy.geojson"))
	var fc struct{ Features []json.RawMessage }
	if err != nil || json.Unmarshal(text, &fc) != nil || len(fc.Features) < 6 {
		t.Errorf("toy.geojson holds %.80q, error %v", text, err)
	}
}

// What the acceptance scripts read from `data describe -o json`.
func TestDescribeJSON(t *testing.T) {
	stdout, stderr, status := runArgs(t, "data", "describe", toyLog(t), "-o", "json", "--progress", "none")
	if status != 0 || stderr != "" {
		t.Fatalf("status %d: %s", status, stderr)
	}
	var got map[string]any
	if err := json.Unmarshal([]byte(stdout), &got); err != nil {
		t.Fatalf("%v in %s", err, stdout)
	}
	want := map[string]float64{"checkins": 360, "users": 6, "pois": 5, "trajectories": 6, "rejected": 1}
	for key, n := range want {
		if got[key] != n {
			t.Errorf("%s is %v, want %v", key, got[key], n)
		}
	}
	targets, _ := got["targets"].(map[string]any)
	// 288 train check-ins less the first of 6 trajectories, all of which end in test.
	if targets["train"] != 282.0 || targets["validation"] != 0.0 || targets["test"] != 6.0 {
		t.Errorf("targets are %v, want 282, 0, 6", targets)
	}
}

// A log of impressions beside a log of actions is one more object of the JSON, and
// a bad row of it goes to the same reject file.
func TestDescribeImpressions(t *testing.T) {
	log, dir := toyLog(t), t.TempDir()
	shown := testkit.WriteFile(t, "shown.csv", "id,user,time,poi,clicked,offset_min\n"+
		"i1,u0,2024-05-10T12:00:00Z,p0,1,-240\ni1,u0,2024-05-10T12:00:00Z,p1,0,-240\ni1,u0,2024-05-10T12:00:00Z,p2,perhaps,-240\n"+
		"i2,who,2024-05-10T12:00:00Z,p0,1,-240\n")
	rejects := filepath.Join(dir, "bad.jsonl")
	args := []string{"data", "describe", log, "--impressions", shown, "--progress", "none"}
	stdout, stderr, status := runArgs(t, append(args, "-o", "json", "--rejects", rejects)...)
	if status != 0 {
		t.Fatalf("status %d: %s", status, stderr)
	}
	var got struct {
		Checkins    int
		Impressions pipeline.FeedReport
	}
	if err := json.Unmarshal([]byte(stdout), &got); err != nil {
		t.Fatalf("%v in %s", err, stdout)
	}
	im := got.Impressions
	if got.Checkins != 360 || im.Read != 2 || im.Requests.Train != 1 || im.Clicks.Train != 1 || im.Rejected != 1 || im.Dropped.UnknownUser != 1 {
		t.Errorf("%d check-ins, impressions %+v", got.Checkins, im)
	}
	text, err := os.ReadFile(rejects)
	if err != nil || !strings.Contains(string(text), source.ReasonClicked) || !strings.Contains(string(text), source.ReasonSwapped) {
		t.Errorf("rejects %s, error %v", text, err)
	}
	stdout, stderr, status = runArgs(t, args...)
	if status != 0 || !strings.Contains(stdout, "protocol last-of-trajectory") || !strings.Contains(stdout, "Impressions of shown.csv") {
		t.Errorf("status %d: %s\n%s", status, stderr, stdout)
	}
	none := testkit.WriteFile(t, "none.csv", "id,user,time,poi,clicked,offset_min\ni1,u0,2024-05-10T12:00:00Z,p0,0,-240\n")
	stdout, stderr, status = runArgs(t, "data", "describe", log, "--impressions", none)
	if status != 1 || stdout != "" || !strings.Contains(stderr, "none of the 1 candidates of the log is clicked") {
		t.Errorf("status %d, %q: %s", status, stdout, stderr)
	}
}

func TestDataAndIndexCommandsFail(t *testing.T) {
	log, dir := toyLog(t), t.TempDir()
	names := strings.NewReplacer("@", dir, "LOG", log, "EMPTY", testkit.WriteFile(t, "empty.yaml", "data: {paths: [x], format: tsmc}\n"),
		"ODD", testkit.WriteFile(t, "odd.yaml", "data: {city: {userz: 20}}\n"))
	for _, c := range []struct {
		name, args, says string
		status           int
	}{
		{"no path", "data describe", "requires at least 1 arg", 2},
		{"unknown output", "data describe LOG -o xml", `"xml"`, 2},
		{"unknown format", "data describe LOG --format tsv", `"tsv"`, 2},
		{"unknown protocol", "data describe LOG --protocol last", `"last"`, 2},
		{"too many bad rows", "data describe LOG --max-bad-rows 0 --rejects @/bad.jsonl", "toy.csv", 1},
		{"emptied by a filter", "data describe LOG --min-user 1000", "users with >= 1000", 1},
		{"no such log", "data import @/none --out @/x", "none", 1},
		{"import without a folder", "data import LOG", `"out"`, 2},
		{"import over a folder", "data import LOG --out @", "exists already", 1},
		{"synth with bad settings", "data synth --users 0 --out @/x", "users is 0", 2},
		{"synth of a missing recipe", "data synth --recipe @/none.yaml --out @/x", "none.yaml", 1},
		{"synth of a recipe without a city", "data synth --recipe EMPTY --out @/x", "simulates no city", 1},
		{"synth of an unknown key", "data synth --recipe ODD --out @/x", "userz", 1},
		{"build without a file", "index build LOG", `"out"`, 2},
		{"build of an unknown mode", "index build LOG --mode tree --out @/x", `"tree"`, 2},
		{"update and mode", "index build LOG --mode flat --update @/x --out @/y", "update", 2},
		{"update of no index", "index build LOG --update LOG --out @/y", "toy.csv", 1},
		{"unknown subcommand", "index shw", `unknown command "shw"`, 2},
		{"show nothing", "index show", "accepts 1 arg", 2},
		{"show a missing file", "index show @/none", "none", 1},
		{"show a folder without an index", "index show @", "no run with an index", 1},
		{"show as what", "index show @ -o xml", `"xml"`, 2},
		{"export a log", "index export LOG", "toy.csv", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			args := strings.Fields(names.Replace(c.args))
			stdout, stderr, status := runArgs(t, args...)
			if status != c.status || !strings.Contains(stderr, c.says) {
				t.Errorf("got status %d and %q, want %d and one saying %q", status, stderr, c.status, c.says)
			}
			if stdout != "" {
				t.Errorf("a failure printed %q to standard output", stdout)
			}
		})
	}
	// The reject file is there for the run that stopped on a bad row; nothing else is.
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 1 || left[0].Name() != "bad.jsonl" {
		t.Errorf("left behind %v, error %v", left, err)
	}
}

// `data synth` of a recipe writes the recipe's city, flags winning over it.
func TestSynthFromRecipe(t *testing.T) {
	recipe := testkit.WriteFile(t, "city.yaml", "data:\n  city: {users: 20, pois: 300, days: 14}\n")
	dir := filepath.Join(t.TempDir(), "city")
	_, stderr, status := runArgs(t, "data", "synth", "--recipe", recipe, "--users", "10", "--out", dir, "--progress", "json")
	if status != 0 {
		t.Fatalf("status %d: %s", status, stderr)
	}
	if !strings.HasPrefix(stderr, `{"doing":"simulating a city of 10 people"}`) || !strings.Contains(stderr, "(300 places)") {
		t.Errorf("standard error %q", stderr)
	}
	if _, err := os.Stat(filepath.Join(dir, pipeline.ActionsFile)); err != nil {
		t.Error(err)
	}
}
