// Package baseline holds the floors that a trained model must beat: popularity,
// last place, nearest, per-user counter, recency kernel and first-order Markov.
// None is trained by gradient and none has tuned settings.
//
// Promises. What a baseline fits, it fits on visits tagged poi.Train only; the
// rest comes from the query itself: its history, time and position. A query
// costs O(its history) plus a dense fill of the score row. The same data and
// queries give the same scores, bit for bit, on any number of cores.
//
// All but popularity itself add Tiebreak x popularity, which decides among
// places that the rule scores alike and orders the places it says nothing of;
// scores are float64 so that it survives beside large counts.
//
// The fitted statistics contain the train targets, so scores of train rows are
// too good; use validation and test rows.
//
// Scores fail with poi.ErrBadInput on a wrongly shaped destination and with
// poi.ErrUnknownPOI on a history that is not of this data set. An unknown user
// or an empty history is no failure: popularity answers.
package baseline

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/whereto/whereto/poi"
)

// Tiebreak weighs popularity (1 for the most popular place) beside the rules,
// as in the Less-is-more audit of next-POI protocols.
const Tiebreak = 1e-6

// All returns every baseline fitted on d: popularity, last, nearest, counter,
// recency, markov.
func All(d *poi.Dataset) []poi.Scorer {
	f := fitTrain(d)
	return []poi.Scorer{
		f.scorer("popularity", func(poi.Query, []float64) {}),
		f.scorer("last", last),
		f.scorer("nearest", f.nearest),
		f.scorer("counter", counter),
		f.scorer("recency", recency),
		f.scorer("markov", f.markov),
	}
}

// Fingerprint returns a hex SHA-256 of everything the baselines fit on d, for
// the audit: it must not change when validation and test visits do.
func Fingerprint(d *poi.Dataset) string {
	f := fitTrain(d)
	h := sha256.New()
	put := func(x float64) {
		var b [8]byte
		binary.LittleEndian.PutUint64(b[:], math.Float64bits(x))
		h.Write(b[:])
	}
	for p, x := range f.prior {
		put(x)
		put(float64(len(f.next[p])))
		for _, e := range f.next[p] {
			put(float64(e.to))
			put(e.prob)
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

// fitted is what all baselines know.
type fitted struct {
	places []poi.Place
	prior  []float64 // per POI: Tiebreak x train visits / train visits of the most visited
	next   [][]edge  // per POI: what followed it in train, by POI id
}

// edge is one global transition; prob is its share of the departures, shrunk so
// that it stays below 1, one transition of the user's own.
type edge struct {
	to   int32
	prob float64
}

func fitTrain(d *poi.Dataset) *fitted {
	f := &fitted{places: d.Places, prior: make([]float64, len(d.Places)), next: make([][]edge, len(d.Places))}
	after := make([][]int32, len(d.Places))
	for _, u := range d.Users {
		for i, v := range u.Visits {
			if v.Tag != poi.Train {
				continue
			}
			f.prior[v.POI]++
			if i > 0 && u.Visits[i-1].Tag == poi.Train {
				from := u.Visits[i-1].POI
				after[from] = append(after[from], v.POI)
			}
		}
	}
	most := 1.0
	for _, n := range f.prior {
		most = max(most, n)
	}
	for p := range f.prior {
		f.prior[p] *= Tiebreak / most
		f.next[p] = edges(after[p])
	}
	return f
}

// edges counts equal ids; it sorts its argument.
func edges(to []int32) []edge {
	slices.Sort(to)
	var out []edge
	for i := 0; i < len(to); {
		n := i
		for n < len(to) && to[n] == to[i] {
			n++
		}
		out = append(out, edge{to[i], float64(n-i) / float64(len(to)+1)})
		i = n
	}
	return out
}

// rule adds its scores for q to dst, which already holds the prior.
type rule func(q poi.Query, dst []float64)

type scorer struct {
	name  string
	prior []float64
	add   rule
}

func (f *fitted) scorer(name string, add rule) poi.Scorer { return &scorer{name, f.prior, add} }

// Name returns the baseline's name.
func (s *scorer) Name() string { return s.name }

// Scores implements poi.Scorer.
func (s *scorer) Scores(ctx context.Context, queries []poi.Query, dst [][]float64) error {
	if len(dst) != len(queries) {
		return fmt.Errorf("%s scores: %w: %d rows for %d queries", s.name, poi.ErrBadInput, len(dst), len(queries))
	}
	for i, q := range queries {
		if len(dst[i]) != len(s.prior) {
			return fmt.Errorf("%s scores: %w: row %d has %d places, the data set %d", s.name, poi.ErrBadInput, i, len(dst[i]), len(s.prior))
		}
		for _, v := range q.History {
			if v.POI < 0 || int(v.POI) >= len(s.prior) {
				return fmt.Errorf("%s scores: %w: POI %d in the history of query %d, the data set has %d", s.name, poi.ErrUnknownPOI, v.POI, i, len(s.prior))
			}
		}
	}
	return parallel(ctx, len(queries), func(i int) {
		copy(dst[i], s.prior)
		s.add(queries[i], dst[i])
	})
}

// parallel runs do(0..n-1) on at most GOMAXPROCS goroutines; each i writes its
// own row, so the order does not show.
func parallel(ctx context.Context, n int, do func(int)) error {
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(n, runtime.GOMAXPROCS(0)) {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(n) && ctx.Err() == nil; i = next.Add(1) - 1 {
				do(int(i))
			}
		})
	}
	wg.Wait()
	return ctx.Err()
}
