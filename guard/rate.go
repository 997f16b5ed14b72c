package guard

import (
	"container/list"
	"fmt"
	"math"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Rates gives each name, a key's ID or a sender's address, a bucket of tokens that
// fills at a steady rate. It remembers a bounded number of names; one that was
// forgotten, because so many others asked since, starts with a full bucket.
type Rates struct {
	perSecond rate.Limit
	burst     int
	most      int
	now       func() time.Time

	mu     sync.Mutex
	byName map[string]*list.Element
	order  *list.List // of *bucket, the one asked last in front
}

type bucket struct {
	name    string
	limiter *rate.Limiter
}

// NewRates allows each name perSecond requests a second, on average, and burst at
// once; it remembers at most the given number of names.
func NewRates(perSecond float64, burst, names int) (*Rates, error) {
	if !(perSecond > 0) || math.IsInf(perSecond, 0) || burst < 1 || names < 1 {
		return nil, fmt.Errorf("%w: %v requests a second, %d at once, %d names; all must be above 0", ErrLimit, perSecond, burst, names)
	}
	return &Rates{perSecond: rate.Limit(perSecond), burst: burst, most: names, now: time.Now, byName: map[string]*list.Element{}, order: list.New()}, nil
}

// Take takes one token of a name, or returns how long until there is one.
func (r *Rates) Take(name string) (wait time.Duration) {
	now := r.now()
	reservation := r.of(name).ReserveN(now, 1)
	if wait = reservation.DelayFrom(now); wait > 0 {
		reservation.CancelAt(now) // who is refused pays nothing
	}
	return wait
}

// of returns the bucket of a name and forgets the one that was not asked for longest.
func (r *Rates) of(name string) *rate.Limiter {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e, known := r.byName[name]; known {
		r.order.MoveToFront(e)
		return e.Value.(*bucket).limiter
	}
	if r.order.Len() >= r.most {
		oldest := r.order.Back()
		delete(r.byName, oldest.Value.(*bucket).name)
		r.order.Remove(oldest)
	}
	b := &bucket{name: name, limiter: rate.NewLimiter(r.perSecond, r.burst)}
	r.byName[name] = r.order.PushFront(b)
	return b.limiter
}

// RetryAfter is a wait as the header Retry-After says it: whole seconds, at least 1.
func RetryAfter(wait time.Duration) int {
	return int(max(1, math.Ceil(wait.Seconds())))
}
