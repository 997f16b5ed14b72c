package desk

import (
	"context"
	"fmt"
	"time"

	"github.com/whereto/whereto/api"
	"github.com/whereto/whereto/poi"
	"github.com/whereto/whereto/recommend"
	"github.com/whereto/whereto/region"
)

// maxWhatIf bounds the other moments of an explanation: a day, hour by hour.
const maxWhatIf = 24

// Explain says why a place is recommended, and what would be at other moments.
func (d *Desk) Explain(ctx context.Context, r api.ExplainRequest) (*api.ExplainResponse, error) {
	lease, err := d.models.Pick(r.User, r.Model)
	if err != nil {
		return nil, pickError(err, r.Model)
	}
	defer lease.Release()
	m := lease.Engine
	x, err := d.ask(ctx, &r.Who, m)
	if err != nil {
		return nil, err
	}
	if len(r.WhatIf) > maxWhatIf {
		return nil, bad("what_if", len(r.WhatIf), "has %d moments, want at most %d", len(r.WhatIf), maxWhatIf)
	}
	if r.K == 0 {
		r.K = 10
	}
	place, err := x.explained(ctx, &r, m)
	if err != nil {
		return nil, err
	}
	why, err := m.p.Predictor.Explain(ctx, x.q, place, recommend.ExplainActions)
	if err != nil {
		return nil, err
	}
	source := "generate"
	if why.Copied > why.Generated {
		source = "copy"
	}
	out := &api.ExplainResponse{Place: m.placeOf(x, place, why.Prob, source), CopyGate: why.Gate, Copied: why.Copied, Generated: why.Generated,
		Blocks: m.blocks(x, why.Branches), Actions: m.effects(x, why), Version: versionOf(lease), Warnings: x.warnings}
	for i := range r.WhatIf {
		other, err := d.whatIf(ctx, &r, i, x, m, place)
		if err != nil {
			return nil, err
		}
		out.WhatIf = append(out.WhatIf, *other)
	}
	return out, nil
}

// explained is the place to explain: the one named, or the first answer.
func (x *question) explained(ctx context.Context, r *api.ExplainRequest, m *Model) (int32, error) {
	if r.POI != "" {
		if p, ok := m.p.Lookup(r.POI); ok {
			return p, nil
		}
		if _, ok := x.overlay.isCold(r.POI); ok {
			return 0, bad("poi", r.POI, "is new to model %s: it is judged by the places of its category around it, and there is nothing to take apart", m.p.Version)
		}
		return 0, bad("poi", r.POI, "is no POI of model %s nor of the catalog", m.p.Version)
	}
	answer, err := m.live.Recommend(ctx, x.q, recommend.Want{K: 1, Not: func(p int32) bool { return x.overlay.closed[p] }})
	if err != nil {
		return 0, err
	}
	if len(answer.Places) == 0 {
		return 0, bad("poi", nil, "is missing, and there is no answer to explain")
	}
	return answer.Places[0].POI, nil
}

// blocks are the branches of a beam in words.
func (m *Model) blocks(x *question, branches []recommend.Branch) []api.Block {
	out := make([]api.Block, len(branches))
	for i, b := range branches {
		out[i] = api.Block{Block: b.ID, South: b.Bounds.South, West: b.Bounds.West, North: b.Bounds.North, East: b.Bounds.East,
			Probability: b.Prob, Inners: make([]api.InnerPlace, len(b.Leaves))}
		for k, leaf := range b.Leaves {
			p := m.place(x.overlay, leaf.POI)
			out[i].Inners[k] = api.InnerPlace{POI: p.ID, Name: p.Name, Lat: p.Lat, Lng: p.Lng, Probability: leaf.Prob}
		}
	}
	return out
}

// effects are the actions of an explanation in words.
func (m *Model) effects(x *question, why *recommend.Reasons) []api.ActionWeight {
	out := make([]api.ActionWeight, len(why.Effects))
	for i, e := range why.Effects {
		v := &x.q.History[e.At]
		p := m.place(x.overlay, v.POI)
		out[i] = api.ActionWeight{POI: p.ID, Name: p.Name, Time: zoned(v), Type: m.p.Dataset.Types[v.Type], Without: e.Without, Delta: why.Prob - e.Without}
	}
	return out
}

// zoned is the moment of a visit with its offset.
func zoned(v *poi.Visit) time.Time {
	return time.UnixMilli(v.TimeMS).In(time.FixedZone("", 60*int(v.OffsetMin)))
}

// whatIf answers the question at another moment: of the same past, however early the
// moment is, lest the past change with it.
func (d *Desk) whatIf(ctx context.Context, r *api.ExplainRequest, i int, x *question, m *Model, place int32) (*api.WhatIfAnswer, error) {
	field := fmt.Sprintf("what_if[%d]", i)
	other := *x
	crs, err := region.ParseCRS(r.CRS)
	if err != nil {
		return nil, err
	}
	w := r.WhatIf[i]
	if w.Lat != nil || w.Lng != nil {
		if other.q.Lat, other.q.Lng, other.q.HasPos, err = position(w.Lat, w.Lng, crs, field+".lat", field+".lng"); err != nil {
			return nil, err
		}
	}
	if !w.Time.IsZero() {
		if err := d.moment(&other, w.Time, field+".time"); err != nil {
			return nil, err
		}
		if n := len(other.q.History); n > 0 && other.q.History[n-1].TimeMS > other.q.TimeMS {
			return nil, bad(field+".time", w.Time.Format(time.RFC3339), "is before the last action of the history, %s", zoned(&other.q.History[n-1]).Format(time.RFC3339))
		}
	}
	answer, err := m.live.Recommend(ctx, other.q, recommend.Want{K: r.K, Not: func(p int32) bool { return x.overlay.closed[p] }})
	if err != nil {
		return nil, err
	}
	of, err := m.live.Recommend(ctx, other.q, recommend.Want{K: 1, Among: []int32{place}})
	if err != nil {
		return nil, err
	}
	out := &api.WhatIfAnswer{Time: other.at, Lat: w.Lat, Lng: w.Lng, Places: d.merge(&other, m, answer, nil, r.K)}
	if len(of.Places) > 0 {
		out.Probability = of.Places[0].Prob
	}
	return out, nil
}
