package recommend_test

import (
	"errors"
	"math"
	"slices"
	"testing"

	"github.com/whereto/whereto/index"
	"github.com/whereto/whereto/poi"
	"github.com/whereto/whereto/recommend"
)

// TestExplain holds the parts of an explanation against the scores of the same
// questions asked one by one.
func TestExplain(t *testing.T) {
	modes(t, nil, func(t *testing.T, g *rig) {
		for i, q := range g.queries() {
			scores := g.scores(t, g.p, q)[0]
			for _, place := range []int32{0, 7, 23} {
				got, err := g.p.Explain(ctx, q, place, 5)
				if err != nil {
					t.Fatal(err)
				}
				if math.Abs(got.Prob-scores[place]) > 1e-5 || math.Abs(got.Copied+got.Generated-got.Prob) > 1e-12 {
					t.Errorf("query %d, place %d: %v = %v copied + %v generated, scored %v", i, place, got.Prob, got.Copied, got.Generated, scores[place])
				}
				if want := min(5, len(q.History)); len(got.Effects) != want {
					t.Fatalf("query %d: %d effects of %d actions, want %d", i, len(got.Effects), len(q.History), want)
				}
				for _, e := range got.Effects {
					without := q
					without.History = slices.Delete(slices.Clone(q.History), e.At, e.At+1)
					if want := g.scores(t, g.p, without)[0][place]; math.Abs(e.Without-want) > 1e-5 {
						t.Errorf("query %d, place %d without action %d: %v, want %v", i, place, e.At, e.Without, want)
					}
				}
				checkBranches(t, g, got)
			}
		}
	})
}

// checkBranches: blocks hold their places, are ordered, and with a beam that is wide
// enough all of it adds up to one.
func checkBranches(t *testing.T, g *rig, r *recommend.Reasons) {
	t.Helper()
	total, seen := 0.0, map[int32]bool{}
	for i, b := range r.Branches {
		if i > 0 && r.Branches[i-1].Prob < b.Prob {
			t.Errorf("blocks %d and %d are out of order", i-1, i)
		}
		inside := 0.0
		for _, leaf := range b.Leaves {
			at := g.a.Dataset.Places[leaf.POI]
			if at.Lat < b.Bounds.South || at.Lat > b.Bounds.North || at.Lng < b.Bounds.West || at.Lng > b.Bounds.East || seen[leaf.POI] {
				t.Errorf("place %d at %v, %v is no place of block %s %+v, or of two", leaf.POI, at.Lat, at.Lng, b.ID, b.Bounds)
			}
			seen[leaf.POI] = true
			inside += leaf.Prob
		}
		// A hierarchical network may expect inner tokens that a block does not have.
		if flat := g.a.Index.Mode == index.Flat; inside > 1+1e-4 || inside <= 0 || flat && inside < 1-1e-4 {
			t.Errorf("the places of block %s have %v of it", b.ID, inside)
		}
		total += b.Prob
	}
	if math.Abs(total-1) > 1e-4 || len(seen) != len(g.a.Dataset.Places) {
		t.Errorf("blocks have probability %v and %d places", total, len(seen))
	}
}

func TestExplainRefuses(t *testing.T) {
	g := build(t, false, nil)
	if _, err := g.p.Explain(ctx, g.query(0), 24, 3); !errors.Is(err, poi.ErrUnknownPOI) {
		t.Errorf("place 24 of 24: %v", err)
	}
	late := g.query(0)
	late.TimeMS = 0
	if _, err := g.p.Explain(ctx, late, 0, 3); !errors.Is(err, poi.ErrBadInput) {
		t.Errorf("a history after the request: %v", err)
	}
}
