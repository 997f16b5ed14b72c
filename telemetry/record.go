package telemetry

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Arrived counts a request as running until Answered is called for it.
func (m *Metrics) Arrived() { m.running.Inc() }

// Answered records a request at its end. Route is one of those given to NewMetrics.
func (m *Metrics) Answered(route, method string, status int, took time.Duration) {
	r, ok := m.routes[route]
	if !ok {
		r = m.unknown
	}
	r.seconds.Observe(took.Seconds())
	m.requests.WithLabelValues(r.name, methodName(method), statusName(status)).Inc()
	m.running.Dec()
}

// WaitStarted counts a running request as waiting until WaitEnded.
func (m *Metrics) WaitStarted() { m.waiting.Inc() }

// WaitEnded ends what WaitStarted began.
func (m *Metrics) WaitEnded() { m.waiting.Dec() }

// Refused counts a request that was turned away.
func (m *Metrics) Refused(why Refusal) { add(m.refused, why, 1) }

// Took records the time of one stage.
func (m *Metrics) Took(s Stage, d time.Duration) {
	if int(s) < len(m.stages) {
		m.stages[s].Observe(d.Seconds())
	}
}

// Batched records how many requests went through the network together.
func (m *Metrics) Batched(requests int) { m.batchSize.Observe(float64(requests)) }

// Scored records how many places were scored for one answer.
func (m *Metrics) Scored(places int) { m.candidates.Observe(float64(places)) }

// BeamInvalid counts beam results that name no place.
func (m *Metrics) BeamInvalid(n int) { m.invalid.Add(float64(max(n, 0))) }

// FellBack counts an answer that had to do without something.
func (m *Metrics) FellBack(why Fallback) { add(m.fallbacks, why, 1) }

// KVHit counts a request that found the user's prefix.
func (m *Metrics) KVHit() { m.kvHits.Inc() }

// KVMiss counts a request that had to build the user's prefix.
func (m *Metrics) KVMiss() { m.kvMisses.Inc() }

// KVEvicted counts prefixes dropped to make room.
func (m *Metrics) KVEvicted(n int) { m.kvEvictions.Add(float64(max(n, 0))) }

// KVHolds says how many users' prefixes are held, and their memory in bytes.
func (m *Metrics) KVHolds(users int, bytes int64) {
	m.kvUsers.Set(float64(users))
	m.kvBytes.Set(float64(bytes))
}

// ShadowCompared counts a request that the shadow version answered too.
func (m *Metrics) ShadowCompared(sameFirst bool) {
	m.compared.Inc()
	if sameFirst {
		m.sameFirst.Inc()
	}
}

// ShadowDropped counts a request that was not compared because the machine was busy.
func (m *Metrics) ShadowDropped() { m.notShadows.Inc() }

// StoreFailed counts a failed operation of the store.
func (m *Metrics) StoreFailed(op StoreOp) { add(m.storeErrors, op, 1) }

// ActionsSent counts actions by what became of them.
func (m *Metrics) ActionsSent(r ActionResult, n int) { add(m.actions, r, n) }

// add counts n of a word; a value that is no constant of ours counts nowhere, because
// a request must not be able to stop the service by one.
func add[T ~uint8](counters []prometheus.Counter, word T, n int) {
	if int(word) < len(counters) && n > 0 {
		counters[word].Add(float64(n))
	}
}

// methodName bounds the methods: a client may send any word.
func methodName(method string) string {
	switch method {
	case http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodHead, http.MethodOptions:
		return method
	}
	return other
}

// statusNames spares a request the formatting of its status.
var statusNames = func() (names [500]string) {
	for i := range names {
		names[i] = strconv.Itoa(100 + i)
	}
	return names
}()

func statusName(status int) string {
	if status < 100 || status >= 600 {
		return other
	}
	return statusNames[status-100]
}
