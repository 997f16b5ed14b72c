package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/whereto/whereto/align"
	"github.com/whereto/whereto/eval"
	"github.com/whereto/whereto/judge"
	"github.com/whereto/whereto/poi"
)

// byHand are two systems of two seeds each at two requests: one at noon of a person
// who was at place 0 the day before, one in the evening of a person who was at 6.
// Places 0 to 5 are food; the wanted places are 0 and 7.
func byHand(t *testing.T) (*listRuns, []system) {
	t.Helper()
	const day = 86_400_000
	d := &poi.Dataset{Fingerprint: "by hand", Types: []string{"checkin"}}
	for p := range 12 {
		category := "Food > Bakery"
		if p > 5 {
			category = "Shop > Bookshop"
		}
		d.Places = append(d.Places, poi.Place{ID: fmt.Sprint("p", p), Category: category})
	}
	d.Users = []poi.User{{ID: "u0", Visits: []poi.Visit{{POI: 0, TimeMS: day / 2}}}, {ID: "u1", Visits: []poi.Visit{{POI: 6, TimeMS: day / 2}}}}
	feed := &poi.Feed{Fingerprint: "feed by hand", Requests: []poi.Request{
		{ID: "noon", User: 0, Pos: 1, TimeMS: day + day/2, Options: []poi.Option{{POI: 0, Clicked: true}, {POI: 1}}},
		{ID: "evening", User: 1, Pos: 1, TimeMS: day + day/24*20, Options: []poi.Option{{POI: 7, Clicked: true}, {POI: 1}}},
	}}
	feed.ByTag[poi.Test] = []int32{0, 1}
	rules, err := align.Parse("meals.yaml", []byte("version: 1\nrules: [{name: lunch, hours: \"11:00-14:00\", prefer: Food}]\n"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := &cobra.Command{}
	cmd.SetContext(t.Context())
	l := &listRuns{cmd: cmd, flags: &listFlags{rows: 10, cases: 10, judge: &enum{value: cityJudge}}, tag: poi.Test, rules: rules, say: func(string) {},
		at: &moments{d: d, feed: feed, top: 12, kinds: []momentKind{feedKind(feed, poi.Test, 10, d)}},
		truth: &judge.Truth{Relevance: func(_ int32, _ poi.Query, place int32) float64 {
			if place == 0 {
				return 0.9
			}
			return 0.1
		}}}
	for i, lists := range [][][]int32{
		{{6, 0}, {7, 8}}, {{6, 8}, {8, 9}}, // before
		{{0, 1}, {7, 8}}, {{1, 2}, {8, 7}}, // after
	} {
		key := []string{"before", "after"}[i/2]
		l.runs = append(l.runs, &listed{runID: runID{name: key, key: key, dir: fmt.Sprint("runs/", i)}, lists: [][][]int32{lists}})
	}
	return l, []system{{"before", []int{0, 1}}, {"after", []int{2, 3}}}
}

// Every figure is the mean over seeds, and numbers of rows count no seed twice.
func TestListFiguresByHand(t *testing.T) {
	l, systems := byHand(t)
	r, err := l.figures(systems)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Hits) != 1 || len(r.Discovery) != 1 || len(r.Moved) != 1 || len(r.Judged) != 1 || len(r.Systems) != 2 || r.Seeds != 2 {
		t.Fatalf("report %+v", r)
	}
	hits, found, moved, judged := r.Hits[0], r.Discovery[0], r.Moved[0], r.Judged[0]
	if hits.N != 2 || hits.Users != 2 || found.N != 2 || moved.Rules[0].Inside.N != 1 || moved.Rules[0].Outside.N != 1 || judged.Cases != 4 || judged.Identical != 1 {
		t.Errorf("rows: hits %d, discovery %d, moved %d and %d, cases %d of which %d identical; want 2, 2, 1, 1, 4, 1",
			hits.N, found.N, moved.Rules[0].Inside.N, moved.Rules[0].Outside.N, judged.Cases, judged.Identical)
	}
	lunch := moved.Rules[0]
	for _, c := range []struct {
		what      string
		got, want float64
	}{
		{"HR@1 before: one of four first places", hits.Rows[0].HR["hr@1"].Value, 0.25},
		{"HR@10 before: the first seed's lists", hits.Rows[0].HR["hr@10"].Value, 0.5},
		{"HR@1 after", hits.Rows[1].HR["hr@1"].Value, 0.5},
		{"HR@10 after", hits.Rows[1].HR["hr@10"].Value, 0.75},
		{"HR@10 gained", hits.Rows[1].Paired["hr@10"].Value, 0.25},
		{"D(1, 1) before: nobody's first place is known", found.Rows[0].Rates[0][0].Value, 1},
		{"D(5, 1) before: one list of four is half known", found.Rows[0].Rates[1][0].Value, 0.875},
		{"D(1, 1) after: one first place of four is known", found.Rows[1].Rates[0][0].Value, 0.75},
		{"food at noon before", lunch.Inside.Before.Value, 0.25},
		{"food at noon after", lunch.Inside.After.Value, 1},
		{"kept at noon: half of one list", lunch.Inside.Kept.Value, 0.25},
		{"food in the evening", lunch.Outside.After.Value, 0},
		{"kept in the evening", lunch.Outside.Kept.Value, 0.75},
		{"wins: place 0 moved up in one list of four", judged.System.Win.Value, 0.25},
		{"even as a whole", judged.System.Even.Value, 0.75},
		{"even by places", judged.POI.Even.Value, 1},
	} {
		if math.Abs(c.got-c.want) > 1e-12 {
			t.Errorf("%s: %v, want %v", c.what, c.got, c.want)
		}
	}
	if judged.A != "after" || judged.B != "before" {
		t.Errorf("judged %s against %s, want after against before", judged.A, judged.B)
	}
}

// A program reads the JSON of a report back as it was.
func TestListReportIsReadBack(t *testing.T) {
	l, systems := byHand(t)
	r, err := l.figures(systems)
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	if err := r.write(&text, "json"); err != nil {
		t.Fatal(err)
	}
	var back listReport
	if err := json.Unmarshal([]byte(text.String()), &back); err != nil || !reflect.DeepEqual(&back, r) {
		t.Errorf("%v: got %+v, want %+v", err, back, *r)
	}
	var o judge.Outcome
	if err := o.UnmarshalText([]byte("draw")); !errors.Is(err, poi.ErrBadInput) {
		t.Errorf("an unknown outcome: %v", err)
	}
}

// What the formats share: all tables, in order, under one caption.
func TestListReportFormats(t *testing.T) {
	l, systems := byHand(t)
	r, err := l.figures(systems)
	if err != nil {
		t.Fatal(err)
	}
	for format, want := range map[string][]string{
		"table": {"lists of 12 places, test: requests: 2 of 2 moments, evenly spaced; mean of 2 trainings", "\nhits, clicked places: n=2 of 2 users", "HR@10 minus before",
			"\nrequests: discovery rate D(k, m)", "\nafter after before, requests: Share of preferred places in the top 10", "lunch      of the rule  1  25.0", "\nafter against before, % of cases", "truth  system  25.0"},
		"markdown": {"lists of 12 places", "| system | HR@1 | HR@10 | HR@1 minus before |", "| before | 1 | 1.0000", "| lunch | of the rule | 1 | 25.0", "| truth | system | 25.0"},
	} {
		var b strings.Builder
		if err := r.write(&b, format); err != nil {
			t.Fatal(err)
		}
		rest := b.String()
		for _, part := range want {
			at := strings.Index(rest, part)
			if at < 0 {
				t.Fatalf("%s: %q is not, or not in its place, in\n%s", format, part, b.String())
			}
			rest = rest[at+len(part):]
		}
	}
}

func TestSystems(t *testing.T) {
	for _, c := range []struct {
		name string
		runs []runID
		want string // or the error's text
	}{
		{"one run", []runID{{"a", "runs/1", "A"}}, "a[0]"},
		{"seeds in any order", []runID{{"a", "runs/1", "A"}, {"b", "runs/2", "B"}, {"b", "runs/3", "B"}, {"a", "runs/4", "A"}}, "a[0 3] b[1 2]"},
		{"one name, two settings", []runID{{"a", "runs/1", "A"}, {"a", "runs/2/", "B"}, {"c", "runs/3", "C"}}, "1[0] 2[1] c[2]"},
		{"unequal seeds", []runID{{"a", "runs/1", "A"}, {"b", "runs/2", "B"}, {"a", "runs/3", "A"}}, "1 runs of b and 2 of a: bad input; give as many seeds of each"},
	} {
		systems, err := systemsOf(c.runs)
		var parts []string
		for _, s := range systems {
			parts = append(parts, fmt.Sprint(s.name, s.runs))
		}
		got := strings.Join(parts, " ")
		if err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// Saved lists are only taken for the questions that they answer.
func TestSavedListsMustMatch(t *testing.T) {
	l, _ := byHand(t)
	l.from = &runFlags{checkpoint: &enum{value: "best"}}
	fresh := func() *listFile {
		f := l.frame()
		f.Kinds = []listKind{{Name: "requests", Moments: []listMoment{{ID: "noon", User: "u0", TimeMS: 129_600_000}, {ID: "evening", User: "u1", TimeMS: 158_400_000}}}}
		return &f
	}
	if err := l.sameQuestions(fresh()); err != nil {
		t.Fatal(err)
	}
	for what, change := range map[string]func(*listFile){
		"format":             func(f *listFile) { f.Format = "whereto-lists/2" },
		"split":              func(f *listFile) { f.Split = "validation" },
		"data":               func(f *listFile) { f.Fingerprint = "other" },
		"feed":               func(f *listFile) { f.Feed = "" },
		"checkpoint":         func(f *listFile) { f.Checkpoint = "last" },
		"--rows":             func(f *listFile) { f.Rows = 9 },
		"length of lists":    func(f *listFile) { f.Top = 11 },
		"number of kinds":    func(f *listFile) { f.Kinds = nil },
		"moments of \"visit": func(f *listFile) { f.Kinds[0].Name = "visits" },
		"1 moments":          func(f *listFile) { f.Kinds[0].Moments = f.Kinds[0].Moments[:1] },
		"moment 1":           func(f *listFile) { f.Kinds[0].Moments[1].TimeMS++ },
		"moment 0":           func(f *listFile) { f.Kinds[0].Moments[0].User = "u1" },
	} {
		f := fresh()
		change(f)
		if err := l.sameQuestions(f); !errors.Is(err, eval.ErrMixed) || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
	}
	places := map[string]int32{"p0": 0, "p1": 1}
	if got, err := (&listMoment{Places: []string{"p1", "p0"}}).dense(places, 2); err != nil || !slices.Equal(got, []int32{1, 0}) {
		t.Errorf("%v, %v", got, err)
	}
	for _, list := range [][]string{{"p2"}, {"p0", "p0"}, {"p0", "p1", "p1"}} {
		if got, err := (&listMoment{Places: list}).dense(places, 2); err == nil {
			t.Errorf("%q became %v", list, got)
		}
	}
}
