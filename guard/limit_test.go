package guard

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestRates(t *testing.T) {
	r, err := NewRates(2, 3, 10) // a token each half second, three at once
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(1000, 0)
	r.now = func() time.Time { return now }
	for i, want := range []time.Duration{0, 0, 0, 500 * time.Millisecond, 500 * time.Millisecond} {
		if got := r.Take("a"); got != want {
			t.Errorf("request %d of a: wait %v, want %v", i, got, want)
		}
	}
	if got := r.Take("b"); got != 0 {
		t.Errorf("b pays for a: %v", got)
	}
	now = now.Add(300 * time.Millisecond)
	if got := r.Take("a"); got != 200*time.Millisecond {
		t.Errorf("after 0.3 s: wait %v, want 200ms", got)
	}
	now = now.Add(200 * time.Millisecond)
	if first, second := r.Take("a"), r.Take("a"); first != 0 || second != 500*time.Millisecond {
		t.Errorf("after 0.5 s: waits %v and %v", first, second)
	}
	now = now.Add(time.Hour)
	for i, want := range []time.Duration{0, 0, 0, 500 * time.Millisecond} {
		if got := r.Take("a"); got != want {
			t.Errorf("after an hour, request %d: wait %v, want %v", i, got, want)
		}
	}
}

// The bucket that was asked for longest ago is forgotten, no other.
func TestRatesAreBounded(t *testing.T) {
	r, err := NewRates(0.001, 1, 3)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(1000, 0)
	r.now = func() time.Time { return now }
	for _, name := range []string{"a", "b", "c"} {
		if r.Take(name) != 0 {
			t.Errorf("%s has no token", name)
		}
	}
	if r.Take("a") == 0 { // and a is the latest now
		t.Error("a has two tokens")
	}
	if r.Take("d") != 0 {
		t.Error("d has no token")
	}
	if len(r.byName) != 3 || r.order.Len() != 3 {
		t.Errorf("%d names and %d buckets, want 3", len(r.byName), r.order.Len())
	}
	if r.Take("a") == 0 {
		t.Error("a was forgotten")
	}
	if r.Take("b") != 0 {
		t.Error("b was not forgotten")
	}
	for i := range 10_000 {
		r.Take(fmt.Sprint(i))
	}
	if len(r.byName) != 3 {
		t.Errorf("%d names, want 3", len(r.byName))
	}
}

func TestRatesTogether(t *testing.T) {
	r, err := NewRates(1e-6, 50, 4)
	if err != nil {
		t.Fatal(err)
	}
	var passed atomic.Int64
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			for range 20 {
				if r.Take("one") == 0 {
					passed.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if passed.Load() != 50 {
		t.Errorf("%d passed, want 50", passed.Load())
	}
}

func TestLimitsRefused(t *testing.T) {
	for _, c := range []struct {
		perSecond    float64
		burst, names int
	}{{0, 1, 1}, {-1, 1, 1}, {math.NaN(), 1, 1}, {math.Inf(1), 1, 1}, {1, 0, 1}, {1, 1, 0}} {
		if _, err := NewRates(c.perSecond, c.burst, c.names); !errors.Is(err, ErrLimit) {
			t.Errorf("%+v: error %v", c, err)
		}
	}
	for _, c := range []struct {
		running, queue int
		patience       time.Duration
	}{{0, 1, 1}, {1, -1, 1}, {1, 1, 0}} {
		if _, err := NewGate(c.running, c.queue, c.patience); !errors.Is(err, ErrLimit) {
			t.Errorf("%+v: error %v", c, err)
		}
	}
	for wait, want := range map[time.Duration]int{0: 1, 1: 1, time.Second: 1, time.Second + 1: 2, 90 * time.Second: 90} {
		if got := RetryAfter(wait); got != want {
			t.Errorf("RetryAfter(%v) = %d, want %d", wait, got, want)
		}
	}
}

func gate(t *testing.T, running, queue int, patience time.Duration) *Gate {
	t.Helper()
	g, err := NewGate(running, queue, patience)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func wantLoad(t *testing.T, g *Gate, running, waiting int) {
	t.Helper()
	if r, w := g.Load(); r != running || w != waiting {
		t.Errorf("%d run and %d wait, want %d and %d", r, w, running, waiting)
	}
}

// Time in these tests is that of synctest: it passes only when all wait.
func TestGateServesInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := gate(t, 2, 3, time.Minute)
		first, err := g.Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		second, err := g.Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var order []int
		var mu sync.Mutex
		for i := range 3 {
			go func() {
				release, err := g.Acquire(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				order = append(order, i)
				mu.Unlock()
				release()
			}()
			synctest.Wait()
		}
		wantLoad(t, g, 2, 3)
		if _, err := g.Acquire(t.Context()); !errors.Is(err, ErrBusy) {
			t.Errorf("the sixth: error %v", err)
		}
		first()
		first() // again: nothing
		synctest.Wait()
		wantLoad(t, g, 1, 0)
		if fmt.Sprint(order) != "[0 1 2]" {
			t.Errorf("served in the order %v", order)
		}
		second()
		wantLoad(t, g, 0, 0)
	})
}

func TestGateGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := gate(t, 1, 1, 3*time.Second)
		release, err := g.Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		var busy *BusyError
		if _, err := g.Acquire(t.Context()); !errors.As(err, &busy) || !errors.Is(err, ErrBusy) || time.Since(start) != 3*time.Second {
			t.Errorf("after %v: error %v, want busy after 3 s", time.Since(start), err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start = time.Now()
		if _, err := g.Acquire(ctx); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrBusy) || time.Since(start) != time.Second {
			t.Errorf("after %v: error %v, want the deadline after 1 s", time.Since(start), err)
		}
		if _, err := g.Acquire(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a context that is over: error %v", err)
		}
		wantLoad(t, g, 1, 0)
		release()
		if _, err := g.Acquire(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a free place for a context that is over: error %v", err)
		}
		wantLoad(t, g, 0, 0)
	})
}

// The suggestion is what the mean request takes times those before one's turn.
func TestGateSuggestsAWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := gate(t, 1, 0, 0)
		suggest := func() time.Duration {
			var busy *BusyError
			if _, err := g.Acquire(t.Context()); !errors.As(err, &busy) {
				t.Fatalf("error %v", err)
			}
			return busy.Wait
		}
		run := func(d time.Duration) {
			release, err := g.Acquire(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(d) // of synctest: no time passes outside
			release()
		}
		run(7 * time.Second)
		release, err := g.Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if got := suggest(); got != 7*time.Second {
			t.Errorf("wait %v, want 7s", got)
		}
		release()
		run(10 * time.Hour)
		if release, err = g.Acquire(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := suggest(); got != longestWait {
			t.Errorf("wait %v, want %v", got, longestWait)
		}
		release()
		quick := gate(t, 1, 0, 0)
		if release, err = quick.Acquire(t.Context()); err != nil {
			t.Fatal(err)
		}
		var busy *BusyError
		if _, err := quick.Acquire(t.Context()); !errors.As(err, &busy) || busy.Wait != time.Second {
			t.Errorf("error %v, want a wait of 1s before anything is known", err)
		}
		release()
	})
}

// Many at once: never more than allowed run, and every place comes back.
func TestGateUnderLoad(t *testing.T) {
	g := gate(t, 3, 5, time.Millisecond)
	var running, most, served, refused atomic.Int64
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			for range 100 {
				release, err := g.Acquire(context.Background())
				if err != nil {
					if !errors.Is(err, ErrBusy) {
						t.Error(err)
					}
					refused.Add(1)
					continue
				}
				n := running.Add(1)
				for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
				}
				running.Add(-1)
				served.Add(1)
				release()
			}
		})
	}
	wg.Wait()
	if most.Load() > 3 || served.Load() == 0 || served.Load()+refused.Load() != 5000 {
		t.Errorf("at most %d ran at once, %d served, %d refused", most.Load(), served.Load(), refused.Load())
	}
	wantLoad(t, g, 0, 0)
}
