package eval

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/whereto/whereto/metric"
	"github.com/whereto/whereto/poi"
)

// byTable ranks request i of the split (counted over all calls) with table[i].
type byTable struct {
	name  string
	table [][]float64
	probs bool
	next  int
	err   error
	seen  []poi.Option
}

func (f *byTable) Name() string        { return f.name }
func (f *byTable) Probabilities() bool { return f.probs }

func (f *byTable) Rank(_ context.Context, requests []*poi.Request, dst [][]float64) error {
	for i, r := range requests {
		copy(dst[i], f.table[f.next])
		f.seen = append(f.seen, r.Options...)
		f.next++
	}
	return f.err
}

// clicked makes a request with the given clicks; true probabilities are .75 and
// .25 for clicked ones, .5 and .125 for others.
func clickedAt(id string, user int32, tag poi.Tag, clicks ...bool) poi.Request {
	r := poi.Request{ID: id, User: user, Tag: tag}
	for j, c := range clicks {
		o := poi.Option{POI: int32(j), Clicked: c, Click: .5, Relevance: .125}
		if c {
			o.Click, o.Relevance = .75, .25
		}
		r.Options = append(r.Options, o)
	}
	return r
}

// three is a feed with three test requests of two users, one of them without a
// click, one request without options and one of training.
func three() (*poi.Dataset, *poi.Feed) {
	d := four()
	feed := &poi.Feed{Fingerprint: "feedfeedfeedfeed", Requests: []poi.Request{
		clickedAt("r0", 0, poi.Train, true, false), clickedAt("r1", 0, poi.Test, true, false, false), clickedAt("r2", 0, poi.Test, false, false),
		clickedAt("r3", 1, poi.Test), clickedAt("r4", 1, poi.Test, false, true, true, false)}}
	feed.ByTag = [3][]int32{{0}, nil, {1, 2, 3, 4}}
	return d, feed
}

func TestRunRankByHand(t *testing.T) {
	d, feed := three()
	base := &byTable{name: "base", table: [][]float64{{.5, .5, .1}, {.2, .3}, {.9, .4, .4, .1}}, probs: true}
	other := &byTable{name: "other", table: [][]float64{{3, 2, 1}, {-5, -5}, {0, 9, 8, 7}}}
	res, err := RunRank(context.Background(), d, feed, poi.Test, []poi.Ranker{base, other}, Options{Seed: 3, Resamples: 100, Batch: 2})
	if err != nil {
		t.Fatal(err)
	}
	if res.Requests != 3 || res.Options != 9 || res.Clicks != 3 || res.Users != 2 || res.Seeds != 1 || res.Split != "test" || len(res.Rows) != 4 {
		t.Fatalf("head %+v", res)
	}
	second := 1 / math.Log2(3)
	third := 1 / math.Log2(4)
	ideal := 1 + second
	// Base. Clicked .5 .4 .4, unclicked .5 .1 .2 .3 .9 .1: .5 wins 4.5, .4 wins 4 each,
	// of 18 pairs. Within requests: r1 1.5 of 2, r4 2 of 4.
	checkRow(t, res.Rows[0], "base", 12.5/18, 3.5/6, .25, (.5*(1+second)+(second+third)/ideal)/2)
	// Other. Clicked 3 9 8, unclicked 2 1 -5 -5 0 7: 3 wins 5, 9 and 8 win 6 each.
	checkRow(t, res.Rows[1], "other", 17./18, 1, 1, 1)
	if g := res.Rows[1].Gain; math.Abs(g.Value-4.5/18) > 1e-12 || g.Lo > g.Value || g.Hi < g.Value || res.Rows[0].Gain != (Value{}) {
		t.Errorf("gain %+v", g)
	}
	if g := res.Rows[1].GainGAUC; math.Abs(g.Value-2.5/6) > 1e-12 {
		t.Errorf("gain within requests %+v", g)
	}
	if c := res.Rows[1].Closed; c == nil || math.Abs(c.Value-4.5/5.5) > 1e-12 {
		t.Errorf("share of the gap %+v", c)
	}
	want := -(math.Log(.5) + math.Log(.5) + math.Log(.9) + math.Log(.8) + math.Log(.7) + math.Log(.1) + 2*math.Log(.4) + math.Log(.9)) / 9
	if l := res.Rows[0].LogLoss; l == nil || math.Abs(l.Value-want) > 1e-12 || res.Rows[1].LogLoss != nil {
		t.Errorf("log loss %+v, want %v", l, want)
	}
	if c := res.Rows[0].Calibration; c == nil || math.Abs(c.Ratio-3.4/3) > 1e-12 || res.Rows[1].Calibration != nil {
		t.Errorf("calibration %+v", c)
	}
	for i, name := range []string{BayesKnown, BayesUnknown} {
		row := res.Rows[2+i]
		checkRow(t, row, name, 1, 1, 1, 1)
		if !row.Ceiling || row.Closed == nil || row.Closed.Value != 1 || (row.LogLoss != nil) != (i == 0) {
			t.Errorf("ceiling %+v", row)
		}
	}
	for _, o := range base.seen {
		if o.Clicked || o.Click != -1 || o.Relevance != -1 {
			t.Fatalf("a ranker was shown the label: %+v", o)
		}
	}
	if !feed.Requests[1].Options[0].Clicked {
		t.Error("the feed itself was changed")
	}
}

func checkRow(t *testing.T, row RankRow, name string, auc, gauc, hr1, ndcg float64) {
	t.Helper()
	for what, v := range map[string][2]float64{"AUC": {row.AUC.Value, auc}, "GAUC": {row.GAUC.Value, gauc}, "HR@1": {row.HR1.Value, hr1}, "NDCG": {row.NDCG.Value, ndcg}} {
		if math.Abs(v[0]-v[1]) > 1e-12 {
			t.Errorf("%s: %s %v, want %v", name, what, v[0], v[1])
		}
	}
	if row.Name != name || row.AUC.Lo > row.AUC.Value || row.AUC.Hi < row.AUC.Value {
		t.Errorf("row %+v, want %s", row, name)
	}
}

// A real log has no truth: then there is no ceiling and no share.
func TestRunRankWithoutTruth(t *testing.T) {
	d, feed := three()
	feed.Requests[4].Options[2].Click = -1
	r := &byTable{name: "base", table: [][]float64{{.5, .5, .1}, {.2, .3}, {.9, .4, .4, .1}}}
	res, err := RunRank(context.Background(), d, feed, poi.Test, []poi.Ranker{r}, Options{Resamples: 20})
	if err != nil {
		t.Fatal(err)
	}
	if len(res.Rows) != 1 || res.Rows[0].Closed != nil {
		t.Errorf("rows %+v", res.Rows)
	}
}

func TestRunRankRejects(t *testing.T) {
	good := [][]float64{{1, 2, 3}, {1, 2}, {1, 2, 3, 4}}
	broken := errors.New("broken")
	for name, c := range map[string]struct {
		change func(d *poi.Dataset, f *poi.Feed, o *Options)
		r      []poi.Ranker
		want   error
	}{
		"no rankers":      {nil, nil, poi.ErrBadInput},
		"equal names":     {nil, []poi.Ranker{&byTable{name: "a", table: good}, &byTable{name: "a", table: good}}, poi.ErrBadInput},
		"ceiling's name":  {nil, []poi.Ranker{&byTable{name: BayesKnown, table: good}}, poi.ErrBadInput},
		"unwritten score": {nil, []poi.Ranker{&byTable{name: "a", table: [][]float64{{1, 2}, {1, 2}, {1, 2, 3, 4}}}}, poi.ErrBadInput},
		"infinite score":  {nil, []poi.Ranker{&byTable{name: "a", table: [][]float64{{1, 2, math.Inf(1)}, {1, 2}, {1, 2, 3, 4}}}}, poi.ErrBadInput},
		"no probability":  {nil, []poi.Ranker{&byTable{name: "a", table: good, probs: true}}, poi.ErrBadInput},
		"ranker fails":    {nil, []poi.Ranker{&byTable{name: "a", table: good, err: broken}}, broken},
		"batch":           {func(_ *poi.Dataset, _ *poi.Feed, o *Options) { o.Batch = -1 }, nil, poi.ErrBadInput},
		"unknown POI":     {func(_ *poi.Dataset, f *poi.Feed, _ *Options) { f.Requests[1].Options[0].POI = 99 }, nil, poi.ErrUnknownPOI},
		"unknown user":    {func(_ *poi.Dataset, f *poi.Feed, _ *Options) { f.Requests[1].User = -1 }, nil, poi.ErrUnknownUser},
		"position":        {func(_ *poi.Dataset, f *poi.Feed, _ *Options) { f.Requests[1].Pos = 99 }, nil, poi.ErrBadInput},
		"list":            {func(_ *poi.Dataset, f *poi.Feed, _ *Options) { f.ByTag[poi.Test][0] = 99 }, nil, poi.ErrBadInput},
		"no requests":     {func(_ *poi.Dataset, f *poi.Feed, _ *Options) { f.ByTag[poi.Test] = nil }, nil, poi.ErrEmpty},
		"truth above one": {func(_ *poi.Dataset, f *poi.Feed, _ *Options) { f.Requests[1].Options[0].Click = 2 }, []poi.Ranker{&byTable{name: "a", table: good}}, poi.ErrBadInput},
		"no clicks": {func(_ *poi.Dataset, f *poi.Feed, _ *Options) { f.ByTag[poi.Test] = []int32{2} },
			[]poi.Ranker{&byTable{name: "a", table: [][]float64{{1, 2}}}}, poi.ErrEmpty},
		"no pair within a request": {func(_ *poi.Dataset, f *poi.Feed, _ *Options) {
			f.Requests[1].Options = f.Requests[1].Options[:1]
			f.ByTag[poi.Test] = []int32{1, 2}
		}, []poi.Ranker{&byTable{name: "a", table: [][]float64{{1}, {1, 2}}}}, poi.ErrEmpty},
	} {
		d, feed := three()
		var opt Options
		if c.change != nil {
			c.change(d, feed, &opt)
		}
		if _, err := RunRank(context.Background(), d, feed, poi.Test, c.r, opt); !errors.Is(err, c.want) {
			t.Errorf("%s: error %v, want %v", name, err, c.want)
		}
	}
}

// made is scores of two rankers on 40 requests of 8 users, the second better.
func made(seed uint64) *RankScores {
	rng, labels := rand.New(rand.NewPCG(seed, 1)), rand.New(rand.NewPCG(9, 9))
	s := &RankScores{Split: "test", Fingerprint: "feed", Rankers: []RankedBy{{"base", true}, {"better", false}}}
	for i := range 40 {
		r := RankRequest{ID: fmt.Sprint("r", i), User: fmt.Sprint("u", i/5), Scores: make([][]float64, 2)}
		for range 6 {
			p := labels.Float64() * .6
			r.Clicked = append(r.Clicked, labels.Float64() < p)
			r.Click, r.Relevance = append(r.Click, float32(p)), append(r.Relevance, float32(p))
			r.Scores[0] = append(r.Scores[0], .3*p+.7*rng.Float64())
			r.Scores[1] = append(r.Scores[1], p+.3*rng.Float64())
		}
		s.Requests = append(s.Requests, r)
	}
	return s
}

func TestFiguresOverSeeds(t *testing.T) {
	seeds := []*RankScores{made(1), made(2), made(3)}
	opt := Options{Seed: 5, Resamples: 200}
	all, err := RankFigures(seeds, opt)
	if err != nil {
		t.Fatal(err)
	}
	for c, row := range all.Rows[:2] {
		var values []float64
		for s, one := range seeds {
			alone, err := RankFigures([]*RankScores{one}, opt)
			if err != nil {
				t.Fatal(err)
			}
			if row.AUCs[s] != alone.Rows[c].AUC || alone.Rows[c].AUCs != nil || alone.Rows[c].SD != 0 {
				t.Errorf("%s, seed %d: %+v among others, %+v alone", row.Name, s, row.AUCs[s], alone.Rows[c].AUC)
			}
			values = append(values, alone.Rows[c].AUC.Value)
		}
		mean := (values[0] + values[1] + values[2]) / 3
		if math.Abs(row.AUC.Value-mean) > 1e-12 || row.SD != metric.Deviation(values) || row.SD == 0 {
			t.Errorf("%s: mean %v, sd %v of %v", row.Name, row.AUC.Value, row.SD, values)
		}
	}
	if top := all.Rows[2]; !top.Ceiling || top.SD != 0 || top.AUC.Value <= all.Rows[1].AUC.Value || !all.Rows[1].Gain.Beats() {
		t.Errorf("ceiling %+v above %+v", top, all.Rows[1])
	}
	if a, err := RankFigures([]*RankScores{made(1), made(1)}, opt); err != nil || a.Rows[0].SD != 0 || a.Rows[0].AUC != a.Rows[0].AUCs[0] {
		t.Errorf("the same seed twice: %+v, %v", a.Rows[0], err)
	}
}

func TestMixedScores(t *testing.T) {
	for name, change := range map[string]func(s *RankScores){
		"split": func(s *RankScores) { s.Split = "validation" }, "feed": func(s *RankScores) { s.Fingerprint = "other" },
		"requests": func(s *RankScores) { s.Requests = s.Requests[1:] }, "id": func(s *RankScores) { s.Requests[3].ID = "x" },
		"user": func(s *RankScores) { s.Requests[3].User = "x" }, "click": func(s *RankScores) { s.Requests[3].Clicked[1] = !s.Requests[3].Clicked[1] },
		"options": func(s *RankScores) { s.Requests[3].Clicked = s.Requests[3].Clicked[1:] },
		"rankers": func(s *RankScores) { s.Rankers[0].Name = "x" },
	} {
		other := made(2)
		change(other)
		if _, err := RankFigures([]*RankScores{made(1), other}, Options{}); !errors.Is(err, ErrMixed) {
			t.Errorf("%s: %v", name, err)
		}
		if name != "rankers" {
			other.Rankers = []RankedBy{{"c", false}, {"d", false}}
			if _, err := Join(made(1), other); !errors.Is(err, ErrMixed) {
				t.Errorf("join, %s: %v", name, err)
			}
		}
	}
	if _, err := RankFigures(nil, Options{}); !errors.Is(err, poi.ErrEmpty) {
		t.Errorf("no scores: %v", err)
	}
}

func TestJoin(t *testing.T) {
	a, b := made(1), made(2)
	b.Rankers = []RankedBy{{"third", false}, {"fourth", false}}
	both, err := Join(a, b)
	if err != nil {
		t.Fatal(err)
	}
	if len(both.Rankers) != 4 || !reflect.DeepEqual(both.Requests[7].Scores[2], b.Requests[7].Scores[0]) || len(a.Requests[0].Scores) != 2 {
		t.Errorf("joined %+v", both.Rankers)
	}
	if _, err := Join(a, a); !errors.Is(err, poi.ErrBadInput) {
		t.Errorf("equal names: %v", err)
	}
	if _, err := Join(); !errors.Is(err, poi.ErrEmpty) {
		t.Errorf("none: %v", err)
	}
}

func TestScoresOnDisk(t *testing.T) {
	path, want := filepath.Join(t.TempDir(), "scores.jsonl"), made(4)
	if err := want.Save(path); err != nil {
		t.Fatal(err)
	}
	got, err := LoadRankScores(path)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("scores change on disk, %v", err)
	}
	if left, err := filepath.Glob(filepath.Join(filepath.Dir(path), ".*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if err := want.Save(filepath.Join(path, "below a file")); err == nil {
		t.Error("saved where nothing can be")
	}
	if _, err := LoadRankScores(path + "x"); err == nil {
		t.Error("loaded what is not there")
	}
}

func TestReadRankScoresRejects(t *testing.T) {
	var b bytes.Buffer
	s := made(1)
	s.Requests = s.Requests[:2]
	if err := s.Write(&b); err != nil {
		t.Fatal(err)
	}
	good := b.String()
	lines := strings.SplitAfter(good, "\n")
	for name, text := range map[string]string{
		"empty": "", "no head": lines[1], "version": strings.Replace(good, `"version":1`, `"version":2`, 1), "cut off": lines[0] + lines[1],
		"half a line": good[:len(good)-30], "twice": good + lines[1], "no requests": strings.Replace(lines[0], `"requests":2`, `"requests":0`, 1),
		"no rankers": strings.Replace(good, `"name":"base"`, `"name":""`, 1), "columns": strings.Replace(good, `"scores":[[`, `"scores":[[1],[`, 1),
		"scores": strings.Replace(good, `"scores":[[`, `"scores":[[.5,`, 1), "labels": strings.Replace(good, `"clicked":[`, `"clicked":[true,`, 1),
		"probability": strings.Replace(good, `"scores":[[0`, `"scores":[[7`, 1), "truth": strings.Replace(good, `"click":[0`, `"click":[3`, 1),
	} {
		if _, err := ReadRankScores(strings.NewReader(text)); !errors.Is(err, poi.ErrBadInput) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzReadRankScores(f *testing.F) {
	s := made(1)
	s.Requests = s.Requests[:2]
	var b bytes.Buffer
	if err := s.Write(&b); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add([]byte(`{"format":"whereto rank scores","version":1,"rankers":[{"name":"a"}],"requests":1}` + "\n" + `{"clicked":[true,false],"scores":[[1e300,-1e300]]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := ReadRankScores(bytes.NewReader(data))
		if err != nil {
			return
		}
		var b bytes.Buffer
		if err := got.Write(&b); err != nil {
			t.Fatal(err)
		}
		again, err := ReadRankScores(&b)
		if err != nil || len(again.Requests) != len(got.Requests) {
			t.Fatalf("what was read cannot be read again: %v", err)
		}
		if _, err := RankFigures([]*RankScores{got}, Options{Resamples: 2}); err != nil && !errors.Is(err, poi.ErrEmpty) {
			t.Fatalf("no figures: %v", err)
		}
	})
}

func TestRankTable(t *testing.T) {
	v := func(x float64) Value { return Value{x, x - .01, x + .01} }
	loss, share := v(.3), v(.4)
	res := &RankResult{Split: "test", Fingerprint: "0123456789abcdef", Requests: 10, Options: 110, Clicks: 12, Users: 5, Seeds: 1, Seed: 3, Resamples: 2000,
		Rows: []RankRow{
			{Name: "base", AUC: v(.7), GAUC: v(.6), HR1: v(.2), NDCG: v(.5), LogLoss: &loss},
			{Name: "b|c", AUC: v(.75), GAUC: v(.65), HR1: v(.25), NDCG: v(.55), Gain: v(.05), Closed: &share}}}
	var text, mark, js bytes.Buffer
	if err := errors.Join(res.WriteText(&text), res.WriteMarkdown(&mark), res.WriteJSON(&js)); err != nil {
		t.Fatal(err)
	}
	want := `ranking, test: 110 options of 10 requests of 5 users, 12 clicked; [95 % intervals], 2000 resamples of users, bootstrap seed 3; 1 training of each ranker; feed 0123456789ab
ranker AUC GAUC HR@1 NDCG@5 log loss AUC over base gap closed, position known
base .7000 [.6900, .7100] .6000 [.5900, .6100] .2000 .5000 .3000
b|c .7500 [.7400, .7600] .6500 [.6400, .6600] .2500 .5500 .0500 [.0400, .0600] .4000 [.3900, .4100]
`
	if squeeze(text.String()) != want {
		t.Errorf("got\n%s\nwant\n%s", squeeze(text.String()), want)
	}
	if line := `| b\|c | .7500 [.7400, .7600] | .6500 [.6400, .6600] | .2500 | .5500 |  | .0500 [.0400, .0600] | .4000 [.3900, .4100] |`; !strings.Contains(mark.String(), line) {
		t.Errorf("markdown\n%s", mark.String())
	}
	var back RankResult
	if err := json.Unmarshal(js.Bytes(), &back); err != nil || !reflect.DeepEqual(&back, res) {
		t.Errorf("JSON does not come back: %v\n%s", err, js.String())
	}
	res.Seeds, res.Rows[0].SD = 3, .002
	text.Reset()
	if err := res.WriteText(&text); err != nil || !strings.Contains(squeeze(text.String()), "NDCG@5 AUC sd of seeds log loss") || !strings.Contains(text.String(), "mean of 3 trainings") {
		t.Errorf("seeds: %v\n%s", err, text.String())
	}
}
