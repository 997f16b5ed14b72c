package guard

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// ErrBusy is returned when a gate is full.
var ErrBusy = errors.New("busy")

// BusyError is ErrBusy with a suggestion.
type BusyError struct {
	Wait time.Duration // after which a place is likely; at least a second
	Why  string
}

// Error says why.
func (e *BusyError) Error() string {
	return fmt.Sprintf("%v: %s; try again in %d s", ErrBusy, e.Why, RetryAfter(e.Wait))
}

// Unwrap returns ErrBusy.
func (e *BusyError) Unwrap() error { return ErrBusy }

// longestWait bounds what a gate suggests.
const longestWait = time.Minute

// Gate lets a bounded number of requests run and a bounded number wait for them, in
// the order they came.
type Gate struct {
	slots    chan struct{}
	queue    int64
	patience time.Duration
	inside   atomic.Int64 // running and waiting

	mu   sync.Mutex
	hold float64 // seconds a request runs, a moving mean
}

// NewGate lets running requests run at once and queue more wait, each at most patience.
func NewGate(running, queue int, patience time.Duration) (*Gate, error) {
	if running < 1 || queue < 0 || queue > 0 && patience <= 0 {
		return nil, fmt.Errorf("%w: %d requests at once, %d waiting for at most %v; want at least 1, at least 0 and a time above 0", ErrLimit, running, queue, patience)
	}
	return &Gate{slots: make(chan struct{}, running), queue: int64(queue), patience: patience}, nil
}

// Acquire waits for a place and returns what gives it back; calling that again does
// nothing. The error is a *BusyError if too many wait already or patience ran out, or
// that of a context that ended first.
func (g *Gate) Acquire(ctx context.Context) (release func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("wait for a place: %w", err)
	}
	if g.inside.Add(1) > int64(cap(g.slots))+g.queue {
		g.inside.Add(-1)
		return nil, g.busy("%d requests run and %d wait already", cap(g.slots), g.queue)
	}
	select {
	case g.slots <- struct{}{}:
		return g.release(), nil
	default:
	}
	timer := time.NewTimer(g.patience)
	defer timer.Stop()
	select {
	case g.slots <- struct{}{}: // those who wait to send are served in order
		return g.release(), nil
	case <-ctx.Done():
		g.inside.Add(-1)
		return nil, fmt.Errorf("wait for a place: %w", ctx.Err())
	case <-timer.C:
		g.inside.Add(-1)
		return nil, g.busy("no place came free in %v", g.patience)
	}
}

func (g *Gate) release() func() {
	var once sync.Once
	start := time.Now()
	return func() {
		once.Do(func() {
			g.learn(time.Since(start))
			<-g.slots
			g.inside.Add(-1)
		})
	}
}

// learn updates the mean time a request runs.
func (g *Gate) learn(ran time.Duration) {
	const weight = 0.05 // of one request: some twenty are remembered
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.hold == 0 {
		g.hold = ran.Seconds()
		return
	}
	g.hold += weight * (ran.Seconds() - g.hold)
}

// busy suggests to wait until those inside are likely through.
func (g *Gate) busy(why string, args ...any) error {
	g.mu.Lock()
	hold := g.hold
	g.mu.Unlock()
	seconds := hold * float64(g.inside.Load()) / float64(cap(g.slots))
	seconds = math.Min(longestWait.Seconds(), math.Max(1, seconds))
	return &BusyError{Wait: time.Duration(seconds * float64(time.Second)), Why: fmt.Sprintf(why, args...)}
}

// Load returns how many requests run and how many wait.
func (g *Gate) Load() (running, waiting int) {
	running = len(g.slots)
	return running, max(0, int(g.inside.Load())-running)
}
