package serve

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/whereto/whereto/api"
	"github.com/whereto/whereto/poi"
	"github.com/whereto/whereto/store"
)

func TestRefusedRequests(t *testing.T) {
	b := newBench(t, nil)
	tests := []struct {
		name, method, path, body string
		status                   int
		kind, location, says     string
	}{
		{"no JSON", "POST", "/v1/recommend", `{`, 400, "malformed", "body", "EOF"},
		{"two documents", "POST", "/v1/recommend", `{} {}`, 400, "malformed", "body", "byte 4"},
		{"a name twice", "POST", "/v1/recommend", `{"k":1,"k":2}`, 400, "malformed", "body", "duplicate"},
		{"no UTF-8", "POST", "/v1/recommend", "{\"user\":\"\xff\"}", 400, "malformed", "body", "UTF-8"},
		{"empty", "POST", "/v1/recommend", ``, 422, "invalid", "", "required"},
		{"an array", "POST", "/v1/recommend", `[]`, 422, "invalid", "body", "object"},
		{"an unknown name", "POST", "/v1/recommend", `{"usr":"ann"}`, 422, "invalid", "body.usr", "did you mean user?"},
		{"an unknown name far from all", "POST", "/v1/recommend", `{"quux":1}`, 422, "invalid", "body.quux", "no such field"},
		{"an unknown name deep inside", "POST", "/v1/recommend", `{"area":{"bbox":{"south":1,"west":1,"north":2,"east":2,"eest":1}}}`, 422, "invalid", "body.area.bbox.eest", "did you mean east?"},
		{"a name in other case", "POST", "/v1/recommend", `{"User":"ann"}`, 422, "invalid", "body", "User: there is no such field; did you mean user?"},
		{"an unknown parameter", "POST", "/v1/recommend?ff=geojson", `{}`, 422, "invalid", "query.ff", "did you mean f?"},
		{"k too small", "POST", "/v1/recommend", `{"k":0}`, 422, "invalid", "body.k", ">= 1"},
		{"k too large", "POST", "/v1/recommend", `{"k":101}`, 422, "invalid", "body.k", "<= 100"},
		{"k no number", "POST", "/v1/recommend", `{"k":"5"}`, 422, "invalid", "body.k", "integer"},
		{"lat alone", "POST", "/v1/recommend", `{"lat":1}`, 422, "invalid", "body.lng", "missing beside lat"},
		{"lng alone", "POST", "/v1/explain", `{"lng":1}`, 422, "invalid", "body.lat", "missing beside lng"},
		{"lat beyond the pole", "POST", "/v1/recommend", `{"lat":90.001,"lng":0}`, 422, "invalid", "body.lat", "<= 90"},
		{"NaN", "POST", "/v1/recommend", `{"lat":NaN,"lng":0}`, 400, "malformed", "body", "byte"},
		{"infinite", "POST", "/v1/recommend", `{"lat":1e999,"lng":0}`, 400, "malformed", "body", "lat"},
		{"before 1970", "POST", "/v1/recommend", `{"time":"1969-12-31T23:59:59Z"}`, 422, "invalid", "body.time", "1970"},
		{"in 2100", "POST", "/v1/recommend", `{"time":"2100-01-01T00:00:00Z"}`, 422, "invalid", "body.time", "2099"},
		{"a time without an offset", "POST", "/v1/recommend", `{"time":"2026-05-04T12:10:00"}`, 422, "invalid", "body.time", "RFC 3339"},
		{"a history without a time", "POST", "/v1/recommend", `{"history":[{"poi":"a"}]}`, 422, "invalid", "body.history[0]", "time"},
		{"a history of before 1970", "POST", "/v1/rank", `{"candidates":["a"],"history":[{"poi":"a","time":"0001-01-01T00:00:00Z"}]}`, 422, "invalid", "body.history[0].time", "1970"},
		{"half a position in a history", "POST", "/v1/embed", `{"history":[{"poi":"a",` + at + `,"lat":1}]}`, 422, "invalid", "body.history[0].lng", "missing"},
		{"a history too long", "POST", "/v1/recommend", `{"history":[` + strings.Repeat(`{"poi":"a",`+at+`},`, 1000) + `{"poi":"a",` + at + `}]}`, 422, "invalid", "body.history", "<= 1000"},
		{"no candidates", "POST", "/v1/rank", `{"candidates":[]}`, 422, "invalid", "body.candidates", ">= 1"},
		{"a candidate twice", "POST", "/v1/rank", `{"candidates":["a","b","a"]}`, 422, "invalid", "body.candidates[2]", "stands at [0]"},
		{"what if before 1970", "POST", "/v1/explain", `{"what_if":[{"time":"1960-01-01T00:00:00Z"}]}`, 422, "invalid", "body.what_if[0].time", "1970"},
		{"an unknown system", "POST", "/v1/recommend", `{"crs":"mars"}`, 422, "invalid", "body.crs", "gcj02"},
		{"an unknown place", "POST", "/v1/similar", `{"poi":"nowhere"}`, 422, "invalid", "", "unknown POI"},
		{"a limit too large", "GET", "/v1/pois?limit=1001", ``, 422, "invalid", "query.limit", "<= 1000"},
		{"half a box", "GET", "/v1/pois?bbox=1,2,3", ``, 422, "invalid", "query.bbox", "west,south,east,north"},
		{"a box of NaN", "GET", "/v1/pois?bbox=NaN,0,1,1", ``, 422, "invalid", "query.bbox", "west"},
		{"an infinite box", "GET", "/v1/pois?bbox=0,0,Inf,1", ``, 422, "invalid", "query.bbox", "east"},
		{"a box upside down", "GET", "/v1/pois?bbox=0,2,1,1", ``, 422, "invalid", "query.bbox", "above north"},
		{"no such place", "GET", "/v1/pois/none", ``, 404, "not-found", "", "not found"},
		{"a share too large", "PUT", "/v1/traffic", `{"split":[{"version":"v2","share":1.5}]}`, 422, "invalid", "body.split[0].share", "<= 1"},
		{"a path for a version", "POST", "/v1/models", `{"path":"/etc"}`, 422, "invalid", "body.path", "no such field"},
		{"a body where none is taken", "POST", "/v1/models/rollback", `{}`, 413, "too-large", "", "0 bytes"},
	}
	for _, tt := range tests {
		got := b.ask(tt.method, tt.path, "admin", tt.body)
		p := got.problem(t)
		if got.status != tt.status || p.Type != "/problems/"+tt.kind || !strings.Contains(got.body, tt.says) {
			t.Errorf("%s: %s, want %d %s with %q", tt.name, got.body, tt.status, tt.kind, tt.says)
		}
		if tt.location != "" && !slices.ContainsFunc(p.Errors, func(f Fault) bool { return f.Location == tt.location }) {
			t.Errorf("%s: errors %+v, want one at %s", tt.name, p.Errors, tt.location)
		}
	}
	if b.desk.asked != 0 {
		t.Errorf("%d refused requests reached the desk", b.desk.asked)
	}
	if got := b.ask("POST", "/v1/recommend", "read", "user=ann", "Content-Type", "application/x-www-form-urlencoded"); got.status != 415 {
		t.Errorf("a form: status %d: %s", got.status, got.body)
	} else {
		got.problem(t)
	}
}

func TestEdgesPass(t *testing.T) {
	b := newBench(t, nil)
	for _, body := range []string{
		`{}`, `{"user":"somebody new"}`, `{"lat":90,"lng":180}`, `{"lat":-90,"lng":-180}`, `{"lat":0,"lng":-179.9999,"area":{"radius_m":20100000}}`,
		`{"lat":1,"lng":179,"area":{"bbox":{"south":-10,"west":170,"north":10,"east":-170}}}`,
		`{"area":{"bbox":{"south":80,"west":-180,"north":90,"east":180}}}`,
		`{"time":"1970-01-01T00:00:00Z"}`, `{"time":"2099-12-31T23:59:59Z"}`, `{"time":"1970-01-01T00:00:00.5+14:00"}`,
		`{"user":null,"lat":null,"lng":null,"history":null}`, `{"k":100}`, ` {"k": 1 } ` + "\n",
	} {
		want := 200
		if strings.Contains(body, "+14:00") {
			want = 422 // in UTC it is 1969
		}
		if got := b.ask("POST", "/v1/recommend", "read", body); got.status != want {
			t.Errorf("%s: status %d, want %d: %s", body, got.status, want, got.body)
		}
	}
	if got := into[api.RecommendResponse](t, b.ask("POST", "/v1/recommend", "read", `{`+at+`}`)); len(got.Places) != 4 || !got.Time.Equal(time.Date(2026, 5, 4, 10, 10, 0, 0, time.UTC)) {
		t.Errorf("%+v: want the four places of a k of 10 and the time that was asked about", got)
	}
}

func TestErrorsOfTheDesk(t *testing.T) {
	b := newBench(t, nil)
	tests := []struct {
		err         error
		status      int
		kind, after string
	}{
		{fmt.Errorf("user 7: %w", poi.ErrUnknownUser), 422, "invalid", ""},
		{fmt.Errorf("x: %w", store.ErrNotFound), 404, "not-found", ""},
		{fmt.Errorf("x: %w", store.ErrUnavailable), 503, "unavailable", "2"},
		{fmt.Errorf("x: %w", store.ErrFull), 507, "full", ""},
		{fmt.Errorf("x: %w", context.DeadlineExceeded), 504, "late", ""},
		{errors.New("secret-part of the disk"), 500, "internal", ""},
	}
	for _, tt := range tests {
		b.desk.instead = func(context.Context, api.RecommendRequest) (*api.RecommendResponse, error) { return nil, tt.err }
		got := b.ask("POST", "/v1/recommend", "read", `{}`)
		if p := got.problem(t); got.status != tt.status || p.Type != "/problems/"+tt.kind || got.header.Get("Retry-After") != tt.after {
			t.Errorf("%v: status %d %s, Retry-After %q; want %d %s %q", tt.err, got.status, p.Type, got.header.Get("Retry-After"), tt.status, tt.kind, tt.after)
		}
		if strings.Contains(got.body, "secret-part") {
			t.Errorf("a fault of ours is told to the sender: %s", got.body)
		}
	}
	if !strings.Contains(b.log.String(), "secret-part") {
		t.Error("a fault of ours is not in the log")
	}
	b.desk.instead = func(context.Context, api.RecommendRequest) (*api.RecommendResponse, error) { panic("secret-fault") }
	got := b.ask("POST", "/v1/recommend", "read", `{}`)
	if p := got.problem(t); got.status != 500 || strings.Contains(got.body, "secret-fault") || !strings.Contains(b.log.String(), p.RequestID) {
		t.Errorf("a panic: %d %s", got.status, got.body)
	}
	if log := b.log.String(); !strings.Contains(log, "secret-fault") || !strings.Contains(log, "request_test.go") {
		t.Error("a panic is logged without its words or its stack")
	}
}

func TestGeoJSON(t *testing.T) {
	b := newBench(t, nil)
	b.ask("POST", "/v1/actions", "write", `[{"user":"ann","poi":"cafe-1","lat":48.2,"lng":11.4,`+at+`},{"user":"ann","poi":"park-2","time":"2026-05-04T13:10:00+02:00"}]`)
	tests := []struct {
		method, path, body, accept string
		geo                        bool
	}{
		{"POST", "/v1/recommend", `{}`, "application/geo+json", true},
		{"POST", "/v1/recommend?f=geojson", `{}`, "application/json", true},
		{"POST", "/v1/recommend?f=json", `{}`, "application/geo+json", false},
		{"POST", "/v1/recommend", `{}`, "application/geo+json;q=0.5, application/json", false},
		{"POST", "/v1/recommend", `{}`, "*/*", false},
		{"POST", "/v1/recommend", `{}`, "", false},
		{"POST", "/v1/rank", `{"candidates":["cafe-1"]}`, "application/geo+json", true},
		{"POST", "/v1/similar", `{"poi":"cafe-1"}`, "application/geo+json", true},
		{"GET", "/v1/pois", ``, "application/geo+json", true},
		{"GET", "/v1/users/ann/actions", ``, "application/geo+json", true},
		{"GET", "/v1/users", ``, "application/geo+json", false},
	}
	for _, tt := range tests {
		got := b.ask(tt.method, tt.path, "admin", tt.body, "Accept", tt.accept)
		kind := map[bool]string{true: "application/geo+json", false: "application/json"}[tt.geo]
		if got.status != 200 || got.header.Get("Content-Type") != kind {
			t.Errorf("%s %s, %s: status %d, %s, want %s", tt.method, tt.path, tt.accept, got.status, got.header.Get("Content-Type"), kind)
			continue
		}
		if !tt.geo {
			continue
		}
		c := into[struct {
			Type     string
			Features []struct {
				Type     string
				Geometry *struct {
					Type        string
					Coordinates [2]float64
				}
				Properties struct {
					Lat, Lng *float64
				}
			}
		}](t, got)
		if c.Type != "FeatureCollection" || len(c.Features) == 0 {
			t.Errorf("%s: %s", tt.path, got.body)
		}
		for _, f := range c.Features {
			p := f.Properties
			if (f.Geometry == nil) != (p.Lat == nil) || f.Geometry != nil && f.Geometry.Coordinates != [2]float64{*p.Lng, *p.Lat} {
				t.Errorf("%s: %+v of %+v: want lng before lat", tt.path, f.Geometry, p)
			}
		}
	}
	if one := into[feature](t, b.ask("GET", "/v1/pois/cafe-1?f=geojson", "read", "")); one.Type != "Feature" || one.ID != "cafe-1" {
		t.Errorf("one place: %+v", one)
	}
	if got := b.ask("POST", "/v1/recommend?f=geojson", "read", `{"k":0}`); got.status != 422 {
		t.Errorf("a refused request: status %d", got.status)
	} else {
		got.problem(t)
	}
}

func TestInferAgreesWithRecommend(t *testing.T) {
	b := newBench(t, nil)
	users := []string{"ann", "carl", "dora", "eve"}
	times := []string{"2026-05-04T12:10:00+02:00", "2026-05-04T12:10:00+02:00", "2026-05-05T19:10:00+02:00", "2026-05-04T12:10:00Z"}
	inputs, err := json.Marshal(map[string]any{"id": "q1", "inputs": []map[string]any{
		{"name": "user", "shape": []int{4}, "datatype": "BYTES", "data": users},
		{"name": "time", "shape": []int{4}, "datatype": "BYTES", "data": times},
		{"name": "lat", "shape": []int{4}, "datatype": "FP64", "data": []float64{48, 48, 48, -90}},
		{"name": "lng", "shape": []int{4}, "datatype": "FP64", "data": []float64{11, 11, 180, 0}},
		{"name": "k", "shape": []int{1}, "datatype": "INT32", "data": []int{6}}}})
	if err != nil {
		t.Fatal(err)
	}
	got := into[inferResponse](t, b.ask("POST", "/v2/models/toy/versions/v1/infer", "read", string(inputs)))
	if got.ID != "q1" || got.Model != "toy" || got.Version != "v1" || len(got.Outputs) != 2 {
		t.Fatalf("%+v", got)
	}
	poi, p := got.Outputs[0], got.Outputs[1]
	if !slices.Equal(poi.Shape, []int64{4, 6}) || !slices.Equal(p.Shape, []int64{4, 6}) || len(poi.Data) != 24 || len(p.Data) != 24 {
		t.Fatalf("shapes %v and %v with %d and %d data", poi.Shape, p.Shape, len(poi.Data), len(p.Data))
	}
	for i, user := range users {
		want := into[api.RecommendResponse](t, b.ask("POST", "/v1/recommend", "read", fmt.Sprintf(`{"user":%q,"time":%q,"k":6}`, user, times[i])))
		for j := range 6 {
			name, probability := "", 0.0
			if j < len(want.Places) {
				name, probability = want.Places[j].POI, want.Places[j].Probability
			}
			if poi.Data[6*i+j] != name || p.Data[6*i+j] != probability {
				t.Errorf("%s, place %d: %v with %v, recommend says %q with %v", user, j, poi.Data[6*i+j], p.Data[6*i+j], name, probability)
			}
		}
	}
	if one := into[inferResponse](t, b.ask("POST", "/v2/models/toy/infer", "read", strings.Replace(string(inputs), `"id":"q1"`, `"outputs":[{"name":"poi"}]`, 1))); len(one.Outputs) != 1 || one.Outputs[0].Name != "poi" {
		t.Errorf("one output: %+v", one)
	}
}

func TestRefusedInferences(t *testing.T) {
	b := newBench(t, nil)
	user := `{"name":"user","shape":[1],"datatype":"BYTES","data":["ann"]}`
	when := `{"name":"time","shape":[1],"datatype":"BYTES","data":["2026-05-04T12:10:00Z"]}`
	for _, tt := range []struct {
		inputs, says string
	}{
		{user, "user and time"},
		{user + "," + user + "," + when, "twice"},
		{user + "," + when + `,{"name":"lat","shape":[1],"datatype":"FP64","data":[1]}`, "lat and lng, or neither"},
		{user + "," + when + `,{"name":"k","shape":[1],"datatype":"INT32","data":[101]}`, "from 1 to 100"},
		{user + "," + when + `,{"name":"k","shape":[1],"datatype":"INT32","data":[1.5]}`, "whole number"},
		{user + "," + when + `,{"name":"k","shape":[0],"datatype":"INT32","data":[]}`, "whole number"},
		{user + "," + when + `,{"name":"mood","shape":[1],"datatype":"BYTES","data":["x"]}`, "is no input"},
		{user + "," + strings.Replace(when, "[1]", "[2]", 1), "the number of data"},
		{user + "," + strings.Replace(when, "2026-05-04T12:10:00Z", "noon", 1), "RFC 3339"},
		{user + "," + strings.Replace(when, "2026", "1926", 1), "1970"},
		{strings.Replace(user, `"ann"`, `7`, 1) + "," + when, "want text"},
		{user + `,{"name":"time","shape":[2],"datatype":"BYTES","data":["2026-05-04T12:10:00Z","2026-05-04T12:10:00Z"]}`, "time has 2 rows"},
		{`{"name":"user","shape":[0],"datatype":"BYTES","data":[]},{"name":"time","shape":[0],"datatype":"BYTES","data":[]}`, "0 rows"},
	} {
		got := b.ask("POST", "/v2/models/toy/infer", "read", `{"inputs":[`+tt.inputs+`]}`)
		if p := got.problem(t); got.status != 422 || !strings.Contains(got.body, tt.says) || p.Message == "" {
			t.Errorf("%s: %d %s, want 422 with %q", tt.inputs, got.status, got.body, tt.says)
		}
	}
	for path, want := range map[string]int{"/v2/models/none/infer": 404, "/v2/models/toy/versions/v9/infer": 404, "/v2/models/toy/versions/v2/infer": 503} {
		if got := b.ask("POST", path, "read", `{"inputs":[`+user+","+when+`]}`); got.status != want {
			t.Errorf("%s: status %d, want %d", path, got.status, want)
		}
	}
	for path, want := range map[string]int{"/v2/models/toy/ready": 200, "/v2/models/toy/versions/v2/ready": 503, "/v2/models/none/ready": 404} {
		if got := b.ask("GET", path, "read", ""); got.status != want {
			t.Errorf("%s: status %d, want %d", path, got.status, want)
		}
	}
	if meta := into[modelMeta](t, b.ask("GET", "/v2/models/toy", "read", "")); !slices.Equal(meta.Versions, []string{"v1", "v2"}) || len(meta.Inputs) != 5 {
		t.Errorf("%+v", meta)
	}
}

func TestStatusAndReadiness(t *testing.T) {
	b := newBench(t, nil)
	clock := time.Now()
	b.now = func() time.Time { return clock }
	b.ask("POST", "/v1/recommend", "read", `{}`)
	s := into[api.Status](t, b.ask("GET", "/v1/status", "read", ""))
	if at := slices.IndexFunc(s.Routes, func(r api.RouteStatus) bool { return r.Route == "recommend" }); !s.Ready || s.Version != "test" || at < 0 || s.Routes[at].ByStatus["200"] != 1 {
		t.Errorf("status %+v", s)
	}
	if got := b.ask("GET", "/readyz", "", ""); got.status != 200 || strings.Contains(got.body, "store") {
		t.Errorf("readyz: %d %s", got.status, got.body)
	}
	if got := b.ask("GET", "/readyz?verbose", "", ""); got.status != 200 || !strings.Contains(got.body, "store") {
		t.Errorf("readyz?verbose: %d %s", got.status, got.body)
	}
	b.desk.checks = []api.Check{{Name: "store", Reason: "cannot be reached"}, {Name: "model", OK: true}}
	if got := b.ask("GET", "/readyz", "", ""); got.status != 200 {
		t.Errorf("within the second that the answer holds: status %d", got.status)
	}
	clock = clock.Add(readyFor)
	for path, says := range map[string]string{"/readyz": "not ready: store", "/readyz?verbose": "cannot be reached", "/v2/health/ready": "not ready: store"} {
		got := b.ask("GET", path, "", "")
		if got.problem(t); got.status != http.StatusServiceUnavailable || !strings.Contains(got.body, says) || got.header.Get("Retry-After") == "" {
			t.Errorf("%s: %d %s", path, got.status, got.body)
		}
	}
	if got := b.ask("GET", "/livez", "", ""); got.status != 200 {
		t.Errorf("livez: status %d", got.status)
	}
	b.desk.checks[0].OK = true
	clock = clock.Add(readyFor)
	for range 2 {
		b.ask("GET", "/readyz", "", "")
	}
	if log := b.log.String(); strings.Count(log, `"not ready"`) != 1 || strings.Count(log, "store: cannot be reached") != 1 || strings.Count(log, "ready again") != 1 {
		t.Errorf("a change is told once, as it happens:\n%s", log)
	}
}
