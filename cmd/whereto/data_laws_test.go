package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/whereto/whereto/internal/testkit"
)

// smallCityRecipe is a recipe of a city with impressions that is made in a moment.
func smallCityRecipe(t *testing.T) string {
	return testkit.WriteFile(t, "city.yaml", "data:\n  city: {users: 30, pois: 300, days: 14, impressions: 3}\n")
}

func TestLawsOfALog(t *testing.T) {
	log := toyLog(t)
	stdout, stderr, status := runArgs(t, "data", "laws", log, "--progress", "none")
	if status != 0 || stderr != "" {
		t.Fatalf("status %d: %s", status, stderr)
	}
	// 6 people have three stays on each of 20 days, and 5 places.
	for _, want := range []string{"toy.csv: 360 stays of 6 people at 5 places", "time between stays", "return share 0.9"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("lacks %q:\n%s", want, stdout)
		}
	}
	stdout, stderr, status = runArgs(t, "data", "laws", "--recipe", smallCityRecipe(t), "--against", log, "-o", "json")
	if status != 0 {
		t.Fatalf("status %d: %s", status, stderr)
	}
	var got struct {
		Laws, Against struct {
			Name   string
			People int
		}
		Differences []struct {
			Law    string
			Agrees bool
		}
	}
	if err := json.Unmarshal([]byte(stdout), &got); err != nil {
		t.Fatalf("%v in %s", err, stdout)
	}
	if got.Laws.Name != "city-1" || got.Laws.People != 30 || got.Against.People != 6 || len(got.Differences) < 15 {
		t.Errorf("%+v", got)
	}
	stdout, _, status = runArgs(t, "data", "laws", log, "--against", log)
	if status != 0 || !strings.Contains(stdout, "laws with a bound agree") || strings.Contains(stdout, " NO ") {
		t.Errorf("a log does not agree with itself: status %d\n%s", status, stdout)
	}
}

// The page of a city, and that of the folder it was written to, show the same log.
func TestMapOfACityAndItsFolder(t *testing.T) {
	recipe, dir := smallCityRecipe(t), t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	for _, args := range [][]string{
		{"data", "synth", "--recipe", recipe, "--out", path("city")},
		{"data", "map", "--recipe", recipe, "--against", toyLog(t), "--out", path("recipe.html")},
		{"data", "map", path("city"), "--out", path("folder.html")},
		{"data", "map", toyLog(t), "--out", path("log.html")},
	} {
		if _, stderr, status := runArgs(t, args...); status != 0 {
			t.Fatalf("%v: status %d: %s", args, status, stderr)
		}
	}
	pages := map[string]string{}
	for _, name := range []string{"recipe", "folder", "log"} {
		text, err := os.ReadFile(path(name + ".html"))
		if err != nil {
			t.Fatal(err)
		}
		pages[name] = string(text)
	}
	tiles := func(page string) string {
		_, rest, _ := strings.Cut(page, `<ul class="tiles">`)
		head, _, _ := strings.Cut(rest, "</ul>")
		return head
	}
	if tiles(pages["recipe"]) != tiles(pages["folder"]) || tiles(pages["folder"]) == tiles(pages["log"]) {
		t.Errorf("the city has\n%s\nits folder\n%s", tiles(pages["recipe"]), tiles(pages["folder"]))
	}
	for name, want := range map[string][]string{
		"recipe": {"<dt>seed</dt><dd>1</dd>", "Beside toy.csv", "best possible AUC", "data:image/png", "Hidden truth"},
		"folder": {"best possible AUC", "data:image/png", "<blockquote>", `class="halo quarter`},
		"log":    {"There are no impressions", "Nobody has a day"},
	} {
		for _, part := range want {
			if !strings.Contains(pages[name], part) {
				t.Errorf("page of the %s lacks %q", name, part)
			}
		}
	}
}

func TestLawsAndMapFail(t *testing.T) {
	log, dir := toyLog(t), t.TempDir()
	for _, c := range []struct {
		name, says string
		status     int
		args       []string
	}{
		{"nothing", "either a PATH or --recipe", 2, []string{"laws"}},
		{"both", "either a PATH or --recipe", 2, []string{"laws", log, "--recipe", "quickstart"}},
		{"unknown format", `"tsv"`, 2, []string{"laws", log, "--format", "tsv"}},
		{"no such log", "none", 1, []string{"laws", filepath.Join(dir, "none")}},
		{"no such reference", "none", 1, []string{"laws", log, "--against", filepath.Join(dir, "none")}},
		{"unknown output", `"xml"`, 2, []string{"laws", log, "-o", "xml"}},
		{"no page named", `"out"`, 2, []string{"map", log}},
		{"no folder for the page", "none", 1, []string{"map", log, "--out", filepath.Join(dir, "none", "x.html")}},
		{"no such recipe", "none", 1, []string{"map", "--recipe", filepath.Join(dir, "none.yaml"), "--out", filepath.Join(dir, "x.html")}},
	} {
		t.Run(c.name, func(t *testing.T) {
			stdout, stderr, status := runArgs(t, append([]string{"data"}, c.args...)...)
			if status != c.status || !strings.Contains(stderr, c.says) || stdout != "" {
				t.Errorf("status %d, %q and %q; want %d and one saying %q", status, stdout, stderr, c.status, c.says)
			}
		})
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind %v, error %v", left, err)
	}
}
