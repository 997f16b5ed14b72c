package desk

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/whereto/whereto/api"
	"github.com/whereto/whereto/geo"
	"github.com/whereto/whereto/poi"
	"github.com/whereto/whereto/recommend"
	"github.com/whereto/whereto/region"
	"github.com/whereto/whereto/store"
)

// Moments a request may ask about; calendars and offsets are plain between them.
var (
	earliest = time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC)
	latest   = time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)
)

// question is a request in a model's numbers.
type question struct {
	q        poi.Query
	at       time.Time
	past     past
	lack     Lack
	reason   string // lack in words
	warnings []string
	overlay  *overlay
}

// ask puts a request into a model's numbers.
func (d *Desk) ask(ctx context.Context, w *api.Who, m *Model) (*question, error) {
	crs, err := region.ParseCRS(w.CRS)
	if err != nil {
		return nil, err
	}
	x := &question{overlay: m.overlay.get()}
	x.q.User = -1
	if u, ok := m.users[w.User]; ok && w.User != "" {
		x.q.User = u
	}
	if x.q.Lat, x.q.Lng, x.q.HasPos, err = position(w.Lat, w.Lng, crs, "lat", "lng"); err != nil {
		return nil, err
	}
	if !w.Time.IsZero() {
		if err := d.moment(x, w.Time, "time"); err != nil {
			return nil, err
		}
	}
	switch {
	case len(w.History) > 0:
		err = d.inline(x, w, m, crs)
	case w.User != "":
		err = d.stored(ctx, x, w, m)
	}
	if err != nil {
		return nil, err
	}
	if x.at.IsZero() {
		if err := d.moment(x, d.o.Now().UTC(), "time"); err != nil {
			return nil, err
		}
	}
	x.q.History = x.past.visits
	x.explainLack(m)
	return x, nil
}

// moment sets the time of a question, and its offset.
func (d *Desk) moment(x *question, at time.Time, field string) error {
	if at.Before(earliest) || !at.Before(latest) {
		return bad(field, at.Format(time.RFC3339), "%s is outside 1970 to 2099", at.Format(time.RFC3339))
	}
	_, offset := at.Zone()
	if offset%60 != 0 || offset < -18*3600 || offset > 18*3600 {
		return bad(field, at.Format(time.RFC3339), "an offset of %d seconds from UTC is none of a time zone", offset)
	}
	x.at, x.q.TimeMS, x.q.OffsetMin = at, at.UnixMilli(), int16(offset/60)
	return nil
}

// position reads a pair of coordinates in any system.
func position(lat, lng *float64, crs region.CRS, latField, lngField string) (float64, float64, bool, error) {
	switch {
	case lat == nil && lng == nil:
		return 0, 0, false, nil
	case lat == nil:
		return 0, 0, false, bad(latField, nil, "is missing beside %s", lngField)
	case lng == nil:
		return 0, 0, false, bad(lngField, nil, "is missing beside %s", latField)
	}
	if err := geo.Valid(*lat, *lng); err != nil {
		return 0, 0, false, bad(latField, *lat, "%v", err)
	}
	a, b := region.ToWGS84(crs, *lat, *lng)
	return plain(a), plain(b), true, nil
}

// plain is a coordinate without the sign that a zero may have: JSON carries it, some
// stores keep it, others do not, and it means nothing.
func plain(degrees float64) float64 {
	if degrees == 0 {
		return 0
	}
	return degrees
}

// inline reads the history of a request.
func (d *Desk) inline(x *question, w *api.Who, m *Model, crs region.CRS) error {
	if len(w.History) > api.MaxHistory {
		return bad("history", len(w.History), "has %d actions, want at most %d", len(w.History), api.MaxHistory)
	}
	actions := make([]store.Action, len(w.History))
	for i := range w.History {
		field := fmt.Sprintf("history[%d]", i)
		a, err := actionOf(&w.History[i], crs, field)
		if err != nil {
			return err
		}
		if a.Type == "" {
			a.Type = m.p.Dataset.Types[0]
		}
		if !slices.Contains(m.p.Dataset.Types, a.Type) {
			return bad(field+".type", a.Type, "%q is none of the model's types: %s", a.Type, strings.Join(m.p.Dataset.Types, ", "))
		}
		if i > 0 && a.TimeMS < actions[i-1].TimeMS {
			return bad(field+".time", nil, "is before that of the action above; give the oldest first")
		}
		if !x.at.IsZero() && a.TimeMS >= x.q.TimeMS {
			return bad(field+".time", nil, "%s is not before the request's time %s", w.History[i].Time.Format(time.RFC3339), x.at.Format(time.RFC3339))
		}
		actions[i] = *a
	}
	x.past = pastOf(actions, m.translate(actions))
	return d.now(x)
}

// stored reads what the store has of a user.
func (d *Desk) stored(ctx context.Context, x *question, w *api.Who, m *Model) (err error) {
	if err := store.CheckUser(w.User); err != nil {
		return bad("user", w.User, "%v", err)
	}
	before := int64(forever)
	if !x.at.IsZero() {
		before = x.q.TimeMS
	}
	if x.past, err = d.people.before(ctx, w.User, before, m); err != nil {
		return d.failed("recent", err)
	}
	return d.now(x)
}

// now gives a request without a time the present, in the zone of the person's last
// action. Actions that the clocks of others put into the future are left out by their
// time, not by ours.
func (d *Desk) now(x *question) error {
	if !x.at.IsZero() || x.past.last == nil {
		return nil
	}
	at := d.o.Now()
	if x.past.last.TimeMS >= at.UnixMilli() {
		at = time.UnixMilli(x.past.last.TimeMS + 1)
	}
	return d.moment(x, at.In(time.FixedZone("", 60*int(x.past.last.OffsetMin))), "time")
}

// explainLack says what the model has to do without.
func (x *question) explainLack(m *Model) {
	switch n := len(x.past.visits); {
	case n > 0:
	case x.past.ignored > 0:
		x.lack, x.reason = LackPlaces, "no known place in the history: time and place only"
	case x.q.User >= 0:
		x.lack, x.reason = LackPast, "no action before the moment: time and place only"
	default:
		x.lack, x.reason = LackPerson, "new user: time and place only"
	}
	if x.past.ignored > 0 {
		x.warnings = append(x.warnings, fmt.Sprintf("%d actions on places that model %s does not know were left out", x.past.ignored, m.p.Version))
	}
}

// suspect warns of positions that look like those of another coordinate system.
func (x *question) suspect(m *Model, crs string) {
	if crs != "" && crs != region.WGS84.String() {
		return
	}
	var seen []region.Sighting
	for i := range x.past.visits {
		v := &x.past.visits[i]
		if v.HasUser && region.InChina(float64(v.UserLat), float64(v.UserLng)) {
			p := m.p.Dataset.Places[v.POI]
			seen = append(seen, region.Sighting{Lat: float64(v.UserLat), Lng: float64(v.UserLng), PlaceLat: p.Lat, PlaceLng: p.Lng})
		}
	}
	if which, shifted := region.LooksShifted(seen); shifted {
		x.warnings = append(x.warnings, fmt.Sprintf("positions look like %s rather than wgs84; say so with crs", which))
	}
}

// actionOf checks an action of a request.
func actionOf(a *api.Action, crs region.CRS, field string) (*store.Action, error) {
	if a.Time.IsZero() {
		return nil, bad(field+".time", nil, "is missing")
	}
	if a.Time.Before(earliest) || !a.Time.Before(latest) {
		return nil, bad(field+".time", a.Time.Format(time.RFC3339), "%s is outside 1970 to 2099", a.Time.Format(time.RFC3339))
	}
	_, offset := a.Time.Zone()
	out := &store.Action{User: a.User, ID: a.ID, POI: a.POI, TimeMS: a.Time.UnixMilli(), OffsetMin: int16(offset / 60), Type: a.Type}
	var err error
	if out.UserLat, out.UserLng, out.HasUser, err = position(a.Lat, a.Lng, crs, field+".lat", field+".lng"); err != nil {
		return nil, err
	}
	if a.POI == "" {
		return nil, bad(field+".poi", nil, "is missing")
	}
	return out, nil
}

// want says which known places may be answered with; area is nil without one, also for
// cold places.
func (d *Desk) want(r *api.RecommendRequest, x *question, m *Model) (w recommend.Want, area *region.Area, err error) {
	if w.K = r.K; w.K == 0 {
		w.K = 10
	}
	if w.K < 1 || w.K > api.MaxK {
		return w, nil, bad("k", r.K, "is %d, want 1 to %d", r.K, api.MaxK)
	}
	if area, err = areaOf(r.Area, x, r.CRS); err != nil {
		return w, nil, err
	}
	if area != nil {
		w.Among = x.overlay.moved(m.near.Within(area), func(p store.POI) bool { return area.Contains(p.Lat, p.Lng) })
	}
	if len(r.Categories) > 0 {
		of := x.overlay.moved(m.inCategories(r.Categories), func(p store.POI) bool { return underAny(p.Category, r.Categories) })
		if w.Among == nil {
			w.Among = of
		} else {
			w.Among = intersect(w.Among, of)
		}
	}
	w.Not = d.exclusion(r, x, m)
	return w, area, nil
}

// areaOf reads the area of a request.
func areaOf(a *api.Area, x *question, system string) (*region.Area, error) {
	if a == nil {
		return nil, nil
	}
	crs, err := region.ParseCRS(system)
	if err != nil {
		return nil, err
	}
	var p region.Parts
	if a.RadiusM != 0 {
		if !x.q.HasPos {
			return nil, bad("area.radius_m", a.RadiusM, "is around lat and lng, which are missing")
		}
		p.Circle = &region.Circle{Lat: x.q.Lat, Lng: x.q.Lng, Metres: a.RadiusM}
	}
	if b := a.Box; b != nil {
		south, west := region.ToWGS84(crs, b.South, b.West)
		north, east := region.ToWGS84(crs, b.North, b.East)
		p.Box = &region.Box{South: south, West: west, North: north, East: east}
	}
	if a.Polygon != nil {
		p.Polygon = make([][]float64, len(a.Polygon))
		for i, at := range a.Polygon {
			p.Polygon[i] = slices.Clone(at)
			if len(at) == 2 {
				lat, lng := region.ToWGS84(crs, at[1], at[0])
				p.Polygon[i] = []float64{lng, lat}
			}
		}
	}
	return region.New(p)
}

// inCategories are the places of any of the paths, ascending.
func (m *Model) inCategories(paths []string) []int32 {
	out := []int32{}
	for _, p := range paths {
		out = append(out, m.categories[path(strings.Split(p, ">"))]...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// underAny reports whether a category is one of the paths or below one.
func underAny(category string, paths []string) bool {
	own := path(strings.Split(category, ">")) + " > "
	return slices.ContainsFunc(paths, func(p string) bool { return strings.HasPrefix(own, path(strings.Split(p, ">"))+" > ") })
}

// moved corrects a list of places, ascending, for those that the catalog tells
// otherwise than the model: they are in it if fits says so. It is never nil.
func (o *overlay) moved(list []int32, fits func(store.POI) bool) []int32 {
	out := slices.DeleteFunc(append([]int32{}, list...), func(p int32) bool { _, is := o.changed[p]; return is })
	for p, c := range o.changed {
		if fits(c) {
			out = append(out, p)
		}
	}
	slices.Sort(out)
	return out
}

func intersect(a, b []int32) []int32 {
	out := []int32{}
	for len(a) > 0 && len(b) > 0 {
		switch {
		case a[0] < b[0]:
			a = a[1:]
		case a[0] > b[0]:
			b = b[1:]
		default:
			out, a, b = append(out, a[0]), a[1:], b[1:]
		}
	}
	return out
}

// exclusion reports known places that must not be answered with; nil if there are none.
func (d *Desk) exclusion(r *api.RecommendRequest, x *question, m *Model) func(int32) bool {
	out := map[int32]bool{}
	for _, id := range r.Exclude {
		if p, ok := m.p.Lookup(id); ok {
			out[p] = true
		}
	}
	if r.ExcludeVisited {
		for i := range x.past.visits {
			out[x.past.visits[i].POI] = true
		}
	}
	closed := x.overlay.closed
	if len(out) == 0 && len(closed) == 0 {
		return nil
	}
	return func(p int32) bool { return out[p] || closed[p] }
}
