package telemetry

import (
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Metrics holds every number of one service. It has a registry of its own, so that
// two services in one process (as in tests) do not meet.
type Metrics struct {
	reg  *prometheus.Registry
	defs []Definition

	routes   map[string]*routeMetrics
	unknown  *routeMetrics // of every other route
	requests *prometheus.CounterVec
	running  prometheus.Gauge
	waiting  prometheus.Gauge
	refused  []prometheus.Counter

	stages     []prometheus.Observer
	batchSize  prometheus.Observer
	candidates prometheus.Observer
	invalid    prometheus.Counter
	fallbacks  []prometheus.Counter
	distance   prometheus.Observer
	historyAge prometheus.Observer

	kvUsers, kvBytes                prometheus.Gauge
	kvHits, kvMisses, kvEvictions   prometheus.Counter
	compared, sameFirst, notShadows prometheus.Counter
	storeErrors                     []prometheus.Counter
	actions                         []prometheus.Counter

	models *models
	drift  *drift
}

// routeMetrics is what one route records into.
type routeMetrics struct {
	name    string
	seconds prometheus.Observer
}

// NewMetrics registers all metrics of a service, and those of the Go runtime and the
// process beside them. Version is the program's. Only the routes given here get series of
// their own; requests to any other path share one.
func NewMetrics(version string, routes []string) (*Metrics, error) {
	b := &builder{reg: prometheus.NewRegistry()}
	m := &Metrics{reg: b.reg}
	b.register(collectors.NewGoCollector())
	b.register(collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	b.gauges("build_info", "Always 1; the labels say which program this is.", "version", "goversion").
		WithLabelValues(version, runtime.Version()).Set(1)
	if err := m.addRequests(b, routes); err != nil {
		return nil, err
	}
	m.addWork(b)
	m.addState(b)
	m.models = newModels(b)
	m.drift = newDrift(b, time.Now)
	m.defs = b.defs
	return m, b.err()
}

func (m *Metrics) addRequests(b *builder, routes []string) error {
	m.requests = b.counters("requests_total", "Requests answered, by route, method and HTTP status.", "route", "method", "status")
	seconds := b.histograms("request_seconds", "Time from the arrival of a request to the end of its answer.", requestBounds, "route")
	m.routes = make(map[string]*routeMetrics, len(routes))
	for _, r := range routes {
		if _, twice := m.routes[r]; twice || r == "" || r == other {
			return fmt.Errorf("metrics: route %q: given twice, empty or the word for all others; name each route once", r)
		}
		m.routes[r] = &routeMetrics{r, seconds.WithLabelValues(r)}
	}
	m.unknown = &routeMetrics{other, seconds.WithLabelValues(other)}
	m.running = b.gauge("requests_running", "Requests that have arrived and are not answered yet.")
	m.waiting = b.gauge("requests_waiting", "Requests, among those running, that wait for their turn.")
	m.refused = perWord(refusalNames, b.counters("refused_total", "Requests turned away before any work on them, by reason.", "reason").WithLabelValues)
	return nil
}

func (m *Metrics) addWork(b *builder) {
	m.stages = perWord(stageNames, b.histograms("stage_seconds", "Time of one stage of a request.", stageBounds, "stage").WithLabelValues)
	m.batchSize = b.histogram("batch_size", "Requests that went through the network together.", batchBounds)
	m.candidates = b.histogram("candidates", "Places that were scored for one answer.", countBounds)
	m.invalid = b.counter("beam_invalid_total", "Beam results that name no place; anything but 0 is a fault of the index or the model.")
	m.fallbacks = perWord(fallbackNames, b.counters("fallback_total", "Answers given without the model, or by the model without something it wants, by reason.", "reason").WithLabelValues)
	m.distance = b.histogram("answer_distance_metres", "Distance of the first place of an answer from the person.", distanceBounds)
	m.historyAge = b.histogram("user_history_age_seconds", "Age of the person's latest action at the moment asked about.", ageBounds)
}

func (m *Metrics) addState(b *builder) {
	m.kvUsers = b.gauge("kv_users", "Users whose prefix the network remembers.")
	m.kvBytes = b.gauge("kv_bytes", "Memory of all remembered prefixes.")
	m.kvHits = b.counter("kv_hits_total", "Requests that found the user's prefix.")
	m.kvMisses = b.counter("kv_misses_total", "Requests that had to build the user's prefix.")
	m.kvEvictions = b.counter("kv_evictions_total", "Prefixes dropped to make room.")
	m.compared = b.counter("shadow_compared_total", "Requests that the shadow version answered too.")
	m.sameFirst = b.counter("shadow_same_first_total", "Compared requests with the same first place.")
	m.notShadows = b.counter("shadow_dropped_total", "Requests not compared because the machine was busy.")
	m.storeErrors = perWord(storeOpNames, b.counters("store_errors_total", "Failed operations of the store.", "op").WithLabelValues)
	m.actions = perWord(actionResultNames, b.counters("actions_total", "Actions sent in, by what became of them.", "result").WithLabelValues)
}

// Definitions returns every metric of ours, in order of name.
func (m *Metrics) Definitions() []Definition {
	return slices.SortedFunc(slices.Values(m.defs), func(a, b Definition) int { return strings.Compare(a.Name, b.Name) })
}

// Handler serves the metrics to Prometheus. It belongs on the admin listener: it asks
// for no key.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.reg, promhttp.HandlerOpts{EnableOpenMetrics: true, CoalesceGather: true, Timeout: 10 * time.Second})
}
