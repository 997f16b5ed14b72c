package serve

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/whereto/whereto/api"
	"github.com/whereto/whereto/guard"
	"github.com/whereto/whereto/poi"
	"github.com/whereto/whereto/telemetry"
)

// fakeDesk answers from a small catalog. It is a fake, not a mock: what is stored can
// be read again.
type fakeDesk struct {
	mu      sync.Mutex
	actions map[string][]api.Action
	pois    map[string]api.POI
	traffic api.Traffic
	checks  []api.Check
	asked   int
	// instead, if set, answers recommend and all that is built on it.
	instead func(context.Context, api.RecommendRequest) (*api.RecommendResponse, error)
	putErr  error
}

func newFakeDesk() *fakeDesk {
	d := &fakeDesk{actions: map[string][]api.Action{}, pois: map[string]api.POI{},
		checks: []api.Check{{Name: "store", OK: true}, {Name: "model", OK: true}}}
	for i, id := range []string{"cafe-1", "museum-3", "office-7", "park-2"} {
		d.pois[id] = api.POI{ID: id, Name: "The " + id, Lat: 48.13 + float64(i)/100, Lng: 11.57 + float64(i)/100}
	}
	return d
}

func (d *fakeDesk) places(k int, exclude []string) []api.Place {
	var out []api.Place
	for _, id := range []string{"cafe-1", "museum-3", "office-7", "park-2"} {
		if len(out) < k && !slices.Contains(exclude, id) {
			p := d.pois[id]
			out = append(out, api.Place{Rank: len(out) + 1, POI: id, Name: p.Name, Lat: p.Lat, Lng: p.Lng, Probability: 0.5 / float64(len(out)+1), Source: "copy"})
		}
	}
	return out
}

var fakeVersion = api.Version{Model: "v1", Index: "abc"}

func (d *fakeDesk) Recommend(ctx context.Context, r api.RecommendRequest) (*api.RecommendResponse, error) {
	d.mu.Lock()
	d.asked++
	instead := d.instead
	d.mu.Unlock()
	if instead != nil {
		return instead(ctx, r)
	}
	places := d.places(r.K, r.Exclude)
	if len(r.User)%2 == 1 && len(places) > 1 { // so that people differ
		places[0], places[1] = places[1], places[0]
		places[0].Rank, places[1].Rank = 1, 2
	}
	return &api.RecommendResponse{Places: places, Source: api.Source{Kind: "model"}, Version: fakeVersion, Time: r.Time, History: len(r.History)}, nil
}

func (d *fakeDesk) Rank(ctx context.Context, r api.RankRequest) (*api.RankResponse, error) {
	return d.Recommend(ctx, api.RecommendRequest{Who: r.Who, K: len(r.Candidates)})
}

func (d *fakeDesk) Embed(context.Context, api.EmbedRequest) (*api.EmbedResponse, error) {
	return &api.EmbedResponse{Dim: 2, User: []float32{1, 0}, Version: fakeVersion}, nil
}

func (d *fakeDesk) Similar(_ context.Context, r api.SimilarRequest) (*api.SimilarResponse, error) {
	if _, known := d.pois[r.POI]; !known {
		return nil, fmt.Errorf("poi %q: %w", r.POI, poi.ErrUnknownPOI)
	}
	return &api.SimilarResponse{Places: []api.SimilarPlace{{Rank: 1, POI: "museum-3", Lat: 48.14, Lng: 11.58, Score: .9}}, Version: fakeVersion}, nil
}

func (d *fakeDesk) Explain(_ context.Context, r api.ExplainRequest) (*api.ExplainResponse, error) {
	return &api.ExplainResponse{Place: d.places(1, nil)[0], Version: fakeVersion}, nil
}

func (d *fakeDesk) PutActions(_ context.Context, list []api.Action) (*api.BulkResponse, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.putErr != nil {
		return nil, d.putErr
	}
	out := &api.BulkResponse{}
	for i, a := range list {
		switch {
		case a.POI == "nowhere":
			out.Refused++
			out.Rejected = append(out.Rejected, api.Rejected{Line: i + 1, Field: "poi", Reason: "unknown"})
		case a.ID != "" && slices.ContainsFunc(d.actions[a.User], func(b api.Action) bool { return a.ID == b.ID }):
			out.Duplicate++
		default:
			out.Accepted++
			d.actions[a.User] = append(d.actions[a.User], a)
		}
	}
	return out, nil
}

func (d *fakeDesk) Actions(_ context.Context, user, _ string, _ int) (*api.Page[api.Action], error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return &api.Page[api.Action]{Items: append([]api.Action{}, d.actions[user]...)}, nil
}

func (d *fakeDesk) Users(context.Context, string, string, int) (*api.Page[api.UserSummary], error) {
	return &api.Page[api.UserSummary]{Items: []api.UserSummary{{User: "ann", Actions: 1}}}, nil
}

func (d *fakeDesk) DeleteUser(_ context.Context, user string) (*api.Deleted, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := len(d.actions[user])
	delete(d.actions, user)
	return &api.Deleted{User: user, Actions: n}, nil
}

func (d *fakeDesk) PutPOIs(_ context.Context, list []api.POI) (*api.BulkResponse, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, p := range list {
		d.pois[p.ID] = p
	}
	return &api.BulkResponse{Accepted: len(list)}, nil
}

func (d *fakeDesk) POIs(_ context.Context, _ string, limit int, box *api.Box) (*api.Page[api.POI], error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	page := &api.Page[api.POI]{Items: []api.POI{}}
	for _, p := range d.pois {
		if len(page.Items) < limit && (box == nil || p.Lat >= box.South && p.Lat <= box.North) {
			page.Items = append(page.Items, p)
		}
	}
	return page, nil
}

func (d *fakeDesk) POI(_ context.Context, id string) (*api.POI, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	p, known := d.pois[id]
	if !known {
		return nil, errMissing
	}
	return &p, nil
}

func (d *fakeDesk) ClosePOI(context.Context, string) error { return nil }

func (d *fakeDesk) Models() []api.Model {
	return []api.Model{{Version: "v1", Name: "toy", State: "active"}, {Version: "v2", Name: "toy", State: "available"}, {Version: "v3", Name: "other", State: "ready"}}
}
func (d *fakeDesk) LoadModel(_ context.Context, v string) (*api.Model, error) {
	return &api.Model{Version: v, State: "ready"}, nil
}
func (d *fakeDesk) ActivateModel(_ context.Context, v string) (*api.Model, error) {
	return &api.Model{Version: v, State: "active"}, nil
}
func (d *fakeDesk) RollBack(context.Context) (*api.Model, error) {
	return &api.Model{Version: "v0", State: "active"}, nil
}

func (d *fakeDesk) SetTraffic(_ context.Context, t api.Traffic) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.traffic = t
	return nil
}

func (d *fakeDesk) Traffic() api.Traffic {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.traffic
}

func (d *fakeDesk) Ready(context.Context) []api.Check {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.checks)
}

func (d *fakeDesk) Status(context.Context) (*api.Status, error) {
	return &api.Status{Ready: true, Store: "fake"}, nil
}

// bench is a service around a fake desk, with a key of each kind.
type bench struct {
	*Server
	desk   *fakeDesk
	tokens map[string]string
	log    *lockedBuffer
	source *records
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// records is a source of keys that can change.
type records struct {
	mu   sync.Mutex
	list []guard.Record
}

func (r *records) Records(context.Context) ([]guard.Record, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.list), nil
}

func newBench(t testing.TB, change func(*Options)) *bench {
	t.Helper()
	b := &bench{desk: newFakeDesk(), tokens: map[string]string{"": "", "wrong": ""}, log: &lockedBuffer{}, source: &records{}}
	past := time.Now().Add(-time.Hour)
	for _, k := range []struct {
		id   string
		role guard.Role
		with func(*guard.Record)
	}{
		{"read", guard.Read, nil}, {"write", guard.Write, nil}, {"admin", guard.Admin, nil},
		{"expired", guard.Admin, func(r *guard.Record) { r.Expires = &past }},
		{"scene", guard.Admin, func(r *guard.Record) { r.Scenes = []string{"home"} }},
		{"box", guard.Admin, func(r *guard.Record) { r.Box = &guard.Box{South: 48, West: 11, North: 49, East: 12} }},
	} {
		token, rec, err := guard.Mint(k.id, k.role)
		if err != nil {
			t.Fatal(err)
		}
		if k.with != nil {
			k.with(&rec)
		}
		b.tokens[k.id] = token
		b.source.list = append(b.source.list, rec)
	}
	b.tokens["wrong"] = b.tokens["admin"] + "x"
	ring, err := guard.NewRing(t.Context(), guard.RingOptions{Source: b.source})
	if err != nil {
		t.Fatal(err)
	}
	metrics, err := telemetry.NewMetrics("test", RouteNames())
	if err != nil {
		t.Fatal(err)
	}
	log, err := telemetry.NewLogger(b.log, telemetry.LogOptions{Level: "debug"})
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Desk: b.desk, Keys: ring, Address: "0.0.0.0:8080", Limits: DefaultLimits(), Metrics: metrics, Log: log, Version: "test"}
	o.Limits.Rate = 0
	o.Limits.DrainDelay = 0
	if change != nil {
		change(&o)
	}
	if b.Server, err = New(o); err != nil {
		t.Fatal(err)
	}
	return b
}

// reply is an answer that was read.
type reply struct {
	status int
	header http.Header
	body   string
	closes bool // the connection is not used again
}

// ask sends one request past the network.
func (b *bench) ask(method, path, key, body string, headers ...string) reply {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if token := b.tokens[key]; token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return roundTrip(b.Handler(), r)
}

func roundTrip(h http.Handler, r *http.Request) reply {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return replyOf(w.Result())
}

func replyOf(res *http.Response) reply {
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		text = []byte("broke off: " + err.Error())
	}
	return reply{res.StatusCode, res.Header, string(text), res.Close}
}

// problem reads a problem document and fails if the answer is none.
func (r reply) problem(t testing.TB) Problem {
	t.Helper()
	var p Problem
	if err := json.Unmarshal([]byte(r.body), &p); err != nil || r.header.Get("Content-Type") != problemType {
		t.Fatalf("status %d, %s, no problem document: %.300s", r.status, r.header.Get("Content-Type"), r.body)
	}
	if p.Status != r.status || !strings.HasPrefix(p.Type, "/problems/") || p.Title == "" || p.RequestID == "" || p.RequestID != r.header.Get("X-Request-Id") {
		t.Fatalf("status %d with the document %+v", r.status, p)
	}
	return p
}

func into[T any](t testing.TB, r reply) T {
	t.Helper()
	var out T
	if r.status != http.StatusOK {
		t.Fatalf("status %d: %.500s", r.status, r.body)
	}
	if err := json.Unmarshal([]byte(r.body), &out); err != nil {
		t.Fatalf("%v: %.300s", err, r.body)
	}
	return out
}

const at = `"time":"2026-05-04T12:10:00+02:00"`

func request(t testing.TB, method, path string) *http.Request {
	t.Helper()
	return httptest.NewRequest(method, path, nil)
}
