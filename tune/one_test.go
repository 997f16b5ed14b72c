package tune

import (
	"errors"
	"math"
	"testing"

	"github.com/gomlx/compute"

	"github.com/whereto/whereto/poi"
)

// A question asked alone gets what the same request of the data gets; somebody who is
// not in the data, with the same past, what his past earns.
func TestOneAsksAsTheFeedDoes(t *testing.T) {
	w := getWorld(t)
	eachBackend(t, func(t *testing.T, backend compute.Backend) {
		for _, stage := range []string{"rank", "embed"} {
			a, store := w.stage(t, backend, stage), w.weights(t)
			one, err := a.One(stage, backend, store)
			must(t, err)
			must(t, one.Warm(t.Context(), 40))
			requests := a.some(9)
			want := rank(t, a.ranker(t, backend, store), requests...)
			for i, q := range requests {
				places := make([]int32, len(q.Options))
				for c, o := range q.Options {
					places[c] = o.POI
				}
				got := one.scores(t, a.Dataset.QueryAt(q), places)
				for c := range got {
					if math.Abs(got[c]-want[i][c]) > near {
						t.Errorf("%s, request %d, option %d: %v alone, %v in the feed", stage, i, c, got[c], want[i][c])
					}
				}
				stranger := a.Dataset.QueryAt(q)
				stranger.User, stranger.History = -1, stranger.History[:len(stranger.History)/2]
				if other := one.scores(t, stranger, places); apart(t, [][]float64{other}, [][]float64{got}) < near {
					t.Errorf("%s, request %d: neither the person nor half of the past matters", stage, i)
				}
			}
			must(t, one.Close())
			_, err = one.Rank(t.Context(), poi.Query{User: -1}, []int32{0})
			if stage == "embed" {
				_, err = one.User(t.Context(), poi.Query{User: -1})
			}
			if err == nil {
				t.Errorf("%s: what is closed answers, so its graphs were not freed", stage)
			}
		}
	})
}

// scores are probabilities of a click, or cosines of person and places.
func (o *One) scores(t *testing.T, q poi.Query, places []int32) []float64 {
	t.Helper()
	if o.rank != nil {
		out, err := o.Rank(t.Context(), q, places)
		must(t, err)
		return out
	}
	user, err := o.User(t.Context(), q)
	must(t, err)
	table, dim, err := o.Places(t.Context())
	must(t, err)
	out := make([]float64, len(places))
	for i, p := range places {
		for k := range dim {
			out[i] += float64(user[k]) * float64(table[int(p)*dim+k])
		}
	}
	return out
}

func TestOneRefuses(t *testing.T) {
	w, backend := getWorld(t), pureGo(t)
	store := w.weights(t)
	if _, err := w.stage(t, backend, "align").One("x", backend, store); !errors.Is(err, poi.ErrBadInput) {
		t.Errorf("the align stage: %v", err)
	}
	rank, err := w.stage(t, backend, "rank").One("x", backend, store)
	must(t, err)
	if _, err := rank.User(t.Context(), poi.Query{User: -1}); !errors.Is(err, poi.ErrBadInput) {
		t.Errorf("a vector of the rank stage: %v", err)
	}
	embed, err := w.stage(t, backend, "embed").One("x", backend, store)
	must(t, err)
	if _, err := embed.Rank(t.Context(), poi.Query{User: -1}, []int32{0}); !errors.Is(err, poi.ErrBadInput) {
		t.Errorf("a rank of the embed stage: %v", err)
	}
}
