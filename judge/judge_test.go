package judge

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"

	"github.com/whereto/whereto/poi"
)

// caseOf has the given places; texts do not matter to judges that compute.
func caseOf(user int32, a, b []int32) Case {
	c := Case{ID: fmt.Sprint("case", user), Query: poi.Query{User: user}}
	for _, p := range a {
		c.A = append(c.A, Candidate{p, fmt.Sprint("place ", p)})
	}
	for _, p := range b {
		c.B = append(c.B, Candidate{p, fmt.Sprint("place ", p)})
	}
	return c
}

// tenths is the relevance of a place: its number over ten.
func tenths(_ int32, _ poi.Query, place int32) float64 { return float64(place) / 10 }

// judgeFunc makes a judge of a function.
type judgeFunc func(Case) (Verdict, error)

func (judgeFunc) Name() string                                       { return "func" }
func (f judgeFunc) Judge(_ context.Context, c Case) (Verdict, error) { return f(c) }

func flags(n int) []bool { return make([]bool, n) }

func TestTruthByHand(t *testing.T) {
	for _, c := range []struct {
		a, b   []int32
		system Outcome
		fitsA  []bool
	}{
		{[]int32{9, 1}, []int32{8, 2}, Win, []bool{true, false}},             // .9+.1/1.585 = .963 against .926
		{[]int32{9, 1}, []int32{1, 9}, Win, []bool{true, false}},             // order counts
		{[]int32{5, 4}, []int32{6, 4}, Lose, []bool{true, false}},            // the threshold belongs to what suits
		{[]int32{5, 4}, []int32{5, 4}, Even, []bool{true, false}},            // equal
		{[]int32{0, 3}, []int32{2}, Lose, []bool{false, false}},              // .189 against .2
		{[]int32{0}, []int32{10, 10}, Lose, []bool{false}},                   // of unequal length
		{[]int32{0}, []int32{0}, Even, []bool{false}},                        // nothing on either side
		{[]int32{10, 8, 0}, []int32{10, 8}, Even, []bool{true, true, false}}, // a useless third place
	} {
		v, err := (&Truth{Relevance: tenths}).Judge(t.Context(), caseOf(1, c.a, c.b))
		if err != nil || v.System != c.system || !slices.Equal(v.A, c.fitsA) {
			t.Errorf("%v against %v: %+v, %v; want %v and %v", c.a, c.b, v, err, c.system, c.fitsA)
		}
	}
	wide := Truth{Relevance: tenths, Margin: 0.2, Threshold: 1}
	if v, err := wide.Judge(t.Context(), caseOf(1, []int32{10}, []int32{9})); err != nil || v.System != Even || !v.A[0] || v.B[0] {
		t.Errorf("margin and threshold: %+v, %v", v, err)
	}
	for name, j := range map[string]*Truth{
		"threshold": {Relevance: tenths, Threshold: 2}, "margin": {Relevance: tenths, Margin: -1},
		"not a probability": {Relevance: func(int32, poi.Query, int32) float64 { return math.NaN() }},
	} {
		if _, err := j.Judge(t.Context(), caseOf(1, []int32{1}, []int32{2})); !errors.Is(err, poi.ErrBadInput) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A judge that always likes the first list makes nobody win.
func TestBiasIsEven(t *testing.T) {
	first := judgeFunc(func(c Case) (Verdict, error) {
		v := Verdict{System: Win, A: flags(len(c.A)), B: flags(len(c.B))}
		v.A[0] = true
		return v, nil
	})
	r, err := Compare(t.Context(), first, []Case{caseOf(1, []int32{1, 2}, []int32{3, 4}), caseOf(2, []int32{5, 6}, []int32{5, 7})}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if r.System.Even.Value != 1 || r.POI.Even.Value != 1 || r.SwayedSystem != 2 || r.SwayedPOI != 2 || r.FitsA.Value != .25 || r.FitsB.Value != .25 {
		t.Errorf("%+v", r)
	}
}

func TestCompareByHand(t *testing.T) {
	cases := []Case{
		caseOf(1, []int32{9, 8}, []int32{1, 2}),  // A on both levels
		caseOf(2, []int32{1, 2}, []int32{9, 2}),  // B on both
		caseOf(3, []int32{7, 2}, []int32{7, 2}),  // identical
		caseOf(4, []int32{10, 4}, []int32{6, 5}), // sums 1.252 and .915: A; 1 and 2 places: B
		caseOf(5, []int32{99}, []int32{1}),       // fails
	}
	judge := judgeFunc(func(c Case) (Verdict, error) {
		if c.ID == "case5" {
			return Verdict{}, fmt.Errorf("%w: on purpose", ErrNoVerdict)
		}
		return (&Truth{Relevance: tenths}).Judge(context.Background(), c)
	})
	var seen []int
	r, err := Compare(t.Context(), judge, cases, Options{A: "new", B: "old", Workers: 1, Progress: func(done, total int) { seen = append(seen, done*100+total) }})
	if err != nil {
		t.Fatal(err)
	}
	if r.Cases != 5 || r.Failed != 1 || r.Identical != 1 || r.SwayedSystem+r.SwayedPOI != 0 {
		t.Errorf("%+v", r)
	}
	for _, c := range []struct {
		s                    Shares
		win, even, lose, net float64
	}{{r.System, .5, .25, .25, .25}, {r.POI, .25, .25, .5, -.25}} {
		if c.s.Win.Value != c.win || c.s.Even.Value != c.even || c.s.Lose.Value != c.lose || c.s.Net.Value != c.net {
			t.Errorf("%+v, want %+v", c.s, c)
		}
	}
	if r.FitsA.Value != (1+0+.5+.5)/4 || r.FitsB.Value != (0+.5+.5+1)/4 {
		t.Errorf("suits %+v and %+v", r.FitsA, r.FitsB)
	}
	if r.Rows[3].System != Win || r.Rows[3].POI != Lose || !r.Rows[2].Identical || !strings.Contains(r.Rows[4].Failed, "on purpose") {
		t.Errorf("rows %+v", r.Rows)
	}
	if !slices.Equal(seen, []int{105, 205, 305, 405, 505}) {
		t.Errorf("progress %v", seen)
	}
}

// Exchanging the systems exchanges win and lose, and workers do not matter.
func TestCompareIsFair(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list := rapid.SliceOfNDistinct(rapid.Int32Range(0, 10), 1, 6, rapid.ID)
		var cases, swapped []Case
		for i := range rapid.IntRange(1, 12).Draw(t, "n") {
			c := caseOf(int32(i/2), list.Draw(t, "a"), list.Draw(t, "b"))
			cases, swapped = append(cases, c), append(swapped, c.Swapped())
		}
		judge := &Truth{Relevance: tenths}
		x, err1 := Compare(t.Context(), judge, cases, Options{Workers: 1})
		y, err2 := Compare(t.Context(), judge, swapped, Options{Workers: 4})
		if err := errors.Join(err1, err2); err != nil {
			t.Fatal(err)
		}
		if x.System.Win != y.System.Lose || x.POI.Win != y.POI.Lose || x.POI.Even != y.POI.Even || x.FitsA != y.FitsB {
			t.Fatalf("%+v\n%+v", x, y)
		}
		for _, s := range []Shares{x.System, x.POI} {
			if math.Abs(s.Win.Value+s.Even.Value+s.Lose.Value-1) > 1e-12 || math.Abs(s.Win.Value-s.Lose.Value-s.Net.Value) > 1e-12 {
				t.Fatalf("shares %+v", s)
			}
		}
		if x.SwayedSystem+x.SwayedPOI > 0 {
			t.Fatalf("the truth was swayed: %+v", x)
		}
	})
}

func TestCompareStops(t *testing.T) {
	var many []Case
	for i := range int32(100) {
		many = append(many, caseOf(i, []int32{1}, []int32{2}))
	}
	var asked atomic.Int32
	counted := func(err error) Judge {
		asked.Store(0)
		return judgeFunc(func(c Case) (Verdict, error) { asked.Add(1); return Verdict{}, err })
	}
	gone := errors.New("the server is gone")
	if _, err := Compare(t.Context(), counted(gone), many, Options{Workers: 1}); !errors.Is(err, gone) || asked.Load() != 1 || !strings.Contains(err.Error(), "0 of 100") {
		t.Errorf("%v after %d questions", err, asked.Load())
	}
	if _, err := Compare(t.Context(), counted(ErrNoVerdict), many, Options{Workers: 1}); !errors.Is(err, ErrNoVerdict) || asked.Load() != stopAfter {
		t.Errorf("%v after %d questions, want %d", err, asked.Load(), stopAfter)
	}
	if _, err := Compare(t.Context(), counted(ErrNoVerdict), many[:3], Options{Workers: 1}); !errors.Is(err, poi.ErrEmpty) {
		t.Errorf("all failed: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Compare(ctx, &Truth{Relevance: tenths}, many, Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	short := judgeFunc(func(c Case) (Verdict, error) { return Verdict{A: flags(1)}, nil })
	if _, err := Compare(t.Context(), short, many, Options{}); !errors.Is(err, ErrNoVerdict) {
		t.Errorf("a verdict without entries: %v", err)
	}
	for name, c := range map[string]Case{"empty": caseOf(1, nil, []int32{1}), "twice": caseOf(1, []int32{1, 1}, []int32{1}), "long": caseOf(1, make([]int32, MaxList+1), []int32{1})} {
		if _, err := Compare(t.Context(), short, []Case{c}, Options{}); !errors.Is(err, poi.ErrBadInput) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Compare(t.Context(), short, nil, Options{}); !errors.Is(err, poi.ErrEmpty) {
		t.Errorf("no cases: %v", err)
	}
	if _, err := Compare(t.Context(), short, many, Options{Workers: -1}); !errors.Is(err, poi.ErrBadInput) {
		t.Errorf("workers: %v", err)
	}
}

func TestTables(t *testing.T) {
	r, err := Compare(t.Context(), &Truth{Relevance: tenths}, []Case{caseOf(1, []int32{9}, []int32{1})}, Options{A: "new|er", B: "old"})
	if err != nil {
		t.Fatal(err)
	}
	var text, markdown, json strings.Builder
	if err := errors.Join(WriteTable(&text, r, r), WriteMarkdown(&markdown, r), WriteJSON(&json, r)); err != nil {
		t.Fatal(err)
	}
	for where, want := range map[string]string{
		text.String():     "truth  system  100.0 [100.0, 100.0]  0.0 [0.0, 0.0]  0.0 [0.0, 0.0]  100.0 [100.0, 100.0]       0\n",
		markdown.String(): "| truth | POI | 100.0 [100.0, 100.0] | 0.0 [0.0, 0.0] | 0.0 [0.0, 0.0] | 100.0 [100.0, 100.0] | 0 |\n",
		json.String():     `"system": "win"`,
	} {
		if !strings.Contains(where, want) {
			t.Errorf("%s\ndoes not hold %s", where, want)
		}
	}
	other := *r
	other.B = "older"
	if err := WriteTable(&text, r, &other); !errors.Is(err, poi.ErrBadInput) {
		t.Errorf("two pairs of systems in one table: %v", err)
	}
	if err := WriteTable(&text); !errors.Is(err, poi.ErrEmpty) {
		t.Errorf("no results: %v", err)
	}
}
