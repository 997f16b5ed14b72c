package eval

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/whereto/whereto/poi"
)

// best is what sorting all places would give.
func TestBestIsASortedHead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		raw := rapid.SliceOfN(rapid.IntRange(-2, 4), 1, 30).Draw(t, "scores")
		k := rapid.IntRange(1, 12).Draw(t, "k")
		scores := make([]float64, len(raw))
		var want []int32
		for p, x := range raw {
			scores[p] = float64(x) / 4
			if x > 0 {
				want = append(want, int32(p))
			}
		}
		slices.SortStableFunc(want, func(a, b int32) int { return cmp.Compare(scores[b], scores[a]) })
		want = want[:min(k, len(want))]
		got, err := best(scores, k)
		if err != nil || !slices.Equal(got, want) {
			t.Fatalf("best %d of %v: %v (%v), want %v", k, scores, got, err, want)
		}
	})
}

// always gives every query the same scores.
type always struct {
	name   string
	scores []float64
}

func (f always) Name() string { return f.name }
func (f always) Scores(_ context.Context, queries []poi.Query, dst [][]float64) error {
	for i := range queries {
		copy(dst[i], f.scores)
	}
	return nil
}

func TestListsAndHitRatesByHand(t *testing.T) {
	d := &poi.Dataset{Places: make([]poi.Place, 4)}
	h := Hunt{Name: "by hand", Queries: []poi.Query{{User: 0}, {User: 1}, {User: 2}, {User: 3}}, Wanted: [][]int32{{2}, {0, 1}, {3}, {1}}}
	var lists [][][]int32
	for _, s := range []always{{"a", []float64{0.1, 0.5, 0.4, 0}}, {"b", []float64{0.9, 0.2, 0.3, 0.1}}} {
		l, err := Lists(context.Background(), d, h.Queries, s, 3)
		if err != nil {
			t.Fatal(err)
		}
		lists = append(lists, l)
	}
	if want := []int32{1, 2, 0}; !slices.Equal(lists[0][3], want) {
		t.Fatalf("list %v, want %v: place 3 has no score", lists[0][3], want)
	}
	table, err := HitRates(h, []string{"a", "b"}, lists, []int{1, 2}, Options{Seed: 1, Resamples: 50})
	if err != nil {
		t.Fatal(err)
	}
	// a: first 1: users 1 and 3 hit; with 2: user 0 too. b: first 0: user 1; with 2, by
	// 0 and 2: user 0 too.
	for _, c := range []struct {
		row  int
		key  string
		want float64
	}{{0, "hr@1", 0.5}, {0, "hr@2", 0.75}, {1, "hr@1", 0.25}, {1, "hr@2", 0.5}} {
		if got := table.Rows[c.row].HR[c.key].Value; got != c.want {
			t.Errorf("%s of %s: %g, want %g", c.key, table.Rows[c.row].Name, got, c.want)
		}
	}
	if got := table.Rows[1].Paired["hr@2"].Value; got != -0.25 {
		t.Errorf("paired difference %g, want -0.25", got)
	}
	var text, marked strings.Builder
	if err := errors.Join(table.WriteText(&text), table.WriteMarkdown(&marked)); err != nil {
		t.Fatal(err)
	}
	const caption = "hits, by hand: n=4 of 4 users; [95 % intervals], 50 resamples of users, bootstrap seed 1\n"
	for _, part := range []string{caption + "system ", "HR@1  ", "HR@2 minus a\na  ", "\nb  ", "-.2500"} {
		if !strings.Contains(text.String(), part) {
			t.Errorf("%q is not in\n%s", part, text.String())
		}
	}
	if !strings.HasPrefix(marked.String(), caption+"\n| system | HR@1 | HR@2 | HR@1 minus a | HR@2 minus a |\n|---|---:|---:|---:|---:|\n| a | .5000 ") {
		t.Errorf("markdown\n%s", marked.String())
	}
	table.Rows = table.Rows[:1]
	if head := table.table().Head; !slices.Equal(head, []string{"system", "HR@1", "HR@2"}) {
		t.Errorf("one system alone has columns %q", head)
	}
	if _, err := HitRates(Hunt{}, nil, nil, nil, Options{}); !errors.Is(err, poi.ErrEmpty) {
		t.Errorf("no query: %v, want ErrEmpty", err)
	}
}

func TestHunts(t *testing.T) {
	visits := func(tags ...poi.Tag) []poi.Visit {
		var out []poi.Visit
		for i, tag := range tags {
			out = append(out, poi.Visit{POI: int32(i % 4), TimeMS: int64(i), Tag: tag})
		}
		return out
	}
	const a, b = poi.Train, poi.Test
	d := &poi.Dataset{Places: make([]poi.Place, 4), Users: []poi.User{
		{Visits: visits(a, b, b, b, b, b)}, // asked
		{Visits: visits(a, a, b, b, b, b)}, // one of the five is of training
		{Visits: visits(b, b, b, b, b)},    // nothing comes before
	}}
	h := LastFive(d, poi.Test)
	if len(h.Queries) != 1 || len(h.Queries[0].History) != 1 || !slices.Equal(h.Wanted[0], []int32{1, 2, 3, 0}) {
		t.Errorf("last five: %+v", h)
	}
	// The last five of the validation part are before those of the test part.
	d.Users = append(d.Users, poi.User{Visits: visits(a, a, poi.Validation, poi.Validation, poi.Validation, poi.Validation, poi.Validation, b, b)})
	if h := LastFive(d, poi.Validation); len(h.Queries) != 1 || h.Queries[0].User != 3 || len(h.Queries[0].History) != 2 || !slices.Equal(h.Wanted[0], []int32{2, 3, 0, 1}) {
		t.Errorf("last five of validation: %+v", h)
	}
	f := &poi.Feed{Requests: []poi.Request{
		{User: 0, Pos: 3, TimeMS: 3, Options: []poi.Option{{POI: 2}, {POI: 3, Clicked: true}, {POI: 1, Clicked: true}}},
		{User: 1, Pos: 2, TimeMS: 2, Options: []poi.Option{{POI: 0}, {POI: 1}}},
	}, ByTag: [3][]int32{poi.Test: {0, 1}}}
	c := Clicked(d, f, poi.Test)
	if len(c.Queries) != 1 || len(c.Queries[0].History) != 3 || !slices.Equal(c.Wanted[0], []int32{3, 1}) {
		t.Errorf("clicked: %+v", c)
	}
	if got := (Hunt{Queries: make([]poi.Query, 10), Wanted: make([][]int32, 10)}).Sample(3); len(got.Queries) != 3 {
		t.Errorf("a sample of 3 has %d", len(got.Queries))
	}
}

func TestSpaced(t *testing.T) {
	all := make([]poi.Target, 10)
	for i := range all {
		all[i].Pos = int32(i)
	}
	if got := spaced(all, 0); len(got) != 10 {
		t.Errorf("0 keeps %d of 10", len(got))
	}
	got := spaced(all, 4)
	if len(got) != 4 || got[0].Pos != 0 || got[1].Pos != 2 || got[2].Pos != 5 || got[3].Pos != 7 {
		t.Errorf("4 of 10: %v", got)
	}
}
