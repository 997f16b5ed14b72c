package telemetry

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

var testRoutes = []string{"/v1/recommend", "/v1/rank"}

func newTestMetrics(t testing.TB) *Metrics {
	t.Helper()
	m, err := NewMetrics("v1", testRoutes)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func sortedStrings(s []string) []string { return slices.Sorted(slices.Values(s)) }

// series reads every series as a scrape would: "name{label=value,...}" -> value. A
// histogram gives the count of its values.
func series(t testing.TB, m *Metrics) map[string]float64 {
	t.Helper()
	families, err := m.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]float64{}
	for _, f := range families {
		for _, one := range f.GetMetric() {
			var labels []string
			for _, l := range one.GetLabel() {
				labels = append(labels, l.GetName()+"="+l.GetValue())
			}
			name := f.GetName()
			if len(labels) > 0 {
				name += "{" + strings.Join(sortedStrings(labels), ",") + "}"
			}
			switch {
			case one.GetHistogram() != nil:
				out[name] = float64(one.GetHistogram().GetSampleCount())
			case one.GetGauge() != nil:
				out[name] = one.GetGauge().GetValue()
			default:
				out[name] = one.GetCounter().GetValue()
			}
		}
	}
	return out
}

// useAll records something everywhere.
func useAll(m *Metrics) {
	m.Arrived()
	m.Answered("/v1/rank", "POST", 200, time.Millisecond)
	m.WaitStarted()
	m.WaitEnded()
	m.Refused(RefusedRate)
	m.Took(StageDecode, time.Millisecond)
	m.Batched(3)
	m.Scored(100)
	m.BeamInvalid(1)
	m.FellBack(FallbackNewUser)
	m.KVHit()
	m.KVMiss()
	m.KVEvicted(1)
	m.KVHolds(1, 2)
	m.ModelIs("nyc", "v7", ModelActive)
	m.ModelLoaded(time.Second)
	m.ModelAnswered("v7", "a")
	m.ShadowCompared(true)
	m.ShadowDropped()
	m.StoreFailed(StoreAppend)
	m.ActionsSent(ActionStored, 5)
	at := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	m.Recommended(Answer{User: "u", Asked: at, POIs: []string{"p"}, Probability: .5, DistanceM: 10, HistoryAge: time.Hour})
	m.Acted("u", "p", at)
}

// What is defined is what is scraped: names, kinds and labels.
func TestDefinitionsMatchTheScrape(t *testing.T) {
	m := newTestMetrics(t)
	useAll(m)
	families, err := m.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	scraped := map[string]string{}
	for _, f := range families {
		if !strings.HasPrefix(f.GetName(), Prefix) {
			continue
		}
		var labels []string
		for _, l := range f.GetMetric()[0].GetLabel() {
			labels = append(labels, l.GetName())
		}
		scraped[f.GetName()] = strings.ToLower(f.GetType().String()) + " " + strings.Join(sortedStrings(labels), ",") + " " + f.GetHelp()
	}
	defined := map[string]string{}
	for _, d := range m.Definitions() {
		defined[d.Name] = string(d.Kind) + " " + strings.Join(sortedStrings(d.Labels), ",") + " " + d.Help
	}
	if !maps.Equal(scraped, defined) {
		t.Errorf("scraped\n%v\ndefined\n%v", scraped, defined)
	}
	for name, what := range defined {
		if kind, _, _ := strings.Cut(what, " "); (kind == "counter") != strings.HasSuffix(name, "_total") {
			t.Errorf("%s is a %s", name, kind)
		}
	}
}

func TestRecording(t *testing.T) {
	for _, tc := range []struct {
		name string
		do   func(*Metrics)
		want map[string]float64
	}{
		{"a request", func(m *Metrics) { m.Arrived(); m.Answered("/v1/rank", "POST", 404, time.Second) },
			map[string]float64{"whereto_requests_total{method=POST,route=/v1/rank,status=404}": 1, "whereto_request_seconds{route=/v1/rank}": 1, "whereto_requests_running": 0}},
		{"a request under way", func(m *Metrics) { m.Arrived(); m.Arrived(); m.WaitStarted() },
			map[string]float64{"whereto_requests_running": 2, "whereto_requests_waiting": 1}},
		{"words of a client", func(m *Metrics) { m.Answered("/etc/passwd", "BREW", 99, 0); m.Answered("/x", "BREW", 600, 0) },
			map[string]float64{"whereto_requests_total{method=other,route=other,status=other}": 2}},
		{"refusals", func(m *Metrics) { m.Refused(RefusedKey); m.Refused(RefusedSize); m.Refused(Refusal(99)) },
			map[string]float64{"whereto_refused_total{reason=key}": 1, "whereto_refused_total{reason=size}": 1, "whereto_refused_total{reason=rate}": 0}},
		{"stages", func(m *Metrics) { m.Took(StagePrefill, time.Second); m.Took(Stage(99), time.Second) },
			map[string]float64{"whereto_stage_seconds{stage=prefill}": 1, "whereto_stage_seconds{stage=queue}": 0}},
		{"negative counts", func(m *Metrics) { m.BeamInvalid(-1); m.KVEvicted(-1); m.ActionsSent(ActionStored, -1) },
			map[string]float64{"whereto_beam_invalid_total": 0, "whereto_kv_evictions_total": 0, "whereto_actions_total{result=stored}": 0}},
		{"actions", func(m *Metrics) { m.ActionsSent(ActionDuplicate, 7) }, map[string]float64{"whereto_actions_total{result=duplicate}": 7}},
		{"shadow", func(m *Metrics) { m.ShadowCompared(true); m.ShadowCompared(false); m.ShadowDropped() },
			map[string]float64{"whereto_shadow_compared_total": 2, "whereto_shadow_same_first_total": 1, "whereto_shadow_dropped_total": 1}},
		{"an answer without position and past", func(m *Metrics) { m.Recommended(Answer{DistanceM: -1, HistoryAge: -1}) },
			map[string]float64{"whereto_answer_distance_metres": 0, "whereto_user_history_age_seconds": 0}},
		{"the program", func(*Metrics) {}, map[string]float64{"whereto_store_errors_total{op=ping}": 0, "whereto_fallback_total{reason=failed}": 0}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := newTestMetrics(t)
			tc.do(m)
			got := series(t, m)
			for name, want := range tc.want {
				if v, ok := got[name]; !ok || v != want {
					t.Errorf("%s is %v (there: %v), want %v", name, v, ok, want)
				}
			}
		})
	}
}

func TestNewMetricsRefusesRoutes(t *testing.T) {
	for _, routes := range [][]string{{""}, {"/a", "/a"}, {"other"}} {
		if _, err := NewMetrics("v", routes); err == nil {
			t.Errorf("%q were taken", routes)
		}
	}
}

func TestModels(t *testing.T) {
	m := newTestMetrics(t)
	m.ModelIs("nyc", "v1", ModelLoading)
	m.ModelIs("nyc", "v1", ModelActive)
	m.ModelIs("nyc", "v2", ModelShadow)
	m.ModelAnswered("v1", "")
	m.ModelAnswered("v1", "b")
	m.ModelAnswered("v1", "b")
	m.ModelAnswered("gone", "b")
	got := series(t, m)
	for name, want := range map[string]float64{
		"whereto_model_loaded{model=nyc,state=active,version=v1}":   1,
		"whereto_model_loaded{model=nyc,state=shadow,version=v2}":   1,
		"whereto_model_requests_total{variant=,version=v1}":         1,
		"whereto_model_requests_total{variant=b,version=v1}":        2,
		"whereto_model_requests_total{variant=other,version=other}": 1,
	} {
		if got[name] != want {
			t.Errorf("%s is %v, want %v", name, got[name], want)
		}
	}
	m.ModelGone("v1")
	m.ModelGone("never")
	for name := range series(t, m) {
		if strings.HasPrefix(name, "whereto_model_") && strings.Contains(name, "version=v1") || strings.Contains(name, "state=loading") {
			t.Errorf("%s stayed", name)
		}
	}
}

// Versions and variants come from outside; the number of series has a bound.
func TestModelSeriesAreBounded(t *testing.T) {
	m := newTestMetrics(t)
	for v := range 3 * maxVersions {
		version := fmt.Sprint("v", v)
		m.ModelIs("m", version, ModelReady)
		for variant := range 3 * maxVariants {
			m.ModelAnswered(version, fmt.Sprint(variant))
		}
	}
	var loaded, requests int
	total := 0.
	for name, v := range series(t, m) {
		if strings.HasPrefix(name, "whereto_model_loaded{") {
			loaded++
		}
		if strings.HasPrefix(name, "whereto_model_requests_total{") {
			requests++
			total += v
		}
	}
	if loaded != maxVersions || requests != maxVersions*(maxVariants+1)+1 || total != 9*maxVersions*maxVariants {
		t.Errorf("%d versions, %d series, %v requests; want %d, %d, %d", loaded, requests, total,
			maxVersions, maxVersions*(maxVariants+1)+1, 9*maxVersions*maxVariants)
	}
}

func TestHandler(t *testing.T) {
	m := newTestMetrics(t)
	useAll(m)
	s := httptest.NewServer(m.Handler())
	defer s.Close()
	res, err := http.Get(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(res.Body)
	if err = errors.Join(err, res.Body.Close()); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`whereto_build_info{goversion="go`, `version="v1"`, "whereto_answers_ratio{source=\"copy\"} 1\n", "go_goroutines ", "process_start_time_seconds "} {
		if !strings.Contains(string(body), want) {
			t.Errorf("no %s in the scrape", want)
		}
	}
}

func TestConcurrently(t *testing.T) {
	m := newTestMetrics(t)
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 50 {
				useAll(m)
				m.ModelIs("nyc", fmt.Sprint("v", i%3), ModelState(g))
				m.ModelAnswered(fmt.Sprint("v", i%3), "a")
				m.ModelGone(fmt.Sprint("v", (i+1)%3))
				m.Forget("u")
				if i%10 == 0 {
					if _, err := m.Snapshot(); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	if got := series(t, m); got["whereto_requests_total{method=POST,route=/v1/rank,status=200}"] != 200 || got["whereto_requests_running"] != 0 {
		t.Errorf("%v requests, %v running", got["whereto_requests_total{method=POST,route=/v1/rank,status=200}"], got["whereto_requests_running"])
	}
}

// hotPath is what one request records.
func hotPath(m *Metrics, at time.Time, pois []string) {
	m.Arrived()
	for s := StageQueue; s <= StageEncode; s++ {
		m.Took(s, time.Millisecond)
	}
	m.Scored(100)
	m.KVHit()
	m.ModelAnswered("v1", "a")
	m.Recommended(Answer{User: "u", Asked: at, POIs: pois, Probability: .4, DistanceM: 12, HistoryAge: time.Hour})
	m.Acted("u", "p", at)
	m.Answered("/v1/recommend", "POST", 200, time.Millisecond)
}

func TestRecordingAllocatesNothing(t *testing.T) {
	m := newTestMetrics(t)
	m.ModelIs("nyc", "v1", ModelActive)
	at, pois := time.Now(), []string{"a", "b", "p"}
	hotPath(m, at, pois)
	// One user has one slot; the table of slots may grow once.
	if allocs := testing.AllocsPerRun(200, func() { hotPath(m, at, pois) }); allocs >= 1 {
		t.Errorf("%v allocations a request, want 0", allocs)
	}
}

func BenchmarkHotPath(b *testing.B) {
	m := newTestMetrics(b)
	m.ModelIs("nyc", "v1", ModelActive)
	at, pois := time.Now(), []string{"a", "b", "p"}
	b.ReportAllocs()
	for b.Loop() {
		hotPath(m, at, pois)
	}
}
