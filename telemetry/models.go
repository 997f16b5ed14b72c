package telemetry

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Bounds of the model series: versions come and go for as long as the service runs,
// and variants are words of the operator's.
const (
	maxVersions = 32
	maxVariants = 8 // of one version
)

// models follows the loaded versions. A version that is gone takes its series along.
type models struct {
	loaded   *prometheus.GaugeVec
	requests *prometheus.CounterVec
	seconds  prometheus.Observer

	mu       sync.RWMutex
	versions map[string]*version
	unknown  prometheus.Counter // requests of versions that are not loaded
}

// version is one loaded version and its counters by variant.
type version struct {
	model    string
	state    ModelState
	variants map[string]prometheus.Counter
	rest     prometheus.Counter // of variants beyond maxVariants
}

func newModels(b *builder) *models {
	m := &models{versions: map[string]*version{}}
	m.loaded = b.gauges("model_loaded", "1 for the state that a model version is in.", "model", "version", "state")
	m.requests = b.counters("model_requests_total", "Requests answered by a model version and variant of an A/B split.", "version", "variant")
	m.seconds = b.histogram("model_load_seconds", "Time to load and warm a model version.", loadBounds)
	m.unknown = m.requests.WithLabelValues(other, other)
	return m
}

// ModelIs says which state a version of a model is in now. Beyond 32 versions at once
// the rest goes uncounted.
func (m *Metrics) ModelIs(model, versionName string, s ModelState) {
	k := m.models
	k.mu.Lock()
	defer k.mu.Unlock()
	v, known := k.versions[versionName]
	if !known {
		if len(k.versions) >= maxVersions {
			return
		}
		v = &version{model: model, variants: map[string]prometheus.Counter{}}
		k.versions[versionName] = v
	} else {
		k.loaded.DeleteLabelValues(v.model, versionName, word(modelStateNames, v.state))
	}
	v.model, v.state = model, s
	k.loaded.WithLabelValues(model, versionName, word(modelStateNames, s)).Set(1)
}

// ModelGone forgets a version that was unloaded, with all its series.
func (m *Metrics) ModelGone(versionName string) {
	k := m.models
	k.mu.Lock()
	defer k.mu.Unlock()
	if _, known := k.versions[versionName]; !known {
		return
	}
	delete(k.versions, versionName)
	k.loaded.DeletePartialMatch(prometheus.Labels{"version": versionName})
	k.requests.DeletePartialMatch(prometheus.Labels{"version": versionName})
}

// ModelLoaded records the time from the start of loading a version to warm.
func (m *Metrics) ModelLoaded(took time.Duration) { m.models.seconds.Observe(took.Seconds()) }

// ModelAnswered counts a request for the version that answered it. Variant is empty
// without an A/B split.
func (m *Metrics) ModelAnswered(versionName, variant string) {
	m.models.counter(versionName, variant).Inc()
}

func (k *models) counter(versionName, variant string) prometheus.Counter {
	k.mu.RLock()
	v, known := k.versions[versionName]
	if !known {
		k.mu.RUnlock()
		return k.unknown
	}
	c, seen := v.variants[variant]
	k.mu.RUnlock()
	if seen {
		return c
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.versions[versionName] != v { // gone between the locks
		return k.unknown
	}
	if c, seen = v.variants[variant]; seen {
		return c
	}
	if len(v.variants) >= maxVariants {
		if v.rest == nil {
			v.rest = k.requests.WithLabelValues(versionName, other)
		}
		return v.rest
	}
	c = k.requests.WithLabelValues(versionName, variant)
	v.variants[variant] = c
	return c
}
