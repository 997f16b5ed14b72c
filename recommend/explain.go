package recommend

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/whereto/whereto/geo"
	"github.com/whereto/whereto/index"
	"github.com/whereto/whereto/poi"
)

// Reasons take a recommendation apart.
type Reasons struct {
	Prob      float64  // of the place, Copied + Generated
	Gate      float64  // probability of returning to the past rather than generating
	Copied    float64  // part of Prob from the copy head
	Generated float64  // part of Prob from the generator
	Branches  []Branch // where the generator looks, likeliest first
	Effects   []Effect // of the last actions of the history, the most recent last
}

// Branch is one block and what the generator expects there.
type Branch struct {
	ID     string
	Bounds geo.Bounds
	Prob   float64 // of the block, by the generator alone
	Leaves []Leaf  // likeliest first
}

// Leaf is a place of a branch.
type Leaf struct {
	POI  int32
	Prob float64 // given the block
}

// Effect is what one action of the history does to the place.
type Effect struct {
	At      int     // position in the history
	Without float64 // the place's probability had the action not been
}

// ExplainActions bounds how many actions Explain takes away, one by one.
const ExplainActions = 31

// Explain says why a place has its probability: which head it comes from, where the
// generator looks, and how it would change without each of the last actions of the
// history, at most the given number of them. It runs the whole network once for each
// action.
func (r *Predictor) Explain(ctx context.Context, q poi.Query, place int32, actions int) (*Reasons, error) {
	if err := check(&q, len(r.p.Dataset.Users), len(r.p.Dataset.Places)); err != nil {
		return nil, err
	}
	if place < 0 || int(place) >= len(r.p.Dataset.Places) {
		return nil, fmt.Errorf("explain: place %d of %d: %w", place, len(r.p.Dataset.Places), poi.ErrUnknownPOI)
	}
	beams, err := r.ask([]poi.Query{q}, r.p.Config.Batch, r.p.Index.Trie())
	if err != nil {
		return nil, err
	}
	trials := []poi.Query{q}
	n := len(q.History)
	for at := max(0, n-min(actions, ExplainActions, r.p.Batch.Window-1)); at < n; at++ {
		without := q
		without.History = slices.Concat(q.History[:at], q.History[at+1:])
		trials = append(trials, without)
	}
	out := &Reasons{Branches: r.branches(&beams[0])}
	// One place is a trie of its own: the beam cannot miss it.
	trie := r.p.Index.RestrictTo([]int32{place})
	for from := 0; from < len(trials); from += r.p.Config.Batch {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		answers, err := r.ask(trials[from:min(from+r.p.Config.Batch, len(trials))], r.p.Config.Batch, trie)
		if err != nil {
			return nil, err
		}
		for i := range answers {
			prob, _ := answers[i].prob(place)
			if at := from + i; at > 0 {
				out.Effects = append(out.Effects, Effect{At: n - len(trials) + at, Without: prob})
				continue
			}
			out.Prob, out.Gate = prob, answers[i].gate
			if k := answers[i].set.Index(place); k >= 0 && int(k) < len(answers[i].copy) {
				out.Copied = answers[i].copy[k]
			}
			out.Generated = out.Prob - out.Copied
		}
	}
	return out, nil
}

// branches are the blocks of an answer's beam. Without blocks on the map, places are
// put together by blocks of the default size.
func (r *Predictor) branches(a *answer) []Branch {
	grid, mapped := r.p.Index.Grid(), r.p.Index.Mode == index.Hier
	if !mapped {
		grid = geo.Grid{SizeKM: index.DefaultOptions().SizeKM}
	}
	by := map[geo.BlockID]*Branch{}
	add := func(p int32, prob float64) {
		at := r.p.Dataset.Places[p]
		id := grid.Block(at.Lat, at.Lng)
		if by[id] == nil {
			by[id] = &Branch{ID: id.String(), Bounds: grid.Bounds(id)}
		}
		by[id].Prob += prob
		by[id].Leaves = append(by[id].Leaves, Leaf{p, prob})
	}
	for p, x := range a.place {
		add(p, x)
	}
	if a.dense != nil {
		for p, x := range a.dense[1:] {
			add(int32(p), math.Exp(float64(x)))
		}
	}
	if mapped { // the beam knows a block's probability, not only what it kept of it
		for block, x := range a.blocks {
			if b := by[r.p.Index.BlockID(block)]; b != nil {
				b.Prob = x
			}
		}
	}
	return r.trim(by)
}

// trim keeps the beam's number of blocks and of places in each.
func (r *Predictor) trim(by map[geo.BlockID]*Branch) []Branch {
	out := make([]Branch, 0, len(by))
	for _, b := range by {
		slices.SortFunc(b.Leaves, func(x, y Leaf) int { return cmp.Or(cmp.Compare(y.Prob, x.Prob), cmp.Compare(x.POI, y.POI)) })
		b.Leaves = b.Leaves[:min(len(b.Leaves), r.p.Config.Beam.Inners)]
		if b.Prob > 0 {
			for i := range b.Leaves {
				b.Leaves[i].Prob /= b.Prob
			}
		}
		out = append(out, *b)
	}
	slices.SortFunc(out, func(x, y Branch) int { return cmp.Or(cmp.Compare(y.Prob, x.Prob), cmp.Compare(x.ID, y.ID)) })
	return out[:min(len(out), r.p.Config.Beam.Blocks)]
}
