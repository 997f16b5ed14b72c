package desk

import (
	"context"
	"slices"
	"strconv"

	"github.com/whereto/whereto/api"
	"github.com/whereto/whereto/geo"
	"github.com/whereto/whereto/poi"
	"github.com/whereto/whereto/region"
	"github.com/whereto/whereto/store"
	"github.com/whereto/whereto/vector"
)

// Similar lists places like one place, by the cosine of what the network knows them by.
func (d *Desk) Similar(ctx context.Context, r api.SimilarRequest) (*api.SimilarResponse, error) {
	lease, err := d.models.Pick("", r.Model)
	if err != nil {
		return nil, pickError(err, r.Model)
	}
	defer lease.Release()
	m := lease.Engine
	if r.K == 0 {
		r.K = 10
	}
	if r.K < 1 || r.K > api.MaxK {
		return nil, bad("k", r.K, "is %d, want 1 to %d", r.K, api.MaxK)
	}
	p, ok := m.p.Lookup(r.POI)
	if !ok {
		return nil, bad("poi", r.POI, "is no POI of model %s", m.p.Version)
	}
	o := m.overlay.get()
	from := m.place(o, p)
	x := &question{overlay: o, q: poi.Query{Lat: from.Lat, Lng: from.Lng, HasPos: true}}
	if r.Lat != nil || r.Lng != nil {
		if x.q.Lat, x.q.Lng, x.q.HasPos, err = position(r.Lat, r.Lng, region.WGS84, "lat", "lng"); err != nil {
			return nil, err
		}
	}
	area, err := areaOf(r.Area, x, "")
	if err != nil {
		return nil, err
	}
	within := vector.Area{Keep: func(row int32) bool {
		return row != p && !m.place(o, row).Closed && !o.closed[row]
	}}
	if area != nil { // the catalog may have moved places since their vectors were kept
		within.Rows = o.moved(m.near.Within(area), func(c store.POI) bool { return area.Contains(c.Lat, c.Lng) })
	}
	own, err := m.alike.Vectors(ctx, p)
	if err != nil {
		return nil, err
	}
	hits, err := m.alike.Search(ctx, own[0], r.K, within)
	if err != nil {
		return nil, err
	}
	out := &api.SimilarResponse{Places: []api.SimilarPlace{}, Version: versionOf(lease)}
	for i, h := range hits {
		s := m.place(o, h.Row)
		out.Places = append(out.Places, api.SimilarPlace{Rank: i + 1, POI: s.ID, Name: s.Name, Category: s.Category, Lat: s.Lat, Lng: s.Lng,
			Score: float64(h.Score), DistanceM: geo.Metres(from.Lat, from.Lng, s.Lat, s.Lng)})
	}
	return out, nil
}

// Embed returns vectors, of length one: of places, what the network knows them by; with
// the embed stage also of a person at a moment, whose product with a place's says how
// well they suit.
func (d *Desk) Embed(ctx context.Context, r api.EmbedRequest) (*api.EmbedResponse, error) {
	lease, err := d.models.Pick(r.User, r.Model)
	if err != nil {
		return nil, pickError(err, r.Model)
	}
	defer lease.Release()
	m := lease.Engine
	out := &api.EmbedResponse{Dim: m.alike.Dim(), Version: versionOf(lease)}
	person := r.User != "" || len(r.History) > 0
	if len(r.POIs) > api.MaxCandidates || len(r.POIs) == 0 && !person {
		return nil, bad("pois", len(r.POIs), "are %d, want 1 to %d, or a person", len(r.POIs), api.MaxCandidates)
	}
	if person {
		if m.p.Embed == nil {
			return nil, bad("user", nil, "has no vector: version %s has no embed stage; ask for pois alone, or serve it with a run of `finetune embed`", m.p.Version)
		}
		x, err := d.ask(ctx, &r.Who, m)
		if err != nil {
			return nil, err
		}
		if out.User, err = m.p.Embed.User(ctx, x.q); err != nil {
			return nil, err
		}
	}
	if len(r.POIs) == 0 {
		return out, nil
	}
	rows := make([]int32, len(r.POIs))
	for i, id := range r.POIs {
		var ok bool
		if rows[i], ok = m.p.Lookup(id); !ok {
			return nil, bad("pois["+strconv.Itoa(i)+"]", id, "is no POI of model %s", m.p.Version)
		}
	}
	vectors, err := m.alike.Vectors(ctx, rows...)
	if err != nil {
		return nil, err
	}
	out.POIs = make(map[string][]float32, len(rows))
	for i, id := range r.POIs {
		out.POIs[id] = slices.Clone(vectors[i])
	}
	return out, nil
}
