package batch

import (
	"fmt"
	"reflect"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/whereto/whereto/evidence"
	"github.com/whereto/whereto/poi"
)

// TestEpochCoversEveryTargetOnce cuts with random windows and chunks and reads
// the targets back from the batches alone.
func TestEpochCoversEveryTargetOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := numbered(rapid.Uint64().Draw(t, "seed"), rapid.IntRange(1, 5).Draw(t, "users"), rapid.IntRange(0, 90).Draw(t, "visits"))
		c := drawConfig(t)
		s := sampler(d, c, rapid.Bool().Draw(t, "evidence"), 3)
		for epoch := range 2 {
			var got []int32
			for _, b := range epochOf(s, epoch) {
				got = append(got, checkBatch(t, d, c, b)...)
			}
			slices.Sort(got)
			if want := wanted(d); !slices.Equal(got, want) {
				t.Fatalf("epoch %d: targets %v, want %v", epoch, got, want)
			}
		}
	})
}

// checkBatch holds the laws of one batch of a numbered data set and returns its
// targets.
func checkBatch(t *rapid.T, d *poi.Dataset, c Config, b *Batch) (labels []int32) {
	shape := b.Arrays[InPlace].Dims
	if shape[0] != c.Size || shape[1] != c.Window && shape[1] != c.Chunk || b.Arrays[InRequest].Dims[1] != c.Chunk {
		t.Fatalf("shapes %v and %v of %+v", shape, b.Arrays[InRequest].Dims, c)
	}
	weight, tokens, requests := 0.0, 0, 0
	for i := range c.Size {
		places, _, _ := b.row(InPlace, i)
		n := slices.Index(places, 0)
		if n < 0 {
			n = len(places)
		}
		tokens += n
		user := b.Arrays[InUser].I[i]
		for k, p := range places {
			switch {
			case k >= n && p != 0:
				t.Fatalf("row %d: place %d after padding", i, p)
			case k > 0 && k < n && p != places[k-1]+1:
				t.Fatalf("row %d: %v is not a stretch of one sequence", i, places)
			}
		}
		at, _, _ := b.row(InRequest, i)
		label, _, _ := b.row(InLabel, i)
		_, w, _ := b.row(InWeight, i)
		for m := range at {
			if label[m] == 0 {
				if w[m] != 0 || at[m] != 0 {
					t.Fatalf("row %d: padding %d has weight %v and position %d", i, m, w[m], at[m])
				}
				continue
			}
			if places[at[m]] != label[m] || user == 0 || w[m] <= 0 {
				t.Fatalf("row %d: request at %d of %v, label %d, user %d, weight %v", i, at[m], places, label[m], user, w[m])
			}
			first := d.Users[user-1].Visits[0].POI + 1
			if context := int(at[m]); c.Curriculum == 0 && context < min(int(label[m]-first), c.Window-c.Chunk) {
				t.Fatalf("row %d: a request sees %d earlier actions of %d", i, context, label[m]-first)
			}
			labels, weight, requests = append(labels, label[m]), weight+float64(w[m]), requests+1
		}
	}
	if weight != b.Weight || tokens != b.Tokens || requests != b.Targets {
		t.Fatalf("weight %v, tokens %d, targets %d; counted %v, %d, %d", b.Weight, b.Tokens, b.Targets, weight, tokens, requests)
	}
	return labels
}

// TestCurriculum: its epochs have windows of one status, the others whole
// sequences.
func TestCurriculum(t *testing.T) {
	d := numbered(4, 6, 90)
	c := Default()
	c.Window, c.Chunk, c.Size, c.Curriculum = 16, 8, 3, 2
	status := map[int32]poi.Status{}
	for _, u := range d.Users {
		for _, v := range u.Visits {
			status[v.POI+1] = v.Status
		}
	}
	s := sampler(d, c, false, 1)
	for epoch, wantMixed := range []bool{false, false, true} {
		mixed := false
		for _, b := range epochOf(s, epoch) {
			for i := range c.Size {
				places, _, _ := b.row(InPlace, i)
				for _, p := range places {
					mixed = mixed || p > 0 && status[p] != status[places[0]]
				}
			}
		}
		if mixed != wantMixed {
			t.Errorf("epoch %d has windows of several statuses: %v, want %v", epoch, mixed, wantMixed)
		}
	}
}

// TestOrderIsAFunctionOfSeedEpochStep also is the O(1) seek: no batch depends on
// those asked for before.
func TestOrderIsAFunctionOfSeedEpochStep(t *testing.T) {
	d := toy(5)
	c := Default()
	c.Window, c.Chunk, c.Size, c.GeoTable, c.Curriculum = 12, 6, 3, 64, 1
	ran := sampler(d, c, true, 9)
	var epochs [3][]*Batch
	for e := range epochs {
		epochs[e] = epochOf(ran, e)
		if len(epochs[e]) < 4 {
			t.Fatalf("epoch %d has only %d batches", e, len(epochs[e]))
		}
	}
	for e := range epochs {
		for _, k := range []int{len(epochs[e]) - 1, 1, 0} {
			if fresh := sampler(d, c, true, 9).Batch(e, k); !reflect.DeepEqual(fresh, epochs[e][k]) {
				t.Errorf("batch %d of epoch %d of a fresh sampler differs from one that ran there", k, e)
			}
			if again := ran.Batch(e, k); !reflect.DeepEqual(again, epochs[e][k]) {
				t.Errorf("batch %d of epoch %d differs the second time", k, e)
			}
		}
	}
	if reflect.DeepEqual(epochs[1], epochs[2]) {
		t.Error("two epochs have one order")
	}
	if reflect.DeepEqual(epochOf(sampler(d, c, true, 10), 1), epochs[1]) {
		t.Error("two seeds give one order")
	}
}

// TestTargetWeights by hand: trajectories of 3, 1 and 2 visits, then validation.
func TestTargetWeights(t *testing.T) {
	d := &poi.Dataset{Types: []string{"checkin"}, Users: make([]poi.User, 1)}
	for i, traj := range []int32{0, 0, 0, 1, 2, 2, 3, 3} {
		v := poi.Visit{POI: int32(i), Traj: traj, TimeMS: int64(i) * 1000, Intent: i != 1}
		if i >= 6 {
			v.Tag = poi.Validation
		}
		d.Places = append(d.Places, poi.Place{})
		d.Users[0].Visits = append(d.Users[0].Visits, v)
	}
	for _, pos := range []int32{1, 2, 5} {
		d.Targets[poi.Train] = append(d.Targets[poi.Train], poi.Target{Pos: pos})
	}
	d.Targets[poi.Validation] = []poi.Target{{Pos: 7}}
	c := Default()
	c.Window, c.Chunk, c.Size, c.LastWeight = 8, 8, 1, 6
	b := sampler(d, c, false, 1).Batch(0, 0)
	at, _, _ := b.row(InRequest, 0)
	_, w, _ := b.row(InWeight, 0)
	if fmt.Sprint(at[:3], w[:3]) != "[2 5 0] [6 6 0]" || b.Weight != 12 {
		t.Errorf("requests %v with weights %v: want 2 and 5, which end trajectories; 1 is not intent", at, w)
	}
	d.Targets[poi.Train] = append(d.Targets[poi.Train], poi.Target{Pos: 4})
	b = sampler(d, c, false, 1).Batch(0, 0)
	at, _, _ = b.row(InRequest, 0)
	_, w, _ = b.row(InWeight, 0)
	if fmt.Sprint(at[:3], w[:3]) != "[2 4 5] [6 1 6]" {
		t.Errorf("requests %v with weights %v", at, w)
	}
	places, _, _ := b.row(InPlace, 0)
	if slices.Contains(places, 7) || slices.Contains(places, 8) {
		t.Errorf("a training window holds validation visits: %v", places)
	}
}

// TestCacheDoesNotChangeBatches: no memory, little memory, all in memory.
func TestCacheDoesNotChangeBatches(t *testing.T) {
	d := toy(6)
	c := Default()
	c.Window, c.Chunk, c.Size, c.GeoTable = 12, 6, 3, 64
	full := sampler(d, c, true, 2)
	want := append(epochOf(full, 0), epochOf(full, 0)...)
	if full.cache.bytes == 0 || len(full.cache.sets) != len(wanted(d)) {
		t.Fatalf("the cache keeps %d sets of %d", len(full.cache.sets), len(wanted(d)))
	}
	for _, limit := range []int64{0, full.cache.bytes / 3} {
		s := sampler(d, c, true, 2)
		s.cache.limit = limit
		if got := append(epochOf(s, 0), epochOf(s, 0)...); !reflect.DeepEqual(got, want) {
			t.Errorf("with a cache of %d bytes the batches differ", limit)
		}
		if s.cache.bytes > limit || limit > 0 && len(s.cache.sets) == 0 {
			t.Errorf("the cache holds %d bytes in %d sets, limit %d", s.cache.bytes, len(s.cache.sets), limit)
		}
	}
}

// TestConcurrentBatches is for the race detector, and for equality.
func TestConcurrentBatches(t *testing.T) {
	d := toy(7)
	c := Default()
	c.Window, c.Chunk, c.Size, c.GeoTable = 12, 6, 3, 64
	one, many := sampler(d, c, true, 2), sampler(d, c, true, 2)
	var want [2][]*Batch
	for e := range want {
		want[e] = epochOf(one, e)
	}
	var wg sync.WaitGroup
	for e := range want {
		for k := range want[e] {
			wg.Go(func() {
				if got := many.Batch(e, k); !reflect.DeepEqual(got, want[e][k]) {
					t.Errorf("batch %d of epoch %d differs when asked for beside others", k, e)
				}
			})
		}
	}
	wg.Wait()
}

// TestEvidenceFitsItsBucket: no candidate is cut off by a shape chosen too small,
// and what is in the batch is what evidence.Builder says.
func TestEvidenceFitsItsBucket(t *testing.T) {
	d := toy(8)
	c := Default()
	c.Window, c.Chunk, c.Size, c.GeoTable = 12, 6, 3, 64
	s := sampler(d, c, true, 2)
	builder := evidence.NewBuilder(s.stats, smallEvidence)
	targets, widths := 0, map[int]bool{}
	for step, b := range epochOf(s, 0) {
		widths[b.Arrays[InCandidate].Dims[2]] = true
		for i, id := range s.plan(0)[step].windows {
			w := s.phases[1][id]
			candidates, _, _ := b.row(InCandidate, i)
			_, features, _ := b.row(InFeature, i)
			_, context, _ := b.row(InContext, i)
			chosen, _, _ := b.row(InChosen, i)
			width := b.Arrays[InCandidate].Dims[2]
			for m, at := range w.requests {
				q := d.QueryOf(poi.Target{User: w.user, Pos: int32(at)})
				set := new(evidence.Set)
				builder.Compute(&q, set)
				got := candidates[m*width : (m+1)*width]
				for k := range got {
					if k < len(set.POIs) && got[k] != set.POIs[k]+1 || k >= len(set.POIs) && got[k] != 0 {
						t.Fatalf("candidates %v, want %v", got, set.POIs)
					}
				}
				f := features[m*width*evidence.NumFeatures:]
				if !slices.Equal(f[:len(set.Features)], set.Features) || !slices.Equal(context[m*evidence.NumContext:(m+1)*evidence.NumContext], set.Context) {
					t.Fatal("features or context differ from the builder's")
				}
				if want := set.Index(d.Users[w.user].Visits[at].POI); chosen[m] != want {
					t.Fatalf("chosen %d, want %d", chosen[m], want)
				}
				targets++
			}
		}
	}
	if targets != len(wanted(d)) || len(widths) < 2 {
		t.Errorf("%d targets seen of %d, candidate widths %v: want several", targets, len(wanted(d)), widths)
	}
}

func TestBuckets(t *testing.T) {
	full := evidence.Config{MaxPast: 96, Next: 16, Near: 16}
	if got := Buckets(full); !slices.Equal(got, []int{32, 64, 128}) {
		t.Errorf("buckets of 128 candidates are %v", got)
	}
	for _, odd := range []evidence.Config{full, {MaxPast: 1}, {MaxPast: 5, Next: 2}, {MaxPast: 12, Next: 3, Near: 3}} {
		for need := range odd.Max() + 1 {
			if got := bucket(need, odd.Max()); got < need || !slices.Contains(Buckets(odd), got) {
				t.Errorf("bucket(%d, %d) is %d, in use for inference are %v", need, odd.Max(), got, Buckets(odd))
			}
		}
	}
}
