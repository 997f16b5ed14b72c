package recommend

import (
	"math"
	"slices"
	"sort"

	"github.com/whereto/whereto/index"
	"github.com/whereto/whereto/poi"
)

// Want says which places an answer may hold.
type Want struct {
	K int // at most this many, 1 to MaxK
	// Among are the positions of the places that may be returned, ascending; nil: all.
	Among []int32
	// Not reports places that must not be returned; nil: none. It is called from
	// several goroutines.
	Not func(p int32) bool
}

// allows reports whether a place may be returned.
func (r *Predictor) allows(w *Want, p int32) bool {
	if r.p.Dataset.Places[p].Closed || w.Not != nil && w.Not(p) {
		return false
	}
	if w.Among == nil {
		return true
	}
	_, ok := slices.BinarySearch(w.Among, p)
	return ok
}

// trieOf is the trie a beam may walk for an answer: exact for Among, while Not is
// looked at place by place.
func (r *Predictor) trieOf(w *Want) *index.Trie {
	if w.Among == nil {
		return r.p.Index.Trie()
	}
	return r.p.Index.RestrictTo(w.Among)
}

// scored is a place with its probability.
type scored struct {
	place int32
	prob  float64
}

// before orders answers: likelier first, then the smaller dense id, which is the more
// popular place.
func (a scored) before(b scored) bool {
	return a.prob > b.prob || a.prob == b.prob && a.place < b.place
}

// best keeps the k first of the places it is given.
type best struct {
	k    int
	kept []scored
}

func (b *best) add(x scored) {
	if n := len(b.kept); n == b.k {
		if !x.before(b.kept[n-1]) {
			return
		}
		b.kept = b.kept[:n-1]
	}
	at := sort.Search(len(b.kept), func(i int) bool { return x.before(b.kept[i]) })
	b.kept = slices.Insert(b.kept, at, x)
}

// choose returns the best places of an answer that a request wants, best first.
func (r *Predictor) choose(q *poi.Query, a *answer, w *Want) []poi.Ranked {
	copied := make(map[int32]float64, len(a.copy))
	for i, x := range a.copy {
		copied[a.set.POIs[i]] = x
	}
	top := best{k: w.K, kept: make([]scored, 0, w.K+1)}
	offer := func(p int32, generated float64) {
		if x := (1-a.gate)*generated + copied[p]; x > 0 && r.allows(w, p) {
			top.add(scored{p, x})
		}
	}
	switch {
	case a.dense != nil && w.Among != nil:
		for _, p := range w.Among {
			offer(p, math.Exp(float64(a.dense[p+1])))
		}
	case a.dense != nil:
		for p, x := range a.dense[1:] {
			offer(int32(p), math.Exp(float64(x)))
		}
	default:
		for p, x := range a.place {
			offer(p, x)
		}
		for p := range copied {
			if _, ok := a.place[p]; !ok {
				offer(p, 0)
			}
		}
	}
	out := make([]poi.Ranked, 0, len(top.kept))
	for _, s := range top.kept {
		out = append(out, r.ranked(q, s.place, s.prob, copied[s.place]))
	}
	return out
}
