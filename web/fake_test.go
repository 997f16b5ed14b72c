package web_test

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/whereto/whereto/api"
	"github.com/whereto/whereto/web"
)

// fakePlace is a place with an hour at which people like it most.
type fakePlace struct {
	api.POI
	peak float64
}

// fakeService answers as the real one would, from a formula: a place is likelier the
// nearer it is and the closer the hour is to its peak.
type fakeService struct {
	key    string        // wanted of every request, if not empty
	hold   int           // hour at which recommend waits until the asker has gone; -1 for none
	held   chan struct{} // such a request has come
	gone   chan struct{} // and its asker has gone
	places []fakePlace
	status api.Status
	down   atomic.Bool // hangs up on every question

	mu     sync.Mutex
	asked  []api.RecommendRequest
	whatIf int
}

const lastAction = "2013-02-01T12:30:00-05:00" // a Friday

func newFake() *fakeService {
	f := &fakeService{hold: -1, held: make(chan struct{}, 8), gone: make(chan struct{}, 8)}
	kinds := []string{"Coffee Shop", "Office", "Gym", "Noodle House", "Bar", "Home (private)", "Park"}
	for i := range 36 {
		kind := kinds[i%len(kinds)]
		f.places = append(f.places, fakePlace{
			POI: api.POI{
				ID: fmt.Sprintf("p%02d", i), Name: fmt.Sprintf("%s %d", kind, i), Category: "City > " + kind,
				Lat: 40.70 + 0.012*float64(i/6), Lng: -74.02 + 0.014*float64(i%6), Known: true,
			},
			peak: float64((i * 7) % 24),
		})
	}
	model := func(version, state string) api.Model {
		return api.Model{
			Version: version, Name: "spacetime small", Index: "9f2c", State: state, Roles: []string{"generate", "rank"},
			Places: 36, Users: 30, Loaded: time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC), Seconds: 2.4, MemoryMB: 412,
			Center: &api.Point{Lat: 40.73, Lng: -73.98},
		}
	}
	f.status = api.Status{
		Version: "0.1.0", Started: time.Now().Add(-3 * time.Hour), Ready: true, Store: "sqlite",
		Checks: []api.Check{{Name: "store", OK: true}, {Name: "model", OK: true, Reason: "warm"}},
		Models: []api.Model{model("2026-03-01", "active"), model("2026-02-01", "ready")},
		POIs:   36, Users: 30, Actions: 12345,
	}
	return f
}

// moment is the local hour and weight of the position of a request.
func (f *fakeService) scores(who api.Who) []float64 {
	hour := float64(who.Time.Hour()) + float64(who.Time.Minute())/60
	out, sum := make([]float64, len(f.places)), 0.0
	for i, p := range f.places {
		near := 1.0
		if who.Lat != nil {
			dx, dy := (p.Lng-*who.Lng)*84, (p.Lat-*who.Lat)*111
			near = math.Exp(-math.Hypot(dx, dy) / 1.5)
		}
		out[i] = near * math.Pow(1.05+math.Cos((hour-p.peak)*math.Pi/12), 3)
		if who.Model == "2026-02-01" {
			out[i] = near
		}
		sum += out[i]
	}
	for i := range out {
		out[i] /= sum
	}
	return out
}

// best returns the answer to a request.
func (f *fakeService) best(who api.Who, k int) []api.Place {
	var out []api.Place
	for i, share := range f.scores(who) {
		p := f.places[i]
		place := api.Place{POI: p.ID, Name: p.Name, Category: p.Category, Lat: p.Lat, Lng: p.Lng, Probability: share, Source: []string{"copy", "generate", "generate", "cold"}[i%4]}
		if who.Lat != nil {
			d := 1000 * math.Hypot((p.Lng-*who.Lng)*84, (p.Lat-*who.Lat)*111)
			place.DistanceM = &d
		}
		out = append(out, place)
	}
	slices.SortFunc(out, func(a, b api.Place) int {
		return cmpOr(b.Probability-a.Probability, strings.Compare(a.POI, b.POI))
	})
	for i := range out {
		out[i].Rank = i + 1
	}
	return out[:min(k, len(out))]
}

func cmpOr(x float64, tie int) int {
	switch {
	case x > 0:
		return 1
	case x < 0:
		return -1
	}
	return tie
}

// blocks cuts the places into squares of 0.024 degrees.
func (f *fakeService) blocks(who api.Who) []api.Block {
	by := map[string]*api.Block{}
	for i, share := range f.scores(who) {
		p := f.places[i]
		row, col := math.Floor((p.Lat-40.694)/0.024), math.Floor((p.Lng+74.027)/0.028)
		name := fmt.Sprintf("%v-%v", row, col)
		b := by[name]
		if b == nil {
			b = &api.Block{Block: name, South: 40.694 + row*0.024, West: -74.027 + col*0.028}
			b.North, b.East = b.South+0.024, b.West+0.028
			by[name] = b
		}
		b.Probability += share
		b.Inners = append(b.Inners, api.InnerPlace{POI: p.ID, Name: p.Name, Lat: p.Lat, Lng: p.Lng, Probability: share})
	}
	var out []api.Block
	for _, b := range by {
		for i := range b.Inners {
			b.Inners[i].Probability /= b.Probability
		}
		slices.SortFunc(b.Inners, func(x, y api.InnerPlace) int {
			return cmpOr(y.Probability-x.Probability, strings.Compare(x.POI, y.POI))
		})
		out = append(out, *b)
	}
	slices.SortFunc(out, func(x, y api.Block) int { return cmpOr(y.Probability-x.Probability, strings.Compare(x.Block, y.Block)) })
	return out
}

// last returns the latest request for recommendations.
func (f *fakeService) last() (api.RecommendRequest, int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.asked) == 0 {
		return api.RecommendRequest{}, 0
	}
	return f.asked[len(f.asked)-1], len(f.asked)
}

// start serves the pages and the fake on loopback until the test ends.
func (f *fakeService) start(t *testing.T, o web.Options) string {
	t.Helper()
	mux := http.NewServeMux()
	mux.Handle("/map/", web.Handler(o))
	mux.HandleFunc("POST /v1/recommend", f.recommend)
	mux.HandleFunc("POST /v1/explain", f.explain)
	mux.HandleFunc("GET /v1/users", f.users)
	mux.HandleFunc("GET /v1/users/{user}/actions", f.actions)
	mux.HandleFunc("GET /v1/pois", f.pois)
	mux.HandleFunc("GET /v1/pois/{poi}", f.poi)
	mux.HandleFunc("GET /v1/status", func(w http.ResponseWriter, r *http.Request) { reply(w, 200, f.status) })
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if f.down.Load() && strings.HasPrefix(r.URL.Path, "/v1/") {
			panic(http.ErrAbortHandler) // the connection breaks, as if nobody were there
		}
		if f.key != "" && strings.HasPrefix(r.URL.Path, "/v1/") && r.Header.Get("Authorization") != "Bearer "+f.key {
			problem(w, http.StatusUnauthorized, "No key", "Send a key.")
			return
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return server.URL + o.APIBase
}

func reply(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	if status >= 400 {
		w.Header().Set("Content-Type", "application/problem+json")
	}
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the asker may have gone, which some tests want
}

func problem(w http.ResponseWriter, status int, title, detail string, errors ...map[string]string) {
	reply(w, status, map[string]any{"title": title, "status": status, "detail": detail, "errors": errors})
}

// strict reads a request as the real service does: an unknown field is a mistake.
func strict(w http.ResponseWriter, r *http.Request, into any) bool {
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		problem(w, http.StatusUnprocessableEntity, "Bad request", err.Error())
		return false
	}
	return true
}

func (f *fakeService) recommend(w http.ResponseWriter, r *http.Request) {
	var ask api.RecommendRequest
	if !strict(w, r, &ask) {
		return
	}
	if ask.K == 13 {
		problem(w, http.StatusUnprocessableEntity, "Not that many", "The number of places is unlucky.", map[string]string{"location": "body.k", "message": "want anything but 13"})
		return
	}
	if ask.Time.Hour() == f.hold {
		f.held <- struct{}{}
		<-r.Context().Done()
		f.gone <- struct{}{}
		return
	}
	f.mu.Lock()
	f.asked = append(f.asked, ask)
	f.mu.Unlock()
	reply(w, 200, api.RecommendResponse{
		Places: f.best(ask.Who, ask.K), Source: api.Source{Kind: "model"}, Version: api.Version{Model: "2026-03-01", Index: "9f2c"},
		Time: ask.Time, History: 4,
	})
}

func (f *fakeService) explain(w http.ResponseWriter, r *http.Request) {
	var ask api.ExplainRequest
	if !strict(w, r, &ask) {
		return
	}
	find := func(who api.Who) api.Place {
		all := f.best(who, len(f.places))
		if i := slices.IndexFunc(all, func(p api.Place) bool { return p.POI == ask.POI }); i >= 0 {
			return all[i]
		}
		return all[0]
	}
	place := find(ask.Who)
	out := api.ExplainResponse{
		Place: place, CopyGate: 0.6, Copied: place.Probability * 0.7, Generated: place.Probability * 0.3, Blocks: f.blocks(ask.Who),
		Actions: []api.ActionWeight{
			{POI: "p03", Name: "Noodle House 3", Time: when("2013-01-31T19:00:00-05:00"), Type: "checkin", Without: place.Probability * 0.8, Delta: place.Probability * 0.2},
			{POI: "p14", Name: "Coffee Shop 14", Time: when(lastAction), Type: "checkin", Without: place.Probability * 1.1, Delta: -place.Probability * 0.1},
		},
	}
	for _, w := range ask.WhatIf {
		who := ask.Who
		who.Time = w.Time
		out.WhatIf = append(out.WhatIf, api.WhatIfAnswer{Time: w.Time, Probability: find(who).Probability, Places: f.best(who, ask.K)})
	}
	f.mu.Lock()
	f.whatIf += len(ask.WhatIf)
	f.mu.Unlock()
	reply(w, 200, out)
}

func when(text string) time.Time {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		panic(err)
	}
	return t
}

func (f *fakeService) users(w http.ResponseWriter, r *http.Request) {
	var page api.Page[api.UserSummary]
	for i := range 30 {
		if name := fmt.Sprint(395 + i); strings.HasPrefix(name, r.URL.Query().Get("prefix")) {
			page.Items = append(page.Items, api.UserSummary{User: name, Actions: 400 - i, Last: when(lastAction)})
		}
	}
	if r.URL.Query().Get("cursor") == "" && len(page.Items) > 20 {
		page.Items, page.Next = page.Items[:20], "20"
	} else if r.URL.Query().Get("cursor") == "20" {
		page.Items = page.Items[20:]
	}
	reply(w, 200, page)
}

func (f *fakeService) actions(w http.ResponseWriter, r *http.Request) {
	page := api.Page[api.Action]{Items: []api.Action{
		{POI: "p14", Time: when(lastAction), Type: "checkin"},
		{POI: "p03", Time: when("2013-01-31T19:00:00-05:00"), Type: "checkin"},
		{POI: "p21", Time: when("2013-01-31T09:00:00-05:00"), Type: "checkin"},
		{POI: "gone", Time: when("2013-01-30T09:00:00-05:00"), Type: "checkin"},
	}}
	if r.PathValue("user") == "396" { // has moved across town
		page.Items[0].POI = "p32"
	}
	reply(w, 200, page)
}

func (f *fakeService) pois(w http.ResponseWriter, r *http.Request) {
	var south, west, north, east float64
	if _, err := fmt.Sscanf(r.URL.Query().Get("bbox"), "%g,%g,%g,%g", &west, &south, &east, &north); err != nil {
		problem(w, http.StatusUnprocessableEntity, "Bad box", err.Error())
		return
	}
	var page api.Page[api.POI]
	for _, p := range f.places {
		if p.Lat >= south && p.Lat <= north && p.Lng >= west && p.Lng <= east {
			page.Items = append(page.Items, p.POI)
		}
	}
	reply(w, 200, page)
}

func (f *fakeService) poi(w http.ResponseWriter, r *http.Request) {
	for _, p := range f.places {
		if p.ID == r.PathValue("poi") {
			reply(w, 200, p.POI)
			return
		}
	}
	problem(w, http.StatusNotFound, "Unknown place", r.PathValue("poi"))
}

// waitFor returns once a list was asked of a model; the page may be done with it by then.
func (f *fakeService) waitFor(t *testing.T, model string) {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		if ask, _ := f.last(); ask.Model == model {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("nothing is asked of model %s", model)
		}
	}
}
