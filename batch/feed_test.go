package batch

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/whereto/whereto/geo"
	"github.com/whereto/whereto/poi"
)

// marks gives every place a media vector that says which place it is.
type marks struct{}

func (marks) Width() int { return 2 }

func (marks) At(place int32) []float32 { return []float32{float32(place) + 1, -float32(place) - 1} }

// drawTasks draws requests of a feed, by user and then by time. What Extra says of
// an option is the number of its task and its place in the list, so that a batch
// tells which task it came from.
func drawTasks(t *rapid.T, d *poi.Dataset, options int) []FeedTask {
	var out []FeedTask
	for u := range d.Users {
		v := d.Users[u].Visits
		pos := 0
		for range rapid.IntRange(0, 12).Draw(t, "requests") {
			pos = rapid.IntRange(pos, min(len(v), pos+9)).Draw(t, "pos")
			q := &poi.Request{ID: fmt.Sprint(len(out)), User: int32(u), Pos: int32(pos), TimeMS: 1_700_000_000_000, OffsetMin: 330}
			if pos > 0 {
				q.TimeMS = v[pos-1].TimeMS
			}
			q.TimeMS += rapid.Int64Range(1, 40*3_600_000).Draw(t, "wait")
			if rapid.Bool().Draw(t, "located") {
				q.HasUser, q.UserLat, q.UserLng = true, 45.5, 5.25
			}
			task := FeedTask{Request: q, Weight: rapid.Float64Range(0.5, 3).Draw(t, "weight")}
			for c := range rapid.IntRange(1, options).Draw(t, "options") {
				q.Options = append(q.Options, poi.Option{POI: rapid.Int32Range(0, int32(len(d.Places)-1)).Draw(t, "poi"), Clicked: rapid.Bool().Draw(t, "clicked")})
				task.Extra = append(task.Extra, float32(1+len(out)*options+c))
			}
			out = append(out, task)
		}
	}
	return out
}

// drawFeed draws a data set in which every visit has a place of its own.
func drawFeed(t *rapid.T) (*poi.Dataset, Config, FeedConfig, []FeedTask) {
	d := numbered(rapid.Uint64().Draw(t, "seed"), rapid.IntRange(1, 4).Draw(t, "users"), 60)
	d.Places = append(d.Places, poi.Place{ID: "nowhere", Lat: 45, Lng: 5})
	c := drawConfig(t)
	f := FeedConfig{Requests: rapid.IntRange(1, 5).Draw(t, "M"), Options: rapid.IntRange(2, 6).Draw(t, "C"), Size: rapid.IntRange(1, 4).Draw(t, "B")}
	return d, c, f, drawTasks(t, d, f.Options)
}

func feedOf(t interface{ Fatal(...any) }, d *poi.Dataset, c Config, f FeedConfig, tasks []FeedTask, media Media, seed int64) *FeedSampler {
	s, err := NewFeedSampler(d, NewEncoder(d, c), tasks, f, media, seed)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func feedEpoch(s *FeedSampler, epoch int) []*FeedBatch {
	out := make([]*FeedBatch, s.Steps(epoch))
	for i := range out {
		out[i] = s.Batch(epoch, i)
	}
	return out
}

func TestFeedEpochHoldsEveryTaskOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d, c, f, tasks := drawFeed(t)
		if len(tasks) == 0 {
			return
		}
		s := feedOf(t, d, c, f, tasks, marks{}, 3)
		for epoch := range 2 {
			var got []int
			for _, b := range feedEpoch(s, epoch) {
				got = append(got, checkFeed(t, d, c, f, tasks, b)...)
			}
			slices.Sort(got)
			for i := range tasks {
				if len(got) != len(tasks) || got[i] != i {
					t.Fatalf("epoch %d: tasks %v, want each of %d once", epoch, got, len(tasks))
				}
			}
		}
	})
}

// checkFeed holds the laws of one batch and returns its tasks.
func checkFeed(t *rapid.T, d *poi.Dataset, c Config, f FeedConfig, tasks []FeedTask, b *FeedBatch) (found []int) {
	s := shapeOf(t, c, f, b)
	weight, tokens, options := 0.0, 0, 0
	for i := range s.B {
		window := b.Arrays[InPlace].I[i*s.N : (i+1)*s.N]
		n := slices.Index(append(slices.Clone(window), 0), 0)
		tokens += n
		from, last := -1, -1
		for m := range s.M {
			at := i*s.M + m
			id := int(b.Arrays[FeedExtra].F[at*s.C]-1) / f.Options
			if b.Arrays[FeedExtra].F[at*s.C] == 0 {
				emptyRequest(t, b, at)
				continue
			}
			task := &tasks[id]
			q := task.Request
			pos := int(q.Pos)
			inside := int(b.Arrays[FeedAt].I[at])
			if from < 0 {
				from = pos - inside
			}
			found, last = append(found, id), inside
			weight, options = weight+task.Weight, options+len(q.Options)
			if b.Arrays[InUser].I[i] != q.User+1 || from != pos-inside || inside > n || inside < min(pos, c.Window/2) {
				t.Fatalf("row %d: request %d after %d visits has %d of %d actions, which begin at visit %d", i, m, pos, inside, n, from)
			}
			checkOptions(t, b, task, at, s.C)
		}
		// The window ends where its last request begins, so that an earlier request
		// need only forget what is at or after its own count.
		if n != max(last, 0) || slices.ContainsFunc(window[n:], func(p int32) bool { return p != 0 }) {
			t.Fatalf("row %d: %d actions before a last request that has %d", i, n, last)
		}
		for k, p := range window[:n] {
			if want := d.Users[b.Arrays[InUser].I[i]-1].Visits[from+k].POI + 1; p != want {
				t.Fatalf("row %d: action %d is at place %d, want %d", i, k, p, want)
			}
		}
		checkMedia(t, window, b.Arrays[FeedMedia].F[i*s.N*2:(i+1)*s.N*2])
	}
	checkMedia(t, b.Arrays[FeedOption].I, b.Arrays[FeedShow].F)
	checkSpots(t, NewEncoder(d, c), b.Arrays[FeedOption].I, b.Arrays[FeedSpot].F)
	if math.Abs(b.Weight-weight) > 1e-9 || b.Tokens != tokens || b.Options != options {
		t.Fatalf("weight %v, tokens %d, options %d; counted %v, %d, %d", b.Weight, b.Tokens, b.Options, weight, tokens, options)
	}
	return found
}

// shapeOf is the bucket of a batch, one of the few there are, and the smallest that
// holds what is in it.
func shapeOf(t *rapid.T, c Config, f FeedConfig, b *FeedBatch) Shape {
	window, option := b.Arrays[InPlace].Dims, b.Arrays[FeedOption].Dims
	s := Shape{B: window[0], N: window[1], M: option[1], C: option[2]}
	if s.B != f.Size || s.N != c.Window && s.N != (c.Window+1)/2 || s.M > f.Requests || s.M&(s.M-1) != 0 && s.M != f.Requests || s.C != f.Options {
		t.Fatalf("a batch of shape %+v of windows of %d, %d requests of %d options", s, c.Window, f.Requests, f.Options)
	}
	longest, most := 0, 0
	for i := range s.B {
		asks := 0
		longest = max(longest, slices.Index(append(slices.Clone(b.Arrays[InPlace].I[i*s.N:(i+1)*s.N]), 0), 0))
		for m := range s.M {
			if b.Arrays[FeedOption].I[(i*s.M+m)*s.C] > 0 {
				asks = m + 1
			}
		}
		most = max(most, asks)
	}
	if s.N == c.Window && longest <= (c.Window+1)/2 && (c.Window+1)/2 < c.Window || s.M > 1 && most <= s.M/2 && s.M&(s.M-1) == 0 {
		t.Fatalf("a batch of shape %+v for %d actions, %d requests", s, longest, most)
	}
	return s
}

// checkOptions compares what a batch says of a task's options and moment.
func checkOptions(t *rapid.T, b *FeedBatch, task *FeedTask, at, room int) {
	q := task.Request
	local := poi.LocalTime(q.TimeMS, q.OffsetMin)
	times := b.Arrays[FeedTimes].I[at*4 : at*4+4]
	if want := []int32{int32(local.Month()) - 1, int32(local.Weekday()), int32(local.Day()) - 1, int32(local.Hour())}; !slices.Equal(times, want) {
		t.Fatalf("request %s at %v, want %v", q.ID, times, want)
	}
	if w := b.Arrays[FeedWeight].F[at]; w != float32(task.Weight) {
		t.Fatalf("request %s has weight %v, want %v", q.ID, w, task.Weight)
	}
	for c := range room {
		j := at*room + c
		place, clicked, extra := int32(0), float32(0), float32(0)
		if c < len(q.Options) {
			place, extra = q.Options[c].POI+1, task.Extra[c]
			if q.Options[c].Clicked {
				clicked = 1
			}
		}
		if b.Arrays[FeedOption].I[j] != place || b.Arrays[FeedClicked].F[j] != clicked || b.Arrays[FeedExtra].F[j] != extra {
			t.Fatalf("request %s, option %d: place %d, clicked %v, extra %v; want %d, %v, %v", q.ID, c,
				b.Arrays[FeedOption].I[j], b.Arrays[FeedClicked].F[j], b.Arrays[FeedExtra].F[j], place, clicked, extra)
		}
	}
}

// checkSpots wants each option's place in kilometres, and zeros of padding.
func checkSpots(t *rapid.T, e *Encoder, options []int32, spots []float32) {
	for j, p := range options {
		if p > 0 && (spots[2*j] != e.x[p-1] || spots[2*j+1] != e.y[p-1]) || p == 0 && (spots[2*j] != 0 || spots[2*j+1] != 0) {
			t.Fatalf("option %d of place %d is at %v km", j, p, spots[2*j:2*j+2])
		}
	}
}

// emptyRequest wants zeros in every array of a request that is padding.
func emptyRequest(t *rapid.T, b *FeedBatch, at int) {
	for array := FeedAt; array < NumFeed; array++ {
		a := b.Arrays[array]
		if array == FeedMedia {
			continue // of the window, not of a request
		}
		width := product(a.Dims[2:])
		for k := at * width; k < (at+1)*width; k++ {
			if a.I != nil && a.I[k] != 0 || a.F != nil && a.F[k] != 0 {
				t.Fatalf("array %d of request %d, which is padding, is not zero", array, at)
			}
		}
	}
}

// checkMedia wants the vector of each place, and zeros of padding.
func checkMedia(t *rapid.T, places []int32, vectors []float32) {
	for k, p := range places {
		if vectors[2*k] != float32(p) || vectors[2*k+1] != -float32(p) {
			t.Fatalf("slot %d of place %d has vector %v", k, p, vectors[2*k:2*k+2])
		}
	}
}

// A feed row of one request is an open row of pre-training: the same actions, and
// the request's own time, place and trajectory where that row has its last action.
func TestFeedRequestEqualsOpenRow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d, c, _, tasks := drawFeed(t)
		e := NewEncoder(d, c)
		for _, task := range tasks {
			q := task.Request
			visits := d.Users[q.User].Visits[:q.Pos:q.Pos]
			from := max(0, len(visits)-rapid.IntRange(1, c.Window).Draw(t, "context"))
			n := len(visits) - from
			shape := Shape{B: 1, N: n + 2, M: 2, C: len(q.Options) + 1}
			got := e.EncodeFeed([]FeedRow{{User: q.User, Visits: visits, From: from, Requests: []*poi.Request{q}}}, shape, nil)
			asked := poi.Visit{TimeMS: q.TimeMS, OffsetMin: q.OffsetMin, HasUser: q.HasUser, UserLat: q.UserLat, UserLng: q.UserLng}
			row := Row{User: q.User, Sequence: append(visits, asked), From: from, Requests: []int{len(visits)}, Open: true}
			want := e.Encode([]Row{row}, Shape{B: 1, N: n + 2, M: 1, C: 1}, one, nil)
			for array, moment := range map[int]int{InPlace: -1, InTimes: FeedTimes, InClock: FeedClock, InCells: FeedCells, InAt: -1,
				InFrom: FeedFrom, InType: -1, InSegment: FeedSegment} {
				a, b := got.Arrays[array], want.Arrays[array]
				width := product(a.Dims[2:])
				if !reflect.DeepEqual(part(a, 0, n*width), part(b, 0, n*width)) {
					t.Fatalf("array %d: actions %v, want %v", array, a, b)
				}
				if moment >= 0 && !reflect.DeepEqual(part(got.Arrays[moment], 0, width), part(b, n*width, (n+1)*width)) {
					t.Fatalf("array %d of the request is %v, an open row has %v", moment, got.Arrays[moment], b)
				}
			}
			if !reflect.DeepEqual(got.Arrays[InUser], want.Arrays[InUser]) || !reflect.DeepEqual(got.Arrays[InProfile], want.Arrays[InProfile]) {
				t.Fatal("user or profile differ")
			}
			if at := got.Arrays[FeedAt].I[0]; at != want.Arrays[InRequest].I[0] {
				t.Fatalf("request after %d actions, want %d", at, want.Arrays[InRequest].I[0])
			}
		}
	})
}

func part(a Array, from, to int) any {
	if a.I != nil {
		return a.I[from:to]
	}
	return a.F[from:to]
}

// Three requests that share a window, worked out by hand: hours count back from
// the last, each has its own trajectory and stands at the place before it.
func TestFeedWindowByHand(t *testing.T) {
	const hour = 3_600_000
	d := &poi.Dataset{Types: []string{"checkin"}, Users: make([]poi.User, 1), Places: []poi.Place{{Lat: 1}, {Lat: -1}, {Lng: 1}, {Lng: -1}}}
	for i, at := range []int64{0, 10, 40} {
		d.Users[0].Visits = append(d.Users[0].Visits, poi.Visit{POI: int32(i), TimeMS: at * hour})
	}
	ask := func(pos int32, at int64) *poi.Request {
		return &poi.Request{Pos: pos, TimeMS: at * hour, Options: []poi.Option{{POI: 3}}}
	}
	c := Default()
	c.Window = 4
	e := NewEncoder(d, c)
	b := e.EncodeFeed([]FeedRow{{Visits: d.Users[0].Visits, Requests: []*poi.Request{ask(1, 5), ask(2, 35), ask(3, 50)}}},
		Shape{B: 1, N: 4, M: 3, C: 1}, nil)
	for array, want := range map[int][]float32{InClock: {50, 40, 10, 0}, InSegment: {0, 0, 1, 0}, FeedClock: {45, 15, 0}, FeedSegment: {0, 1, 1},
		FeedWeight: {1, 1, 1}, FeedFrom: {0, kmPerDegree, 0, -kmPerDegree, kmPerDegree, 0}, FeedExtra: {0, 0, 0}} {
		if got := b.Arrays[array].F; !near(got, want) {
			t.Errorf("array %d is %v, want %v", array, got, want)
		}
	}
	if got, want := b.Arrays[FeedCells].I, e.PlaceCells()[geo.GridLevels:4*geo.GridLevels]; !slices.Equal(got, want) {
		t.Errorf("cells %v, want those of the places before, %v", got, want)
	}
	if got := fmt.Sprint(b.Arrays[FeedAt].I, b.Arrays[FeedOption].I, b.Arrays[InPlace].I); got != "[1 2 3] [4 4 4] [1 2 3 0]" {
		t.Errorf("positions, options and places %s", got)
	}
	if b.Options != 3 || b.Tokens != 3 || b.Weight != 3 {
		t.Errorf("%d options, %d tokens, weight %v", b.Options, b.Tokens, b.Weight)
	}
}

// feedToy is a fixed feed, of one request at every second visit.
func feedToy() (*poi.Dataset, Config, FeedConfig, []FeedTask) {
	d, c := toy(5), Default()
	c.Window, c.GeoTable = 12, 64
	var tasks []FeedTask
	for u := range d.Users {
		for pos := 0; pos < len(d.Users[u].Visits); pos += 2 {
			v := d.Users[u].Visits[pos]
			tasks = append(tasks, FeedTask{Weight: 1, Request: &poi.Request{ID: fmt.Sprint(u, "-", pos), User: int32(u), Pos: int32(pos), TimeMS: v.TimeMS,
				OffsetMin: v.OffsetMin, Options: []poi.Option{{POI: v.POI, Clicked: true}, {POI: int32(pos % 25)}}}})
		}
	}
	return d, c, FeedConfig{Requests: 3, Options: 2, Size: 2}, tasks
}

func TestFeedOrderIsAFunctionOfSeedEpochStep(t *testing.T) {
	d, c, f, tasks := feedToy()
	ran := feedOf(t, d, c, f, tasks, marks{}, 9)
	epochs := [2][]*FeedBatch{feedEpoch(ran, 0), feedEpoch(ran, 1)}
	if len(epochs[0]) < 4 || ran.Steps(0) != len(epochs[0]) {
		t.Fatalf("an epoch has %d batches", len(epochs[0]))
	}
	for e := range epochs {
		for _, k := range []int{len(epochs[e]) - 1, 1, 0} {
			if fresh := feedOf(t, d, c, f, tasks, marks{}, 9).Batch(e, k); !reflect.DeepEqual(fresh, epochs[e][k]) {
				t.Errorf("batch %d of epoch %d of a fresh sampler differs from one that ran there", k, e)
			}
		}
	}
	if reflect.DeepEqual(epochs[0], epochs[1]) {
		t.Error("two epochs have one order")
	}
	if reflect.DeepEqual(feedEpoch(feedOf(t, d, c, f, tasks, marks{}, 10), 0), epochs[0]) {
		t.Error("two seeds give one order")
	}
	var wg sync.WaitGroup
	for e := range epochs {
		for k := range epochs[e] {
			wg.Go(func() {
				if got := ran.Batch(e, k); !reflect.DeepEqual(got, epochs[e][k]) {
					t.Errorf("batch %d of epoch %d differs when asked for beside others", k, e)
				}
			})
		}
	}
	wg.Wait()
}
