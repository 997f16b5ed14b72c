package telemetry

import (
	"errors"
	"fmt"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
)

// Prefix begins the name of every metric of ours.
const Prefix = "whereto_"

// Kind is what a metric can do over time.
type Kind string

// Kinds of metrics.
const (
	Counter   Kind = "counter"
	Gauge     Kind = "gauge"
	Histogram Kind = "histogram"
)

// Definition describes one metric.
type Definition struct {
	Name   string // with the prefix
	Kind   Kind
	Labels []string
	Help   string
}

// Series returns the names of the time series of the metric: a histogram has three.
func (d Definition) Series() []string {
	if d.Kind == Histogram {
		return []string{d.Name + "_bucket", d.Name + "_sum", d.Name + "_count"}
	}
	return []string{d.Name}
}

// builder registers metrics and writes down what it registered, so that the list of
// definitions cannot differ from what is scraped. Errors wait for the end.
type builder struct {
	reg  *prometheus.Registry
	defs []Definition
	errs []error
}

func (b *builder) define(kind Kind, name, help string, labels []string) string {
	b.defs = append(b.defs, Definition{Prefix + name, kind, slices.Clone(labels), help})
	return Prefix + name
}

func (b *builder) register(c prometheus.Collector) {
	if err := b.reg.Register(c); err != nil {
		b.errs = append(b.errs, err)
	}
}

func (b *builder) counters(name, help string, labels ...string) *prometheus.CounterVec {
	v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: b.define(Counter, name, help, labels), Help: help}, labels)
	b.register(v)
	return v
}

func (b *builder) gauges(name, help string, labels ...string) *prometheus.GaugeVec {
	v := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: b.define(Gauge, name, help, labels), Help: help}, labels)
	b.register(v)
	return v
}

func (b *builder) histograms(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	v := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: b.define(Histogram, name, help, labels), Help: help, Buckets: buckets}, labels)
	b.register(v)
	return v
}

func (b *builder) counter(name, help string) prometheus.Counter {
	return b.counters(name, help).WithLabelValues()
}

func (b *builder) gauge(name, help string) prometheus.Gauge {
	return b.gauges(name, help).WithLabelValues()
}

func (b *builder) histogram(name, help string, buckets []float64) prometheus.Observer {
	return b.histograms(name, help, buckets).WithLabelValues()
}

// described defines a gauge whose value is worked out when somebody looks.
func (b *builder) described(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(b.define(Gauge, name, help, labels), help, labels, nil)
}

func (b *builder) err() error {
	if len(b.errs) == 0 {
		return nil
	}
	return fmt.Errorf("register the metrics: %w; routes must differ and not be empty", errors.Join(b.errs...))
}

// perWord makes the series of every known value at once: each starts at zero, and
// recording is an index instead of a look-up.
func perWord[M any](names []string, with func(...string) M) []M {
	out := make([]M, len(names))
	for i, name := range names {
		out[i] = with(name)
	}
	return out
}

// Bounds of the histogram buckets. Answers take milliseconds; the upper ones show
// what went wrong.
var (
	requestBounds  = []float64{.001, .002, .003, .005, .0075, .01, .015, .02, .03, .05, .075, .1, .15, .25, .5, 1, 2.5, 5, 10}
	stageBounds    = []float64{.00005, .0001, .00025, .0005, .001, .002, .005, .01, .02, .05, .1, .25, 1, 5}
	loadBounds     = []float64{.1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120, 300}
	batchBounds    = []float64{1, 2, 4, 8, 16, 32, 64, 128}
	countBounds    = []float64{0, 1, 10, 30, 100, 300, 1_000, 3_000, 10_000, 100_000}
	distanceBounds = []float64{100, 250, 500, 1_000, 2_000, 5_000, 10_000, 25_000, 50_000, 100_000, 1_000_000}
	ageBounds      = []float64{60, 600, 3_600, 6 * 3_600, 86_400, 3 * 86_400, 7 * 86_400, 30 * 86_400, 90 * 86_400, 365 * 86_400}
)
