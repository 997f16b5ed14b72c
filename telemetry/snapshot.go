package telemetry

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// Route is the traffic of one route since the start.
type Route struct {
	Route    string
	Requests int64
	Errors   int64 // answers with a status of 500 or more
	ByStatus map[string]int64
	P50MS    float64 // milliseconds; 0 without requests
	P90MS    float64
	P99MS    float64
}

// Snapshot is what the status page shows of the metrics.
type Snapshot struct {
	Routes []Route            // those with requests, in order of name
	Gauges map[string]float64 // gauges, and counters without labels but for the source of answers
}

// bucket is one bucket of a histogram: how many values are at most upper.
type bucket struct {
	upper float64
	count uint64
}

// Snapshot reads the metrics as a scrape does. Quantiles are interpolated within the
// histogram's buckets, so they are as fine as those.
func (m *Metrics) Snapshot() (Snapshot, error) {
	families, err := m.reg.Gather()
	if err != nil {
		return Snapshot{}, fmt.Errorf("read the metrics for the status page: %w", err)
	}
	s := Snapshot{Gauges: map[string]float64{}}
	routes := map[string]*Route{}
	at := func(name string) *Route {
		if routes[name] == nil {
			routes[name] = &Route{Route: name, ByStatus: map[string]int64{}}
		}
		return routes[name]
	}
	for _, f := range families {
		for _, one := range f.GetMetric() {
			labels := map[string]string{}
			for _, l := range one.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			switch f.GetName() {
			case Prefix + "requests_total":
				at(labels["route"]).count(labels["status"], int64(one.GetCounter().GetValue()))
			case Prefix + "request_seconds":
				var buckets []bucket
				for _, b := range one.GetHistogram().GetBucket() {
					buckets = append(buckets, bucket{b.GetUpperBound(), b.GetCumulativeCount()})
				}
				if n := one.GetHistogram().GetSampleCount(); n > 0 {
					at(labels["route"]).latency(buckets, n)
				}
			default:
				v := one.GetCounter().GetValue()
				if g := one.GetGauge(); g != nil {
					v = g.GetValue()
				}
				s.gauge(f.GetName(), labels, one.GetHistogram() != nil, v)
			}
		}
	}
	for _, r := range routes {
		s.Routes = append(s.Routes, *r)
	}
	slices.SortFunc(s.Routes, func(a, b Route) int { return strings.Compare(a.Route, b.Route) })
	return s, nil
}

// gauge keeps the numbers that a person reads one by one: no histograms, nothing with
// labels but the shares of answers, and nothing JSON cannot say.
func (s *Snapshot) gauge(name string, labels map[string]string, histogram bool, v float64) {
	if histogram || !strings.HasPrefix(name, Prefix) || math.IsNaN(v) || math.IsInf(v, 0) {
		return
	}
	if source, ok := labels["source"]; ok && name == Prefix+"answers_ratio" {
		s.Gauges[name+"_"+source] = v
	} else if len(labels) == 0 {
		s.Gauges[name] = v
	}
}

func (r *Route) count(status string, n int64) {
	r.Requests += n
	r.ByStatus[status] += n
	if strings.HasPrefix(status, "5") {
		r.Errors += n
	}
}

func (r *Route) latency(buckets []bucket, n uint64) {
	r.P50MS = 1000 * quantile(.5, buckets, n)
	r.P90MS = 1000 * quantile(.9, buckets, n)
	r.P99MS = 1000 * quantile(.99, buckets, n)
}

// quantile interpolates the q-quantile of n values from cumulative buckets in
// ascending order. Values above the last bound count as that bound.
func quantile(q float64, buckets []bucket, n uint64) float64 {
	want := q * float64(n)
	lower, below := 0.0, uint64(0)
	for _, b := range buckets {
		if math.IsInf(b.upper, 1) {
			break
		}
		if float64(b.count) >= want && b.count > below {
			return lower + (b.upper-lower)*(want-float64(below))/float64(b.count-below)
		}
		lower, below = b.upper, b.count
	}
	return lower
}
