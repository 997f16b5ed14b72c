package main

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"net/url"
	"strings"
	"time"

	"github.com/whereto/whereto/api"
	"github.com/whereto/whereto/poi"
)

// ask is one request. In its path {next} stands for the cursor of the page before.
type ask struct{ what, method, path, kind, body string }

// String is the request line.
func (a ask) String() string { return a.method + " " + a.path }

// asker draws requests of a data set. What it draws depends on its seed alone, so that
// every store is asked the same.
type asker struct {
	rng    *rand.Rand
	d      *poi.Dataset
	now    time.Time
	people []string
	fresh  []string     // places that only the catalog has
	sent   []api.Action // for those who send again
}

// kinds draw requests: of lists that go on, one for each page.
var kinds = map[string]func(*asker) []ask{
	"recommend": (*asker).recommend, "history": (*asker).inline, "radius": (*asker).radius, "bbox": (*asker).box, "polygon": (*asker).polygon,
	"category": (*asker).category, "exclude": (*asker).exclude, "rank": (*asker).rank, "similar": (*asker).similar, "embed": (*asker).embed,
	"explain": (*asker).explain, "infer": (*asker).infer, "actions": (*asker).actions, "users": (*asker).users, "pois": (*asker).pois, "poi": (*asker).poi,
	"act": (*asker).act, "put": (*asker).put, "close": (*asker).close, "forget": (*asker).forget, "status": (*asker).status, "nonsense": (*asker).nonsense,
}

// order is how often each kind comes.
const order = "recommend recommend history radius bbox polygon category exclude rank rank similar embed explain infer actions users pois poi poi " +
	"act act act act put put close forget status nonsense"

// requests draws at least n requests.
func requests(d *poi.Dataset, seed uint64, n int) (out []ask) {
	a := &asker{rng: rand.New(rand.NewPCG(seed, 26)), d: d, now: lastMoment(d), fresh: []string{"fresh-0"},
		people: []string{"ada", "Ada", "zoë", "Жанна", "a/b", "..", "eins zwei", "u\u0301", "\u00fa", "😀", "100%", "ada_", "<b>&"}}
	for _, u := range d.Users[:12] { // few enough to come back
		a.people = append(a.people, u.ID)
	}
	names := strings.Fields(order)
	for len(out) < n {
		what := names[a.rng.IntN(len(names))]
		for _, x := range kinds[what](a) {
			x.what = what
			out = append(out, x)
		}
	}
	return out
}

func post(path string, body any) []ask {
	text, err := json.Marshal(body)
	if err != nil {
		panic(err) // a request of this file that is not JSON
	}
	return []ask{{method: "POST", path: path, kind: "application/json", body: string(text)}}
}

func get(path string) []ask { return []ask{{method: "GET", path: path}} }

// one draws from a list.
func one[T any](a *asker, list []T) T { return list[a.rng.IntN(len(list))] }

// often is true in so many of a hundred cases.
func (a *asker) often(percent int) bool { return a.rng.IntN(100) < percent }

func (a *asker) place() poi.Place { return one(a, a.d.Places) }

// near is a position about a place.
func (a *asker) near(p poi.Place) (lat, lng *float64) {
	y, x := p.Lat+0.02*a.rng.NormFloat64(), p.Lng+0.02*a.rng.NormFloat64()
	return &y, &x
}

// time is now, soon, or some moment that people have passed, in one of several zones.
func (a *asker) time() time.Time {
	back := time.Duration(a.rng.Int64N(int64(20*24*time.Hour))) - time.Hour
	if a.often(50) {
		back = -time.Duration(a.rng.Int64N(int64(20 * time.Hour)))
	}
	return a.now.Add(-back).Truncate(time.Millisecond).In(time.FixedZone("", 60*one(a, []int{-570, -300, 0, 60, 120, 345, 540})))
}

func (a *asker) who() api.Who {
	w := api.Who{User: one(a, a.people)}
	if a.often(10) {
		w.User = "nobody yet"
	}
	if a.often(80) {
		w.Time = a.time()
	}
	if a.often(70) {
		w.Lat, w.Lng = a.near(a.place())
	}
	return w
}

func (a *asker) recommend() []ask {
	path := "/v1/recommend"
	if a.often(20) {
		path += "?f=geojson"
	}
	return post(path, api.RecommendRequest{Who: a.who(), K: a.rng.IntN(101)})
}

func (a *asker) inline() []ask {
	w := api.Who{Time: a.now.Add(time.Minute)}
	at := a.now.Add(-48 * time.Hour)
	for range 1 + a.rng.IntN(12) {
		x := api.Action{POI: a.place().ID, Time: at, Type: a.d.Types[0]}
		if a.often(50) {
			x.Lat, x.Lng = a.near(a.place())
		}
		if a.often(10) {
			x.POI = "nowhere"
		}
		w.History = append(w.History, x)
		at = at.Add(time.Duration(a.rng.Int64N(int64(4 * time.Hour)))).Truncate(time.Millisecond)
	}
	return post("/v1/recommend", api.RecommendRequest{Who: w})
}

func (a *asker) within(area *api.Area) []ask {
	r := api.RecommendRequest{Who: a.who(), K: 20, Area: area}
	r.Lat, r.Lng = a.near(a.place())
	return post("/v1/recommend", r)
}

func (a *asker) radius() []ask { return a.within(&api.Area{RadiusM: 50 + 4000*a.rng.Float64()}) }

// bounds are a box about a place.
func (a *asker) bounds() *api.Box {
	p, high, wide := a.place(), 0.04*a.rng.Float64(), 0.06*a.rng.Float64()
	return &api.Box{South: p.Lat - high, North: p.Lat + high, West: p.Lng - wide, East: p.Lng + wide}
}

func (a *asker) box() []ask { return a.within(&api.Area{Box: a.bounds()}) }

func (a *asker) polygon() []ask {
	p, n := a.place(), 3+a.rng.IntN(5)
	var ring [][]float64
	for i := range n {
		angle := 2 * math.Pi * float64(i) / float64(n)
		size := 0.005 + 0.04*a.rng.Float64()
		ring = append(ring, []float64{p.Lng + size*math.Cos(angle), p.Lat + size*math.Sin(angle)})
	}
	return a.within(&api.Area{Polygon: append(ring, ring[0])})
}

func (a *asker) category() []ask {
	whole := a.place().Category
	top, _, _ := strings.Cut(whole, " > ")
	r := api.RecommendRequest{Who: a.who(), K: 15, Categories: []string{one(a, []string{whole, top, "New"})}}
	if a.often(30) {
		r.Area = &api.Area{Box: a.bounds()}
	}
	return post("/v1/recommend", r)
}

func (a *asker) exclude() []ask {
	r := api.RecommendRequest{Who: a.who(), K: 30, ExcludeVisited: a.often(50), Exclude: []string{"nowhere", one(a, a.fresh)}}
	for range a.rng.IntN(40) {
		r.Exclude = append(r.Exclude, a.place().ID)
	}
	return post("/v1/recommend", r)
}

func (a *asker) rank() []ask {
	r := api.RankRequest{Who: a.who()}
	for _, p := range a.rng.Perm(len(a.d.Places))[:1+a.rng.IntN(40)] {
		r.Candidates = append(r.Candidates, a.d.Places[p].ID)
	}
	if a.often(50) {
		r.Candidates = append(r.Candidates, one(a, a.fresh)) // 422 where it was never put
	}
	return post("/v1/rank", r)
}

func (a *asker) similar() []ask {
	r := api.SimilarRequest{POI: a.place().ID, K: 1 + a.rng.IntN(30)}
	if a.often(40) {
		r.Area = &api.Area{RadiusM: 3000}
	}
	return post("/v1/similar", r)
}

func (a *asker) embed() []ask {
	r := api.EmbedRequest{Who: a.who(), POIs: []string{a.place().ID}}
	if a.often(30) {
		r.Who = api.Who{}
	}
	return post("/v1/embed", r)
}

func (a *asker) explain() []ask {
	r := api.ExplainRequest{Who: a.who(), K: 5}
	r.Time = a.now.Add(time.Minute) // nothing of a past is after it
	if a.often(60) {
		r.POI = a.place().ID
	}
	if a.often(40) {
		at := api.WhatIf{Time: a.now.Add(time.Duration(1+a.rng.IntN(24)) * time.Hour)}
		at.Lat, at.Lng = a.near(a.place())
		r.WhatIf = []api.WhatIf{at}
	}
	return post("/v1/explain", r)
}

func (a *asker) infer() []ask {
	row := func() string { return a.time().Format(time.RFC3339) }
	text, err := json.Marshal([]string{one(a, a.people), one(a, a.people), row(), row()})
	if err != nil {
		panic(err) // texts are JSON
	}
	words := strings.Split(strings.Trim(string(text), "[]"), ",")
	body := fmt.Sprintf(`{"inputs":[{"name":"user","shape":[2],"datatype":"BYTES","data":[%s,%s]},{"name":"time","shape":[2],"datatype":"BYTES","data":[%s,%s]},`+
		`{"name":"k","shape":[1],"datatype":"INT32","data":[3]}]}`, words[0], words[1], words[2], words[3])
	return []ask{{method: "POST", path: "/v2/models/quickstart/infer", kind: "application/json", body: body}}
}

// pages ask for a list from its beginning and go on.
func pages(path string, limit, n int) (out []ask) {
	path = fmt.Sprintf("%slimit=%d", path, limit)
	out = get(path)
	for range n - 1 {
		out = append(out, get(path+"&cursor={next}")...)
	}
	return out
}

func (a *asker) actions() []ask {
	path := "/v1/users/" + escape(one(a, a.people)) + "/actions?"
	if a.often(20) {
		path += "f=geojson&"
	}
	return pages(path, 1+a.rng.IntN(40), 1+a.rng.IntN(3))
}

func (a *asker) users() []ask {
	return pages("/v1/users?prefix="+url.QueryEscape(one(a, []string{"", "", "a", "ada", "z", "u", "😀", "none"}))+"&", 1+a.rng.IntN(12), 1+a.rng.IntN(3))
}

func (a *asker) pois() []ask {
	path := "/v1/pois?"
	switch b := a.bounds(); {
	case a.often(60):
		path += fmt.Sprintf("bbox=%v,%v,%v,%v&", b.West, b.South, b.East, b.North)
	case a.often(50):
		path += "bbox=170,-80,-10,80&" // across the antimeridian
	}
	return pages(path, 1+a.rng.IntN(60), 1+a.rng.IntN(3))
}

// escape writes a name as a part of a path.
func escape(name string) string { return strings.ReplaceAll(url.PathEscape(name), ".", "%2E") }

// anyPlace is the id of a place of the model, of the catalog, or of neither.
func (a *asker) anyPlace() string {
	return one(a, []string{a.place().ID, a.place().ID, one(a, a.fresh), "nowhere", "null island"})
}

func (a *asker) poi() []ask { return get("/v1/pois/" + escape(a.anyPlace())) }

// act sends actions: new ones, some of one moment, some out of order, some again, some
// that make no sense.
func (a *asker) act() []ask {
	at := a.time()
	if at.After(a.now) {
		at = a.now
	}
	user := one(a, a.people)
	var lines []api.Action
	for i := range 1 + a.rng.IntN(8) {
		x := api.Action{User: user, POI: a.anyPlace(), Time: at, Type: one(a, []string{"", a.d.Types[0], "dreamt"})}
		if a.often(60) {
			x.ID = fmt.Sprintf("%d-%d", len(a.sent), i)
		}
		if a.often(60) {
			x.Lat, x.Lng = a.near(a.place())
		}
		if a.often(60) {
			at = at.Add(time.Duration(a.rng.IntN(7200)-3600) * time.Second)
		}
		switch {
		case a.often(5):
			x.User = ""
		case a.often(5):
			x.Time = a.now.AddDate(0, 0, 9)
		case a.often(8): // a sign that a zero may have, and that not every store keeps
			zero, west := math.Copysign(0, -1), -180.0
			x.Lat, x.Lng = &zero, &west
		case a.often(15) && len(a.sent) > 0:
			x = one(a, a.sent)
		}
		lines = append(lines, x)
	}
	a.sent = append(a.sent, lines...)
	return bulk("POST", "/v1/actions", lines)
}

func bulk[T any](method, path string, lines []T) []ask {
	var b strings.Builder
	for _, x := range lines {
		text, err := json.Marshal(x)
		if err != nil {
			panic(err) // a line of this file that is not JSON
		}
		b.Write(append(text, '\n'))
	}
	return []ask{{method: method, path: path, kind: "application/x-ndjson", body: b.String()}}
}

// put tells of places: new ones, known ones that have moved or got another name, some as
// they are, some that make no sense.
func (a *asker) put() []ask {
	var lines []api.POI
	for range 1 + a.rng.IntN(5) {
		own := a.place()
		p := api.POI{ID: own.ID, Name: own.Name, Category: own.Category, Lat: own.Lat, Lng: own.Lng}
		switch a.rng.IntN(6) {
		case 0, 1:
			p.ID, p.Name = fmt.Sprintf("fresh-%d", len(a.fresh)), "Größe & <Co>\u2028"
			p.Lat += 0.001 * a.rng.NormFloat64()
			a.fresh = append(a.fresh, p.ID)
		case 2:
			p.Name, p.Lat = "moved", p.Lat+0.001*a.rng.NormFloat64()
		case 3:
			p.ID, p.Category = one(a, a.fresh), "New > Place"
		case 4:
			p.ID, p.Lat, p.Lng = "null island", math.Copysign(0, float64(a.rng.IntN(2))-0.5), math.Copysign(0, float64(a.rng.IntN(2))-0.5)
		case 5:
			if p.Closed = a.often(50); !p.Closed {
				p.Lat = 91
			}
		}
		lines = append(lines, p)
	}
	return bulk("PUT", "/v1/pois", lines)
}

func (a *asker) close() []ask {
	return []ask{{method: "DELETE", path: "/v1/pois/" + escape(a.anyPlace())}}
}

func (a *asker) forget() []ask {
	return []ask{{method: "DELETE", path: "/v1/users/" + escape(one(a, a.people))}}
}

func (a *asker) status() []ask { return get("/v1/status") }

// nonsense asks what no service can answer.
func (a *asker) nonsense() []ask {
	w := a.who()
	switch a.rng.IntN(9) {
	case 0:
		return post("/v1/recommend", api.RecommendRequest{Who: w, K: 101})
	case 1:
		w.Time = time.Date(1969, 1, 1, 0, 0, 0, 0, time.UTC)
		return post("/v1/recommend", api.RecommendRequest{Who: w})
	case 2:
		return post("/v1/rank", api.RankRequest{Who: w, Candidates: []string{"nowhere"}})
	case 3:
		return get("/v1/users?cursor=xyz")
	case 4:
		return get("/v1/pois?bbox=1,80,2,-80")
	case 5:
		return post("/v1/similar", api.SimilarRequest{POI: "nowhere"})
	case 6:
		return get("/v1/users/" + strings.Repeat("x", 257) + "/actions")
	case 7:
		return []ask{{method: "POST", path: "/v1/rank", kind: "application/json", body: "{"}}
	}
	return []ask{{method: "POST", path: "/v1/recommend", kind: "application/json", body: `{"usr":"ada"}`}}
}
