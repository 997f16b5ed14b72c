package eval

import (
	"cmp"
	"container/heap"
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/whereto/whereto/metric"
	"github.com/whereto/whereto/poi"
)

// Lists returns the k best places of a scorer for each query, best first; ties go to
// the lower dense id, and a place with a score of zero is not recommended, so a list
// may be shorter.
func Lists(ctx context.Context, d *poi.Dataset, queries []poi.Query, s poi.Scorer, k int) ([][]int32, error) {
	if k < 1 || k > len(d.Places) {
		return nil, fmt.Errorf("lists of %d places: %w: want 1 to %d", k, poi.ErrBadInput, len(d.Places))
	}
	size, err := Options{}.batch(len(d.Places))
	if err != nil {
		return nil, err
	}
	buffer := make([][]float64, min(size, len(queries)))
	for i := range buffer {
		buffer[i] = make([]float64, len(d.Places))
	}
	out := make([][]int32, len(queries))
	for from := 0; from < len(queries); from += size {
		part := queries[from:min(from+size, len(queries))]
		dst := buffer[:len(part)]
		for i := range dst {
			fill(dst[i], math.NaN())
		}
		if err := s.Scores(ctx, part, dst); err != nil {
			return nil, fmt.Errorf("lists of %s: %w", s.Name(), err)
		}
		for i := range dst {
			if out[from+i], err = best(dst[i], k); err != nil {
				return nil, fmt.Errorf("lists of %s, query %d: %w", s.Name(), from+i, err)
			}
		}
	}
	return out, nil
}

func fill(x []float64, v float64) {
	for i := range x {
		x[i] = v
	}
}

// worst is a heap of places whose top is the one to drop first.
type worst struct {
	ids    []int32
	scores []float64
}

func (h *worst) Len() int { return len(h.ids) }
func (h *worst) Less(i, j int) bool {
	a, b := h.ids[i], h.ids[j]
	return h.scores[a] < h.scores[b] || h.scores[a] == h.scores[b] && a > b
}
func (h *worst) Swap(i, j int) { h.ids[i], h.ids[j] = h.ids[j], h.ids[i] }
func (h *worst) Push(x any)    { h.ids = append(h.ids, x.(int32)) }
func (h *worst) Pop() any {
	last := h.ids[len(h.ids)-1]
	h.ids = h.ids[:len(h.ids)-1]
	return last
}

// best returns the k highest of scores above zero.
func best(scores []float64, k int) ([]int32, error) {
	h := &worst{scores: scores}
	for p, x := range scores {
		if math.IsNaN(x) {
			return nil, fmt.Errorf("score of place %d is not a number: %w", p, poi.ErrBadInput)
		}
		if x <= 0 || len(h.ids) == k && x <= scores[h.ids[0]] {
			continue
		}
		if len(h.ids) == k {
			heap.Pop(h)
		}
		heap.Push(h, int32(p))
	}
	slices.SortFunc(h.ids, func(a, b int32) int { return cmp.Or(cmp.Compare(scores[b], scores[a]), cmp.Compare(a, b)) })
	return h.ids, nil
}

// Hunt is a set of queries, each with places of which any one is a hit.
type Hunt struct {
	Name    string
	Queries []poi.Query
	Wanted  [][]int32
}

// LastFive asks, for every user with at least five visits in the part, where he went
// last: at the moment of the first of the part's last five, from what came before,
// with any of the five a hit (paper section 5.1.3).
func LastFive(d *poi.Dataset, tag poi.Tag) Hunt {
	const last = 5
	h := Hunt{Name: "last five actions"}
	for u := range d.Users {
		v := d.Users[u].Visits
		end := len(v)
		for end > 0 && v[end-1].Tag != tag { // after the validation part comes the test part
			end--
		}
		at := end - last
		if at < 1 || slices.ContainsFunc(v[at:end], func(x poi.Visit) bool { return x.Tag != tag }) {
			continue
		}
		h.Queries = append(h.Queries, d.QueryOf(poi.Target{User: int32(u), Pos: int32(at)}))
		var wanted []int32
		for _, x := range v[at:end] {
			if !slices.Contains(wanted, x.POI) {
				wanted = append(wanted, x.POI)
			}
		}
		h.Wanted = append(h.Wanted, wanted)
	}
	return h
}

// Clicked asks, at every request of the part with a click, for the clicked places,
// among all places and not among those shown.
func Clicked(d *poi.Dataset, f *poi.Feed, tag poi.Tag) Hunt {
	h := Hunt{Name: "clicked places"}
	for _, at := range f.ByTag[tag] {
		q := &f.Requests[at]
		var wanted []int32
		for _, o := range q.Options {
			if o.Clicked {
				wanted = append(wanted, o.POI)
			}
		}
		if len(wanted) > 0 {
			h.Queries, h.Wanted = append(h.Queries, d.QueryAt(q)), append(h.Wanted, wanted)
		}
	}
	return h
}

// Sample keeps at most n queries of a hunt, evenly spaced.
func (h Hunt) Sample(n int) Hunt {
	if n <= 0 || len(h.Queries) <= n {
		return h
	}
	out := Hunt{Name: h.Name}
	for i := range n {
		at := i * len(h.Queries) / n
		out.Queries, out.Wanted = append(out.Queries, h.Queries[at]), append(out.Wanted, h.Wanted[at])
	}
	return out
}

// HitRow is one system's hit rates.
type HitRow struct {
	Name   string           `json:"name"`
	HR     map[string]Value `json:"hr"`     // "hr@1", ...
	Paired map[string]Value `json:"paired"` // this row minus the first
}

// HitTable is a hunt by several systems.
type HitTable struct {
	Hunt      string   `json:"hunt"`
	N         int      `json:"n"`     // queries
	Users     int      `json:"users"` // who asked
	Ks        []int    `json:"ks"`    // lengths of lists
	Seed      int64    `json:"seed"`  // of the bootstrap
	Resamples int      `json:"resamples"`
	Rows      []HitRow `json:"rows"`
}

// HitRates counts the queries of which one of the first k places was wanted, for
// lists by system; the first system is the one others are compared with. Intervals
// resample users.
func HitRates(h Hunt, names []string, lists [][][]int32, ks []int, opt Options) (*HitTable, error) {
	if len(h.Queries) == 0 {
		return nil, fmt.Errorf("hit rates on %s: %w: no query", h.Name, poi.ErrEmpty)
	}
	boot := metric.Bootstrap{Seed: opt.Seed, Resamples: opt.Resamples, Cluster: make([]int32, len(h.Queries))}
	users := map[int32]bool{}
	for i := range h.Queries {
		boot.Cluster[i], users[h.Queries[i].User] = h.Queries[i].User, true
	}
	t := &HitTable{Hunt: h.Name, N: len(h.Queries), Users: len(users), Ks: ks, Seed: opt.Seed,
		Resamples: cmp.Or(opt.Resamples, metric.DefaultResamples)}
	first := map[int][]float64{}
	for s, name := range names {
		row := HitRow{Name: name, HR: map[string]Value{}, Paired: map[string]Value{}}
		for _, k := range ks {
			hits := make([]float64, len(h.Queries))
			for i, list := range lists[s] {
				if slices.ContainsFunc(list[:min(k, len(list))], func(p int32) bool { return slices.Contains(h.Wanted[i], p) }) {
					hits[i] = 1
				}
			}
			key := fmt.Sprintf("hr@%d", k)
			x, err := boot.Mean(hits)
			if err != nil {
				return nil, fmt.Errorf("%s of %s: %w", key, name, err)
			}
			row.HR[key] = Value(x)
			if s == 0 {
				first[k] = hits
				continue
			}
			if x, err = boot.Difference(hits, first[k]); err != nil {
				return nil, fmt.Errorf("%s of %s: %w", key, name, err)
			}
			row.Paired[key] = Value(x)
		}
		t.Rows = append(t.Rows, row)
	}
	return t, nil
}
