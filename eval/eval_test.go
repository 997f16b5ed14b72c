package eval

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/whereto/whereto/baseline"
	"github.com/whereto/whereto/internal/testkit"
	"github.com/whereto/whereto/metric"
	"github.com/whereto/whereto/poi"
)

// fixed answers row i (counted over all calls) with table[i].
type fixed struct {
	name    string
	table   [][]float64
	next    int
	largest int // longest batch seen
	err     error
}

func (f *fixed) Name() string { return f.name }

func (f *fixed) Scores(_ context.Context, queries []poi.Query, dst [][]float64) error {
	f.largest = max(f.largest, len(queries))
	for i := range queries {
		copy(dst[i], f.table[f.next%len(f.table)])
		f.next++
	}
	return f.err
}

// four is a data set with four test targets of two users: A visited 0 and 1
// and goes to 0, 2, 1; B visited 3 and goes to 0. Places are .01 degrees apart
// on the equator, about 1,112 m.
func four() *poi.Dataset {
	d := &poi.Dataset{Name: "four", Protocol: "every-checkin", Places: make([]poi.Place, 4), Fingerprint: "0123456789abcdef"}
	for p := range d.Places {
		d.Places[p] = poi.Place{ID: string(rune('a' + p)), Lng: float64(p) / 100}
	}
	visits := func(n int, ids ...int32) []poi.Visit {
		var out []poi.Visit
		for i, p := range ids {
			v := poi.Visit{POI: p, TimeMS: int64(i) * 3_600_000, OffsetMin: 60}
			if i >= n {
				v.Tag, v.TimeMS = poi.Test, v.TimeMS+24*3_600_000
			}
			out = append(out, v)
		}
		return out
	}
	d.Users = []poi.User{{ID: "A", Visits: visits(2, 0, 1, 0, 2, 1)}, {ID: "B", Visits: visits(1, 3, 0)}}
	d.Targets[poi.Test] = []poi.Target{{User: 0, Pos: 2}, {User: 0, Pos: 3}, {User: 0, Pos: 4}, {User: 1, Pos: 1}}
	return d
}

const hundredth = 2 * math.Pi * 6371008.8 / 36000

func TestRunByHand(t *testing.T) {
	d := four()
	// Labels 0, 2, 1, 0: ranks 1; 2 or 3 (first answer is 0); 1 of 2 tied; 4.
	s := &fixed{name: "model", table: [][]float64{{.7, .1, .1, .1}, {.6, .2, .2, 0}, {0, .5, .5, 0}, {-9, -1, -2, -3}}}
	floor := &fixed{name: "floor", table: [][]float64{{0, 1, 0, 0}}}
	res, preds, err := Run(context.Background(), d, poi.Test, s, []poi.Scorer{floor}, Options{Seed: 7})
	if err != nil {
		t.Fatal(err)
	}
	if res.Name != "model" || res.N != 4 || res.Split != "test" || res.Protocol != "every-checkin" || res.Fingerprint != d.Fingerprint || res.Seed != 7 || res.Resamples != 2000 {
		t.Errorf("head %+v", res)
	}
	for name, want := range map[string]float64{
		"acc@1": (1 + 0 + .5 + 0) / 4, "acc@5": 1, "acc@10": 1, "acc@20": 1,
		"mrr":     (1 + (1./2+1./3)/2 + (1+1./2)/2 + 1./4) / 4,
		"ndcg@10": (1 + (1/math.Log2(3)+1/math.Log2(4))/2 + (1+1/math.Log2(3))/2 + 1/math.Log2(5)) / 4,
	} {
		got, ok := res.Metrics[name]
		if !ok || math.Abs(got.Value-want) > 1e-12 || got.Lo > got.Value || got.Hi < got.Value {
			t.Errorf("%s = %+v, want %v", name, got, want)
		}
	}
	// Row 0 and row 2 are returns, 1 and 3 are discoveries.
	if r := res.Returns; r.N != 2 || r.Share != .5 || r.Metrics["acc@1"].Value != .75 {
		t.Errorf("returns %+v", r)
	}
	if r := res.Discovery; r.N != 2 || r.Share != .5 || r.Metrics["acc@1"].Value != 0 {
		t.Errorf("discovery %+v", r)
	}
	// First answers 0, 0, 1 (the lower id of the tie), 1: errors 0, 2, 0, 1 steps.
	if q := res.Distance; math.Abs(q.P50-.5*hundredth) > .01 || math.Abs(q.P75-1.25*hundredth) > .01 || math.Abs(q.P90-1.7*hundredth) > .01 {
		t.Errorf("distances %+v, a step is %v", q, hundredth)
	}
	if got := res.Floors["floor"]; got.Metrics["acc@1"].Value != .25 || math.Abs(got.Paired.Value-.125) > 1e-12 {
		t.Errorf("floor %+v", got)
	}
	if res.Paired != (Value{}) {
		t.Errorf("the main row is compared with itself: %+v", res.Paired)
	}
	want := Prediction{User: "A", Pos: 3, History: 3, Hour: 4, POI: "c", Lng: .02, Rank: 2.5, Top: "a", TopProb: .6, ErrMetres: preds[1].ErrMetres}
	if len(preds) != 4 || preds[1] != want || math.Abs(want.ErrMetres-2*hundredth) > .01 {
		t.Errorf("prediction %+v, want %+v", preds[1], want)
	}
	if preds[3].TopProb != 0 || !preds[0].Return || preds[3].Return {
		t.Errorf("predictions %+v", preds)
	}
}

func TestAmongNew(t *testing.T) {
	inf := math.Inf(-1)
	for _, c := range []struct {
		name    string
		scores  []float64
		label   int32
		visited []int32
		want    metric.Standing
	}{
		{"nowhere before", []float64{5, 4, 3, 2}, 2, nil, metric.Standing{Above: 2, Tied: 1}},
		{"better ones visited", []float64{5, 4, 3, 2}, 2, []int32{1, 0, 1}, metric.Standing{Above: 0, Tied: 1}},
		{"worse one visited", []float64{5, 4, 3, 2}, 2, []int32{3}, metric.Standing{Above: 2, Tied: 1}},
		{"ties, one visited", []float64{3, 4, 3, 3, 3}, 2, []int32{0}, metric.Standing{Above: 1, Tied: 3}},
		{"all tied", []float64{0, 0, 0, 0}, 3, []int32{0, 1}, metric.Standing{Above: 0, Tied: 2}},
		{"the last new place", []float64{5, 4, 0, 2}, 2, []int32{0, 1, 3}, metric.Standing{Above: 0, Tied: 1}},
		{"label given up", []float64{5, 4, inf, inf}, 2, []int32{0, 1}, metric.Standing{Above: 0, Tied: 2}},
		{"visited and label given up", []float64{5, inf, inf, 4}, 2, []int32{1}, metric.Standing{Above: 2, Tied: 1}},
		{"a return", []float64{5, 4, 3, 2}, 2, []int32{0, 2}, metric.Standing{}},
	} {
		var history []poi.Visit
		for _, p := range c.visited {
			history = append(history, poi.Visit{POI: p})
		}
		if got, err := amongNew(c.scores, c.label, history); err != nil || got != c.want {
			t.Errorf("%s: %+v, %v; want %+v", c.name, got, err, c.want)
		}
	}
	for _, p := range []int32{-1, 4} {
		if _, err := amongNew(make([]float64, 4), 0, []poi.Visit{{POI: p}}); !errors.Is(err, poi.ErrUnknownPOI) {
			t.Errorf("history at POI %d of 4: %v", p, err)
		}
	}
}

// One user was at 0, 1, 2, goes to 11, back to 0, and to 12, of 14 places. The
// model scores place p with -p: 11 is the 12th of all places and the 9th of the
// new ones; 12 is the 13th and, with 11 seen by then, the 9th as well. The floor
// knows nothing: 11 new places are left for the first, 10 for the second.
func TestDiscoveryAmongNewByHand(t *testing.T) {
	d := &poi.Dataset{Name: "fresh", Protocol: "every-checkin", Places: make([]poi.Place, 14), Fingerprint: "0123456789abcdef"}
	d.Users = []poi.User{{ID: "A"}}
	for i, p := range []int32{0, 1, 2, 11, 0, 12} {
		d.Users[0].Visits = append(d.Users[0].Visits, poi.Visit{POI: p, TimeMS: int64(i) * 3_600_000})
	}
	d.Targets[poi.Test] = []poi.Target{{Pos: 3}, {Pos: 4}, {Pos: 5}}
	falling := make([]float64, 14)
	for p := range falling {
		falling[p] = -float64(p)
	}
	flat := &fixed{name: "flat", table: [][]float64{make([]float64, 14)}}
	res, preds, err := Run(context.Background(), d, poi.Test, &fixed{name: "m", table: [][]float64{falling}}, []poi.Scorer{flat}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	floor := res.Floors["flat"]
	for name, c := range map[string][2]float64{ // got, want
		"share":                 {res.Fresh.Share, 2. / 3},
		"all places":            {res.Discovery.Metrics["acc@10"].Value, 0},
		"among new":             {res.Fresh.Metrics["acc@10"].Value, 1},
		"among new, acc@5":      {res.Fresh.Metrics["acc@5"].Value, 0},
		"among new, mrr":        {res.Fresh.Metrics["mrr"].Value, 1. / 9},
		"floor, all places":     {floor.Discovery.Metrics["acc@10"].Value, 10. / 14},
		"floor, among new":      {floor.Fresh.Metrics["acc@10"].Value, (10./11 + 1) / 2},
		"paired, all places":    {floor.PairedDiscovery.Value, -10. / 14},
		"paired, among new":     {floor.PairedFresh.Value, 1. / 22},
		"paired, among new, hi": {floor.PairedFresh.Hi, 1. / 11}, // twice the first row
		"paired, among new, lo": {floor.PairedFresh.Lo, 0},
		"return":                {res.Returns.Metrics["acc@1"].Value, 1},
	} {
		if math.Abs(c[0]-c[1]) > 1e-12 {
			t.Errorf("%s: %v, want %v", name, c[0], c[1])
		}
	}
	if res.Fresh.N != 2 || res.PairedFresh != (Value{}) || preds[0].Rank != 12 || preds[2].Rank != 13 {
		t.Errorf("%d rows, %+v, predictions %+v", res.Fresh.N, res.PairedFresh, preds)
	}
}

func TestProbability(t *testing.T) {
	for _, c := range []struct {
		scores []float64
		want   float64
	}{
		{[]float64{.25, .75}, .75},
		{[]float64{math.Log(.25), math.Log(.75)}, .75},
		{[]float64{math.Inf(-1), 0}, 1},
		{[]float64{3, 8}, 0},
		{[]float64{-.5, 1.5}, 0},
	} {
		if got := probability(c.scores, 1); math.Abs(got-c.want) > 1e-12 {
			t.Errorf("probability(%v) = %v, want %v", c.scores, got, c.want)
		}
	}
}

// The size of a batch bounds memory and changes nothing else.
func TestBatchesDoNotShow(t *testing.T) {
	d := testkit.Toy(1, 20, 30)
	var want *Result
	var wantPreds []Prediction
	for _, size := range []int{0, 1, 3, 1000} {
		floors := baseline.All(d)
		probe := &fixed{name: "probe", table: [][]float64{make([]float64, 30)}}
		got, preds, err := Run(context.Background(), d, poi.Validation, floors[4], append(floors[:4:4], probe), Options{Seed: 2, Resamples: 50, Batch: size})
		if err != nil {
			t.Fatal(err)
		}
		if size > 0 && probe.largest > size {
			t.Errorf("a batch of %d queries, the limit is %d", probe.largest, size)
		}
		if want == nil {
			want, wantPreds = got, preds
		}
		if !reflect.DeepEqual(got, want) || !reflect.DeepEqual(preds, wantPreds) {
			t.Errorf("batch %d changes the result", size)
		}
		// All places equal: chance level, by expectation and not by luck.
		if p := got.Floors["probe"].Metrics; math.Abs(p["acc@10"].Value-1./3) > 1e-12 || math.Abs(p["acc@1"].Value-1./30) > 1e-12 {
			t.Errorf("a scorer that knows nothing: %+v", p)
		}
	}
}

func TestBatchFitsMemory(t *testing.T) {
	for places, want := range map[int]int{1: 64, 5120: 64, 1 << 20: 8, 100_000_000: 1} {
		if got, err := (Options{}).batch(places); err != nil || got != want {
			t.Errorf("batch for %d places = %d, %v; want %d", places, got, err, want)
		}
	}
}

// Drawing users keeps the value. User A has three rows and one hit, B one row
// and none: with two users the extremes are all A and all B.
func TestByUser(t *testing.T) {
	run := func(byUser bool) *Result {
		s := &fixed{name: "m", table: [][]float64{{9, 1, 1, 1}, {9, 1, 1, 1}, {9, 1, 1, 1}, {0, 1, 1, 1}}}
		floor := &fixed{name: "f", table: [][]float64{{0, 0, 0, 9}}}
		res, _, err := Run(context.Background(), four(), poi.Test, s, []poi.Scorer{floor}, Options{ByUser: byUser})
		if err != nil {
			t.Fatal(err)
		}
		return res
	}
	if got := run(true); got.Metrics["acc@1"] != (Value{.25, 0, 1. / 3}) || got.Floors["f"].Paired != (Value{.25, 0, 1. / 3}) || !got.ByUser {
		t.Errorf("by user %+v, paired %+v", got.Metrics["acc@1"], got.Floors["f"].Paired)
	}
	if got := run(false).Metrics["acc@1"]; got != (Value{.25, 0, .75}) {
		t.Errorf("by row %+v", got)
	}
}

func TestFloorsAlone(t *testing.T) {
	d := testkit.Toy(1, 10, 20)
	res, preds, err := Run(context.Background(), d, poi.Test, nil, baseline.All(d), Options{Resamples: 20})
	if err != nil || preds != nil || res.Name != "" || len(res.Floors) != 6 || res.Metrics != nil {
		t.Fatalf("%+v, %v, %v", res, preds, err)
	}
	if res.Floors["counter"].Paired != (Value{}) {
		t.Error("a difference to nothing")
	}
}

func TestRunRejects(t *testing.T) {
	boom := errors.New("boom")
	good := func(name string) poi.Scorer { return &fixed{name: name, table: [][]float64{{4, 3, 2, 1}}} }
	nan := math.NaN()
	for name, c := range map[string]struct {
		change func(*poi.Dataset)
		tag    poi.Tag
		main   poi.Scorer
		floors []poi.Scorer
		opt    Options
		want   error
	}{
		"train":      {tag: poi.Train, main: good("m"), want: poi.ErrBadInput},
		"tag":        {tag: 9, main: good("m"), want: poi.ErrBadInput},
		"no targets": {tag: poi.Validation, main: good("m"), want: poi.ErrEmpty},
		"no scorer":  {tag: poi.Test, want: poi.ErrBadInput},
		"two alike":  {tag: poi.Test, main: good("m"), floors: []poi.Scorer{good("m")}, want: poi.ErrBadInput},
		"NaN":        {tag: poi.Test, main: &fixed{name: "m", table: [][]float64{{1, 2, nan, 0}}}, want: metric.ErrInput},
		"NaN floor":  {tag: poi.Test, main: good("m"), floors: []poi.Scorer{&fixed{name: "f", table: [][]float64{{nan, nan, nan, nan}}}}, want: metric.ErrInput},
		"unwritten":  {tag: poi.Test, main: &fixed{name: "m", table: [][]float64{{1, 2, 3}}}, want: metric.ErrInput},
		"scorer":     {tag: poi.Test, main: &fixed{name: "m", table: [][]float64{{4, 3, 2, 1}}, err: boom}, want: boom},
		"batch":      {tag: poi.Test, main: good("m"), opt: Options{Batch: -1}, want: poi.ErrBadInput},
		"resamples":  {tag: poi.Test, main: good("m"), opt: Options{Resamples: -1}, want: metric.ErrInput},
		"position":   {tag: poi.Test, main: good("m"), change: func(d *poi.Dataset) { d.Targets[poi.Test][0].Pos = 5 }, want: poi.ErrBadInput},
		"history":    {tag: poi.Test, main: good("m"), change: func(d *poi.Dataset) { d.Users[1].Visits[0].POI = 4 }, want: poi.ErrUnknownPOI},
		"label":      {tag: poi.Test, main: good("m"), change: func(d *poi.Dataset) { d.Users[0].Visits[2].POI = 4 }, want: poi.ErrUnknownPOI},
		"coordinate": {tag: poi.Test, main: good("m"), change: func(d *poi.Dataset) { d.Places[0].Lat = nan }, want: poi.ErrBadInput},
	} {
		d := four()
		if c.change != nil {
			c.change(d)
		}
		if _, _, err := Run(context.Background(), d, c.tag, c.main, c.floors, c.opt); !errors.Is(err, c.want) {
			t.Errorf("%s: error %v, want %v", name, err, c.want)
		}
	}
}

// The keys that scripts and acceptance lines rely on.
func TestJSONKeys(t *testing.T) {
	d := testkit.Toy(1, 10, 20)
	floors := baseline.All(d)
	res, preds, err := Run(context.Background(), d, poi.Test, &fixed{name: "m", table: [][]float64{make([]float64, 20)}}, floors, Options{Resamples: 20})
	if err != nil {
		t.Fatal(err)
	}
	var out, lines strings.Builder
	if err := errors.Join(WriteJSON(&out, res), WritePredictions(&lines, preds)); err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal([]byte(out.String()), &got); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"split", "protocol", "n", "seed", "metrics.acc@1.value", "metrics.acc@1.lo", "metrics.acc@1.hi", "metrics.acc@5",
		"metrics.acc@10", "metrics.mrr", "floors.counter.metrics.acc@1", "floors.recency.metrics", "floors.markov.paired_acc@1.lo",
		"returns.share", "returns.metrics.acc@1", "discovery.share", "discovery.metrics", "discovery_among_new.share", "discovery_among_new.metrics", "floors.markov.paired_discovery_among_new_acc@10.lo",
		"distance_m.p50", "distance_m.p75", "distance_m.p90"} {
		var at any = got
		for _, key := range strings.Split(path, ".") {
			m, ok := at.(map[string]any)
			if at, ok = m[key]; !ok {
				t.Errorf("no %s in the JSON", path)
				break
			}
		}
	}
	if n := strings.Count(lines.String(), "\n"); n != len(preds) || n != len(d.Targets[poi.Test]) {
		t.Errorf("%d lines for %d predictions", n, len(preds))
	}
	if err := WriteJSON(&out, &Result{Row: Row{Metrics: Metrics{"acc@1": {Value: math.NaN()}}}}); err == nil {
		t.Error("NaN was written as JSON")
	}
}
