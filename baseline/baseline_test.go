package baseline

import (
	"context"
	"errors"
	"math"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/whereto/whereto/internal/testkit"
	"github.com/whereto/whereto/poi"
)

// monday is Monday 1 April 2024, 10:00 UTC.
var monday = time.Date(2024, 4, 1, 10, 0, 0, 0, time.UTC)

func visit(p int32, at time.Time, tag poi.Tag) poi.Visit {
	return poi.Visit{POI: p, TimeMS: at.UnixMilli(), Tag: tag}
}

// tiny has four places on the equator, 0.01 degrees apart. In train, place 0 has
// four visits, 1 has two, 2 has one and 3 none; 0 is followed by 1 twice and by
// 2 once, 1 by 0 twice. Test visits would turn all of that around.
func tiny() *poi.Dataset {
	d := &poi.Dataset{Places: make([]poi.Place, 4)}
	for p := range d.Places {
		d.Places[p].Lng = float64(p) / 100
	}
	var visits []poi.Visit
	for i, p := range []int32{0, 1, 0, 1, 0} {
		visits = append(visits, visit(p, monday.Add(time.Duration(i)*time.Hour), poi.Train))
	}
	second := []poi.Visit{visit(0, monday, poi.Train), visit(2, monday, poi.Train)}
	for range 20 {
		second = append(second, visit(3, monday.Add(99*time.Hour), poi.Test))
	}
	d.Users = []poi.User{{ID: "a", Visits: visits}, {ID: "b", Visits: second}}
	return d
}

func scoresOf(t *testing.T, s poi.Scorer, places int, queries ...poi.Query) [][]float64 {
	t.Helper()
	dst := make([][]float64, len(queries))
	for i := range dst {
		dst[i] = make([]float64, places)
		for p := range dst[i] {
			dst[i][p] = 99 // must be overwritten
		}
	}
	if err := s.Scores(context.Background(), queries, dst); err != nil {
		t.Fatalf("%s: %v", s.Name(), err)
	}
	return dst
}

func byName(t *testing.T, d *poi.Dataset, name string) poi.Scorer {
	t.Helper()
	for _, s := range All(d) {
		if s.Name() == name {
			return s
		}
	}
	t.Fatalf("no baseline %q", name)
	return nil
}

func TestScoresByHand(t *testing.T) {
	const day = 24 * time.Hour
	// The request is on a Monday at 10:00, 60 days after a Thursday.
	history := []poi.Visit{
		visit(2, monday.Add(-60*day), poi.Train),             // half weight, same hour, other weekday
		visit(1, monday.Add(-60*day+3*time.Hour), poi.Train), // half (less 3 h), gap 3, other weekday
		visit(2, monday.Add(-7*day-9*time.Hour), poi.Train),  // 01:00: gap 9, same weekday
		visit(1, monday.Add(-7*day-9*time.Hour), poi.Train),  // the same, after a transition 2 -> 1
		visit(2, monday.Add(-7*day-9*time.Hour), poi.Train),  // the last place
		{POI: 2, TimeMS: monday.UnixMilli(), Tag: poi.Train}, // now: 3 x 1.5
	}
	q := poi.Query{History: history, TimeMS: monday.UnixMilli()}
	week := math.Exp2(-(7. + 9./24) / 60)
	far := week * .5 * 1.5
	tie := []float64{1e-6, .5e-6, .25e-6, 0}
	third, two := 1./4, 2./4
	want := map[string][]float64{
		"popularity": tie,
		"last":       {tie[0], tie[1], 1 + tie[2], tie[3]},
		"counter":    {tie[0], 2 + tie[1], 4 + tie[2], tie[3]},
		"recency": {
			tie[0],
			tie[1] + math.Exp2(-(60.-3./24)/60)*1.5*.7 + far + 2*3,
			.3 * (tie[2] + .5*3*.7 + 2*far + 3*1.5), // 2 -> 2 took a week: no transition
			tie[3],
		},
		// From place 2: own transitions to 1 twice and to 2 once; nothing follows 2 in train.
		"markov": {tie[0], 2 + tie[1], 1 + tie[2], tie[3]},
	}
	for name, row := range want {
		got := scoresOf(t, byName(t, tiny(), name), 4, q)[0]
		for p := range row {
			if math.Abs(got[p]-row[p]) > 1e-12 {
				t.Errorf("%s of place %d = %v, want %v", name, p, got[p], row[p])
			}
		}
	}
	// From place 0 without own transitions, everybody's: 1 twice, 2 once, of three, shrunk by one.
	got := scoresOf(t, byName(t, tiny(), "markov"), 4, poi.Query{History: []poi.Visit{visit(0, monday, poi.Train)}})[0]
	for p, x := range []float64{tie[0], two + tie[1], third + tie[2], tie[3]} {
		if math.Abs(got[p]-x) > 1e-12 {
			t.Errorf("markov backoff of place %d = %v, want %v", p, got[p], x)
		}
	}
}

func TestNearest(t *testing.T) {
	s := byName(t, tiny(), "nearest")
	step := 2 * math.Pi * 6371008.8 / 36000 // 0.01 degrees on the equator
	fromLast := poi.Query{History: []poi.Visit{visit(2, monday, poi.Train)}}
	fromUser := poi.Query{History: fromLast.History, HasPos: true, Lng: -.01}
	got := scoresOf(t, s, 4, fromLast, fromUser)
	for p := range 4 {
		if d := math.Abs(float64(p - 2)); math.Abs(got[0][p]+d*step) > 1e-3 {
			t.Errorf("from the last visit to place %d: %v, want %v", p, got[0][p], -d*step)
		}
		if d := float64(p + 1); math.Abs(got[1][p]+d*step) > 1e-3 {
			t.Errorf("from the user to place %d: %v, want %v", p, got[1][p], -d*step)
		}
	}
}

func TestHoursGoRoundTheClock(t *testing.T) {
	for diff, want := range map[int]float64{0: 3, 1: 3, -1: 3, 23: 3, -23: 3, 2: 1.5, -3: 1.5, 21: 1.5, -22: 1.5, 4: .5, 12: .5, -20: .5, 20: .5} {
		if got := hourWeight(diff); got != want {
			t.Errorf("hourWeight(%d) = %v, want %v", diff, got, want)
		}
	}
}

// Features use local time: the same instants with other offsets weigh otherwise.
func TestRecencyUsesLocalTime(t *testing.T) {
	d := tiny()
	at := visit(1, monday.Add(-24*time.Hour), poi.Train)
	moved := at
	moved.OffsetMin = -300
	other := visit(2, monday.Add(-24*time.Hour), poi.Train)
	got := scoresOf(t, byName(t, d, "recency"), 4,
		poi.Query{History: []poi.Visit{at, other}, TimeMS: monday.UnixMilli()},
		poi.Query{History: []poi.Visit{moved, other}, TimeMS: monday.UnixMilli()})
	if !(got[0][1] > 5*got[1][1]) {
		t.Errorf("same local hour %v, five hours off %v", got[0][1], got[1][1])
	}
}

func TestNoHistoryMeansPopularity(t *testing.T) {
	d := tiny()
	for _, s := range All(d) {
		got := scoresOf(t, s, 4, poi.Query{User: -1, TimeMS: monday.UnixMilli()})[0]
		if !(got[0] > got[1] && got[1] > got[2] && got[2] > got[3]) {
			t.Errorf("%s of nobody: %v, want the order of popularity", s.Name(), got)
		}
	}
}

func TestNamesInOrder(t *testing.T) {
	var names []string
	for _, s := range All(tiny()) {
		names = append(names, s.Name())
	}
	if want := []string{"popularity", "last", "nearest", "counter", "recency", "markov"}; !slices.Equal(names, want) {
		t.Errorf("names %v, want %v", names, want)
	}
}

// What is not train must not be learnt, and what is, must.
func TestFitsOnTrainOnly(t *testing.T) {
	d := testkit.Toy(3, 10, 20)
	before := Fingerprint(d)
	change := func(train bool) {
		for u := range d.Users {
			for i, v := range d.Users[u].Visits {
				if (v.Tag == poi.Train) == train {
					d.Users[u].Visits[i].POI = (v.POI + 1 + int32(i%3)) % 20
				}
			}
		}
	}
	if change(false); Fingerprint(d) != before {
		t.Error("changed validation and test visits changed what was fitted")
	}
	if change(true); Fingerprint(d) == before {
		t.Error("changed training visits changed nothing: the fingerprint sees nothing")
	}
}

// A row's scores depend on its query alone: not on the batch, the order, the
// number of cores or what dst held.
func TestRowsAreIndependent(t *testing.T) {
	d := testkit.Toy(4, 12, 25)
	var queries []poi.Query
	for _, target := range d.Targets[poi.Test] {
		queries = append(queries, d.QueryOf(target))
	}
	if len(queries) < 5 {
		t.Fatalf("only %d queries", len(queries))
	}
	reversed := slices.Clone(queries)
	slices.Reverse(reversed)
	for _, s := range All(d) {
		together := scoresOf(t, s, 25, queries...)
		backwards := scoresOf(t, s, 25, reversed...)
		cores := runtime.GOMAXPROCS(1)
		alone := scoresOf(t, s, 25, queries[2])[0]
		runtime.GOMAXPROCS(cores)
		slices.Reverse(backwards)
		if !slices.Equal(together[2], alone) {
			t.Errorf("%s: a row differs alone and in a batch", s.Name())
		}
		for i := range together {
			if !slices.Equal(together[i], backwards[i]) {
				t.Fatalf("%s: row %d depends on the order of the batch", s.Name(), i)
			}
		}
	}
}

func TestScoresReject(t *testing.T) {
	d := tiny()
	ok := poi.Query{History: d.Users[0].Visits}
	row := func(n int) [][]float64 { return [][]float64{make([]float64, n)} }
	done, cancel := context.WithCancel(context.Background())
	cancel()
	for _, s := range All(d) {
		for name, c := range map[string]struct {
			ctx     context.Context
			queries []poi.Query
			dst     [][]float64
			want    error
		}{
			"rows":      {context.Background(), []poi.Query{ok, ok}, row(4), poi.ErrBadInput},
			"places":    {context.Background(), []poi.Query{ok}, row(3), poi.ErrBadInput},
			"POI":       {context.Background(), []poi.Query{{History: []poi.Visit{{POI: 4}}}}, row(4), poi.ErrUnknownPOI},
			"below":     {context.Background(), []poi.Query{{History: []poi.Visit{{POI: -1}}}}, row(4), poi.ErrUnknownPOI},
			"cancelled": {done, []poi.Query{ok}, row(4), context.Canceled},
		} {
			if err := s.Scores(c.ctx, c.queries, c.dst); !errors.Is(err, c.want) {
				t.Errorf("%s, %s: error %v, want %v", s.Name(), name, err, c.want)
			}
		}
	}
}
