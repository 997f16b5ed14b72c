package desk

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/whereto/whereto/api"
	"github.com/whereto/whereto/geo"
	"github.com/whereto/whereto/poi"
	"github.com/whereto/whereto/recommend"
	"github.com/whereto/whereto/region"
	"github.com/whereto/whereto/roster"
)

// Sources of a place that are not the network's.
const (
	sourceCold     = "cold"
	sourceRank     = "rank"
	sourceModel    = "model"
	sourceFallback = "fallback"
)

// Recommend answers where a person wants to go.
func (d *Desk) Recommend(ctx context.Context, r api.RecommendRequest) (*api.RecommendResponse, error) {
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
	w, area, err := d.want(&r, x, m)
	if err != nil {
		return nil, err
	}
	x.suspect(m, r.CRS)
	out := &api.RecommendResponse{Source: api.Source{Kind: sourceModel, Reason: x.reason}, Version: versionOf(lease), Time: x.at,
		History: len(x.past.visits), Ignored: x.past.ignored, Warnings: x.warnings}
	answer, err := m.live.Recommend(ctx, x.q, w)
	switch {
	case err == nil:
		fresh := d.coldPlaces(&r, x, m, area)
		out.Places = d.merge(x, m, answer, fresh, w.K)
		d.compare(ctx, r, out)
	case KindOf(err) != Internal:
		return nil, err
	default:
		d.o.Log.ErrorContext(ctx, "the network failed; answering by popularity", "version", lease.Version, "error", err)
		if d.o.Hooks.FellBack != nil {
			d.o.Hooks.FellBack(err)
		}
		out.Source = api.Source{Kind: sourceFallback, Reason: "the network failed: by popularity and distance"}
		out.Places = m.fallback(x, &w)
	}
	d.answered(&r.Who, x, out, candidates(m, &w))
	return out, nil
}

// pickError names the field of a version that is not there.
func pickError(err error, version string) error {
	if version != "" && errors.Is(err, roster.ErrUnknown) {
		return bad("model", version, "version %q is not loaded; see /v1/models", version)
	}
	return err
}

func versionOf(l *roster.Lease[*Model]) api.Version {
	return api.Version{Model: l.Version, Index: l.Engine.p.Index, Variant: l.Variant}
}

func candidates(m *Model, w *recommend.Want) int {
	if w.Among != nil {
		return len(w.Among)
	}
	return len(m.p.Dataset.Places)
}

// answered tells the hooks of a list.
func (d *Desk) answered(w *api.Who, x *question, out *api.RecommendResponse, candidates int) {
	if d.o.Hooks.Answered == nil {
		return
	}
	a := Answered{Scene: w.Scene, Version: out.Version, Kind: out.Source.Kind, At: x.at, DistanceM: -1, Candidates: candidates, Lack: x.lack}
	if len(w.History) == 0 {
		a.User = w.User
	}
	for _, p := range out.Places {
		a.POIs = append(a.POIs, p.POI)
	}
	if len(out.Places) > 0 {
		first := out.Places[0]
		a.Source, a.Prob = first.Source, first.Probability
		if first.DistanceM != nil {
			a.DistanceM = *first.DistanceM
		}
	}
	if x.past.last != nil {
		a.HasHistory, a.HistoryAge = true, time.Duration(x.q.TimeMS-x.past.last.TimeMS)*time.Millisecond
	}
	d.o.Hooks.Answered(a)
}

// merge puts the network's places and cold ones into one list.
func (d *Desk) merge(x *question, m *Model, a *recommend.Answer, fresh []api.Place, k int) []api.Place {
	out := make([]api.Place, 0, len(a.Places)+len(fresh))
	for _, p := range a.Places {
		out = append(out, m.placeOf(x, p.POI, p.Prob, p.Source))
	}
	for i := range fresh {
		fresh[i].Probability = m.estimate(fresh[i], func(p int32) float64 { x, _ := a.Prob(p); return x })
	}
	out = sorted(append(out, fresh...))
	return out[:min(k, len(out))]
}

// sorted puts a list in order, the likeliest first, of equals the nearest, and numbers it.
func sorted(list []api.Place) []api.Place {
	slices.SortStableFunc(list, func(a, b api.Place) int {
		return cmp.Or(cmp.Compare(b.Probability, a.Probability), cmp.Compare(metres(a), metres(b)))
	})
	return ranked(list)
}

func metres(p api.Place) float64 {
	if p.DistanceM == nil {
		return 0
	}
	return *p.DistanceM
}

// ranked numbers a list.
func ranked(list []api.Place) []api.Place {
	for i := range list {
		list[i].Rank = i + 1
	}
	return list
}

// placeOf is a known place as an answer.
func (m *Model) placeOf(x *question, p int32, prob float64, source string) api.Place {
	return x.answer(m, m.place(x.overlay, p), prob, source)
}

// answer is a place as an answer, with its distance from the person, or from the last
// place visited.
func (x *question) answer(m *Model, p poi.Place, prob float64, source string) api.Place {
	out := api.Place{POI: p.ID, Name: p.Name, Category: p.Category, Lat: p.Lat, Lng: p.Lng, Probability: prob, Source: source}
	if lat, lng, ok := x.stands(m); ok {
		metres := geo.Metres(lat, lng, p.Lat, p.Lng)
		out.DistanceM = &metres
	}
	return out
}

// stands is where the person is, as far as is known.
func (x *question) stands(m *Model) (lat, lng float64, ok bool) {
	if x.q.HasPos {
		return x.q.Lat, x.q.Lng, true
	}
	if n := len(x.q.History); n > 0 {
		p := m.p.Dataset.Places[x.q.History[n-1].POI]
		return p.Lat, p.Lng, true
	}
	return 0, 0, false
}

// fallback ranks places by popularity and nearness. A place's probability is its share
// of all training visits, which is what is known of it without the network.
func (m *Model) fallback(x *question, w *recommend.Want) []api.Place {
	lat, lng, placed := x.stands(m)
	type scored struct {
		p     int32
		score float64
	}
	var all []scored
	offer := func(p int32) {
		place := m.place(x.overlay, p)
		if place.Closed || w.Not != nil && w.Not(p) {
			return
		}
		s := scored{p, m.visits[p] + 1}
		if placed {
			s.score /= 1 + geo.Metres(lat, lng, place.Lat, place.Lng)/1000
		}
		all = append(all, s)
	}
	if w.Among != nil {
		for _, p := range w.Among {
			offer(p)
		}
	} else {
		for p := range m.p.Dataset.Places {
			offer(int32(p))
		}
	}
	slices.SortFunc(all, func(a, b scored) int { return cmp.Or(cmp.Compare(b.score, a.score), cmp.Compare(a.p, b.p)) })
	var out []api.Place
	for _, s := range all[:min(w.K, len(all))] {
		out = append(out, m.placeOf(x, s.p, m.visits[s.p]/max(1, m.total), "generate"))
	}
	return ranked(out)
}

// Limits of what is done for cold places.
const (
	coldReach   = 5000.0 // metres around the person, without an area
	coldMost    = 200    // looked at for one request
	alikeReach  = 3000.0 // metres around a cold place in which places alike are looked for
	alikeMost   = 5
	coldFactor  = 0.5 // a new place is less visited than those around it
	coldPerList = api.MaxK
)

// coldPlaces are places the model has never seen that fit a request.
func (d *Desk) coldPlaces(r *api.RecommendRequest, x *question, m *Model, area *region.Area) []api.Place {
	o := x.overlay
	if len(o.cold) == 0 {
		return nil
	}
	visited := map[string]bool{}
	if r.ExcludeVisited {
		for _, id := range x.past.ids {
			visited[id] = true
		}
	}
	fits := func(p int32) bool {
		c := o.cold[p]
		return !c.Closed && !visited[c.ID] && !slices.Contains(r.Exclude, c.ID) && (len(r.Categories) == 0 || underAny(c.Category, r.Categories))
	}
	var found []int32
	if area != nil {
		found = slices.DeleteFunc(o.near.Within(area), func(p int32) bool { return !fits(p) })
	} else if lat, lng, ok := x.stands(m); ok {
		near, err := o.near.Nearest(lat, lng, coldMost, fits)
		for _, n := range near {
			if err == nil && n.Metres <= coldReach {
				found = append(found, n.POI)
			}
		}
	}
	var out []api.Place
	for _, p := range found[:min(len(found), coldMost)] {
		out = append(out, x.answer(m, o.cold[p], 0, sourceCold))
	}
	return out[:min(len(out), coldPerList)]
}

// alikeAround are up to five places of a cold place's category around it.
func (m *Model) alikeAround(c api.Place) (out []int32) {
	same := path(strings.Split(c.Category, ">"))
	near, err := m.near.Nearest(c.Lat, c.Lng, alikeMost, func(p int32) bool {
		own := m.p.Dataset.Places[p]
		return !own.Closed && path(strings.Split(own.Category, ">")) == same
	})
	if err != nil {
		return nil // a position off the Earth is near nothing
	}
	for _, x := range near {
		if x.Metres <= alikeReach {
			out = append(out, x.POI)
		}
	}
	return out
}

// estimate is the probability of a cold place: half of the mean of those alike around
// it, as far as prob knows them. There is no better evidence before anybody went there.
func (m *Model) estimate(c api.Place, prob func(p int32) float64) float64 {
	alike := m.alikeAround(c)
	if len(alike) == 0 {
		return 0
	}
	sum := 0.0
	for _, p := range alike {
		sum += prob(p)
	}
	return coldFactor * sum / float64(len(alike))
}

// Rank orders candidates: by the probability of a click where the model has a rank
// stage, else of going there next.
func (d *Desk) Rank(ctx context.Context, r api.RankRequest) (*api.RankResponse, error) {
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
	known, fresh, err := x.candidates(r.Candidates, m)
	if err != nil {
		return nil, err
	}
	x.suspect(m, r.CRS)
	score := m.generated
	if m.p.Rank != nil {
		score = m.clicked
	}
	prob, source, err := score(ctx, x, known, fresh)
	if err != nil {
		return nil, err
	}
	out := &api.RankResponse{Source: api.Source{Kind: sourceModel, Reason: x.reason}, Version: versionOf(lease), Time: x.at,
		History: len(x.past.visits), Ignored: x.past.ignored, Warnings: x.warnings}
	for _, p := range known {
		out.Places = append(out.Places, m.placeOf(x, p, prob(p), source(p)))
	}
	for _, c := range fresh {
		c.Probability = m.estimate(c, prob)
		out.Places = append(out.Places, c)
	}
	out.Places = sorted(out.Places)
	return out, nil
}

// generated scores candidates by the probability of going there next.
func (m *Model) generated(ctx context.Context, x *question, known []int32, fresh []api.Place) (func(int32) float64, func(int32) string, error) {
	among := m.withAlike(known, fresh)
	// Nothing known to ask for still needs one place to ask about.
	answer, err := m.live.Recommend(ctx, x.q, recommend.Want{K: min(max(1, len(among)), recommend.MaxK), Among: among})
	if err != nil {
		return nil, nil, err
	}
	source := make(map[int32]string, len(answer.Places))
	for _, p := range answer.Places {
		source[p.POI] = p.Source
	}
	prob := func(p int32) float64 { x, _ := answer.Prob(p); return x }
	return prob, func(p int32) string { return cmp.Or(source[p], "generate") }, nil
}

// clicked scores candidates by the probability of a click.
func (m *Model) clicked(ctx context.Context, x *question, known []int32, fresh []api.Place) (func(int32) float64, func(int32) string, error) {
	among := m.withAlike(known, fresh)
	if len(among) == 0 {
		return func(int32) float64 { return 0 }, func(int32) string { return sourceRank }, nil
	}
	scores, err := m.p.Rank.Rank(ctx, x.q, among)
	if err != nil {
		return nil, nil, err
	}
	by := make(map[int32]float64, len(among))
	for i, p := range among {
		by[p] = scores[i]
	}
	return func(p int32) float64 { return by[p] }, func(int32) string { return sourceRank }, nil
}

// withAlike adds to known places those by which cold ones are judged, ascending.
func (m *Model) withAlike(known []int32, fresh []api.Place) []int32 {
	out := slices.Clone(known)
	for _, c := range fresh {
		out = append(out, m.alikeAround(c)...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// candidates finds the places of a request to rank: known ones, ascending, and cold ones.
func (x *question) candidates(ids []string, m *Model) (known []int32, cold []api.Place, err error) {
	if len(ids) == 0 || len(ids) > api.MaxCandidates {
		return nil, nil, bad("candidates", len(ids), "are %d, want 1 to %d", len(ids), api.MaxCandidates)
	}
	known = []int32{}
	at := make(map[string]int, len(ids))
	for i, id := range ids {
		field := "candidates[" + strconv.Itoa(i) + "]"
		if before, twice := at[id]; twice {
			return nil, nil, bad(field, id, "is candidate %d again", before)
		}
		at[id] = i
		if p, ok := m.p.Lookup(id); ok {
			known = append(known, p)
		} else if c, ok := x.overlay.isCold(id); ok {
			cold = append(cold, x.answer(m, c, 0, sourceCold))
		} else {
			return nil, nil, bad(field, id, "is no POI of model %s nor of the catalog", m.p.Version)
		}
	}
	slices.Sort(known)
	return known, cold, nil
}
