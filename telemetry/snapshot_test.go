package telemetry

import (
	"encoding/json"
	"maps"
	"math"
	"testing"
	"time"

	"github.com/whereto/whereto/api"
)

// The status page's type can take a Route as it is.
var _ = api.RouteStatus(Route{})

func TestSnapshot(t *testing.T) {
	m := newTestMetrics(t)
	for i := range 100 {
		status := 200
		if i >= 97 {
			status = 503
		}
		m.Arrived()
		m.Answered("/v1/recommend", "POST", status, 10*time.Millisecond)
	}
	m.Answered("/nowhere", "GET", 404, 0)
	m.KVHolds(3, 4096)
	m.Recommended(Answer{Probability: .5})
	s, err := m.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Routes) != 2 || s.Routes[0].Route != "/v1/recommend" || s.Routes[1].Route != "other" {
		t.Fatalf("routes %+v", s.Routes)
	}
	r := s.Routes[0]
	if r.Requests != 100 || r.Errors != 3 || !maps.Equal(r.ByStatus, map[string]int64{"200": 97, "503": 3}) {
		t.Errorf("%+v", r)
	}
	for _, ms := range []float64{r.P50MS, r.P90MS, r.P99MS} {
		if ms <= 7.5 || ms > 10 {
			t.Errorf("a quantile of requests of 10 ms is %v ms, want it in their bucket", ms)
		}
	}
	for name, want := range map[string]float64{"whereto_kv_users": 3, "whereto_kv_bytes": 4096, "whereto_answers_ratio_copy": 1, "whereto_expected_hit_ratio": .5} {
		if s.Gauges[name] != want {
			t.Errorf("%s is %v, want %v", name, s.Gauges[name], want)
		}
	}
	if _, ok := s.Gauges["whereto_build_info"]; ok {
		t.Error("build_info is no gauge to read")
	}
	if _, err := json.Marshal(s); err != nil {
		t.Error(err)
	}
}

func TestQuantile(t *testing.T) {
	inf := math.Inf(1)
	for _, tc := range []struct {
		name    string
		q       float64
		buckets []bucket
		n       uint64
		want    float64
	}{
		{"middle of the first", .5, []bucket{{1, 10}, {inf, 10}}, 10, .5},
		{"end of the first", 1, []bucket{{1, 10}, {2, 10}, {inf, 10}}, 10, 1},
		{"half in each", .75, []bucket{{1, 10}, {2, 20}, {inf, 20}}, 20, 1.5},
		{"over an empty one", .9, []bucket{{1, 5}, {2, 5}, {4, 10}, {inf, 10}}, 10, 3.6},
		{"above the last", .99, []bucket{{1, 0}, {2, 0}, {inf, 10}}, 10, 2},
		{"no buckets", .5, nil, 10, 0},
	} {
		if got := quantile(tc.q, tc.buckets, tc.n); math.Abs(got-tc.want) > 1e-9 {
			t.Errorf("%s: %v, want %v", tc.name, got, tc.want)
		}
	}
}
