package load

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// The fake clock stands still while anything computes: times below are exact.
const near = 1e-6 // ms

func same(a, b float64) bool { return math.Abs(a-b) < near }

// A service that stalls for five seconds is asked at the moments planned, and every
// request that fell into the stall counts its wait.
func TestOpenLoopKeepsItsSchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		cfg := f.config()
		cfg.Rate, cfg.Duration, cfg.Warmup = 20, 60*time.Second, 5*time.Second
		var lines []string
		cfg.Progress = func(line string) { lines = append(lines, line) }
		begin := time.Now()
		stalls, goesOn := begin.Add(25*time.Second), begin.Add(30*time.Second)
		f.script = func(_ int, r *http.Request) error {
			if now := time.Now(); now.After(stalls) && now.Before(goesOn) {
				nap(r, goesOn.Sub(now))
			}
			nap(r, 5*time.Millisecond)
			return nil
		}
		r := mustRun(t, cfg, nil)
		plan := due(cfg, 65*time.Second)
		var took []time.Duration
		for i, at := range plan {
			if got := f.asked[i].at.Sub(begin); got != at {
				t.Fatalf("request %d was asked at %s, planned at %s", i, got, at)
			}
			if at < cfg.Warmup {
				continue
			}
			d := 5 * time.Millisecond
			if at > 25*time.Second && at < 30*time.Second {
				d += 30*time.Second - at
			}
			took = append(took, d)
		}
		slices.Sort(took)
		n := len(took)
		row := r.Total
		if row.Asked != n || row.Answered != n || !same(row.PerSecond, float64(n)/60) || len(row.Errors) != 0 {
			t.Errorf("asked %d, answered %d, %g per second, errors %v; want %d", row.Asked, row.Answered, row.PerSecond, row.Errors, n)
		}
		for p, got := range map[float64]float64{0.5: row.P50.Value, 0.9: row.P90.Value, 0.99: row.P99.Value, 0.999: row.P999.Value, 1: row.Max} {
			if want := ms(took[int(math.Ceil(p*float64(n)))-1]); !same(got, want) {
				t.Errorf("quantile %g is %g ms, want %g", p, got, want)
			}
		}
		if row.P50.Value != 5 || row.P99.Value < 1000 || row.P99.Interval == nil {
			t.Errorf("the stall does not show: %+v", row)
		}
		good := len(slices.DeleteFunc(slices.Clone(took), func(d time.Duration) bool { return d > cfg.SLO }))
		if !same(row.Within.Value, float64(good)/float64(n)) || !same(row.Goodput, float64(good)/60) || good == n {
			t.Errorf("%g within the limit, %g per second; want %d of %d", row.Within.Value, row.Goodput, good, n)
		}
		if r.Late.Max != 0 || r.Interrupted || r.Seconds != 60 || r.Models["v1"] != n || !r.Started.Equal(begin.Add(5*time.Second)) {
			t.Errorf("%+v", r)
		}
		if len(lines) != 7 || !strings.Contains(lines[1], "5s measuring") || !strings.Contains(lines[3], "under way") || !strings.Contains(lines[2], "p50 5.0 ms") {
			t.Errorf("progress: %q", lines)
		}
	})
}

// If the load itself is late in asking, the request counts from when it was due.
func TestLateRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		cfg := f.config()
		cfg.Clients = 1
		w, err := readWorld(t.Context(), mustClient(t, cfg), cfg)
		if err != nil {
			t.Fatal(err)
		}
		g := &generator{cfg: cfg, client: mustClient(t, cfg), world: w, slots: make(chan struct{}, 1), models: map[string]int{}, zero: time.Now()}
		time.Sleep(400 * time.Millisecond)
		f.script = func(_ int, r *http.Request) error { nap(r, 5*time.Millisecond); return nil }
		g.one(t.Context(), 0, g.zero.Add(100*time.Millisecond))
		if want := (answer{due: 100 * time.Millisecond, late: 300 * time.Millisecond, took: 305 * time.Millisecond}); len(g.answers) != 1 || g.answers[0] != want {
			t.Errorf("%+v, want %+v", g.answers, want)
		}
	})
}

// The load goes on until the last measured request has ended, and what it asks then
// does not count.
func TestCoolDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		cfg := f.config()
		cfg.Rate, cfg.Duration = 10, 10*time.Second
		begin := time.Now()
		f.script = func(_ int, r *http.Request) error { nap(r, 3*time.Second); return nil }
		r := mustRun(t, cfg, nil)
		counted := len(due(cfg, 10*time.Second))
		last := due(cfg, 10*time.Second)[counted-1] + 3*time.Second
		all := len(due(cfg, last))
		if r.Total.Asked != counted || r.Total.P50.Value != 3000 || r.Total.Max != 3000 {
			t.Errorf("%d counted, p50 %g; want %d", r.Total.Asked, r.Total.P50.Value, counted)
		}
		// The next moment after the last answer is planned, found to be too late, and not asked.
		if n := len(f.asked); n != all && n != all+1 {
			t.Errorf("%d asked until %s, want about %d", n, time.Since(begin), all)
		}
	})
}

// Requests beyond the connections wait for one, and the wait counts; who gets none in
// time has timed out after exactly the time limit.
func TestConnectionsAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		cfg := f.config()
		cfg.Rate, cfg.Duration, cfg.Timeout = 10, 10*time.Second, 4*time.Second
		cfg.Progress = func(string) {}
		f.script = func(_ int, r *http.Request) error { nap(r, time.Second); return nil }
		w, err := readWorld(t.Context(), mustClient(t, cfg), cfg)
		if err != nil {
			t.Fatal(err)
		}
		g := &generator{cfg: cfg, client: mustClient(t, cfg), world: w, slots: make(chan struct{}, 1), models: map[string]int{}, written: ledger{}}
		g.run(t.Context(), &watch{}, nil)
		slices.SortFunc(g.answers, func(a, b answer) int { return cmp.Compare(a.due, b.due) })
		ends := map[outcome]int{}
		free := time.Duration(0) // when the connection is
		for i, a := range g.answers {
			want, start := answer{due: a.due, outcome: timedOut, took: cfg.Timeout}, max(a.due, free)
			if start+time.Second < a.due+cfg.Timeout {
				want.outcome, want.took = answered, start+time.Second-a.due
			}
			if start < a.due+cfg.Timeout {
				free = a.due + want.took
			}
			ends[a.outcome]++
			if a != want {
				t.Fatalf("request %d: %+v, want %+v", i, a, want)
			}
		}
		if ends[answered] < 4 || ends[timedOut] < 80 {
			t.Errorf("ends %v", ends)
		}
	})
}

func TestClosedLoop(t *testing.T) {
	for clients, want := range map[int]int{1: 500, 4: 2000} {
		synctest.Test(t, func(t *testing.T) {
			f := newFake()
			cfg := f.config()
			cfg.Clients, cfg.Duration, cfg.Warmup = clients, 10*time.Second, 2*time.Second
			f.script = func(_ int, r *http.Request) error { nap(r, 20*time.Millisecond); return nil }
			row := mustRun(t, cfg, nil).Total
			if row.Asked != want || row.P50.Value != 20 || row.Max != 20 || !same(row.PerSecond, float64(want)/10) || row.Within.Value != 1 {
				t.Errorf("%d clients: %+v, want %d answers of 20 ms", clients, row, want)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) { // a client stays away after a failure
		f := newFake()
		cfg := f.config()
		cfg.Clients, cfg.Duration = 1, 10*time.Second
		f.script = func(int, *http.Request) error { return errRefused }
		row := mustRun(t, cfg, nil).Total
		if row.Asked != 200 || row.Errors["connection"] != 200 || row.Within.Value != 0 || row.Answered != 0 {
			t.Errorf("%+v, want 200 failed connections", row)
		}
	})
}

// Each end of a request is counted once, by its kind.
func TestErrorsAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		cfg := f.config()
		cfg.Clients, cfg.Duration, cfg.Timeout = 1, 10*time.Second, 2*time.Second
		ends := map[int]error{0: status(429), 1: status(503), 2: status(503), 3: errRefused, 4: errHTML, 5: status(500), 7: status(307), 8: context.Canceled}
		f.script = func(n int, r *http.Request) error {
			if n == 6 {
				nap(r, time.Hour)
			}
			if n > 8 {
				nap(r, time.Second)
			}
			return ends[n]
		}
		row := mustRun(t, cfg, nil).Total
		want := map[string]int{"429": 1, "503": 2, "connection": 2, "wrong answer": 2, "500": 1, "timeout": 1}
		failed := 0
		for _, n := range row.Errors {
			failed += n
		}
		if !maps.Equal(row.Errors, want) || row.Asked != row.Answered+failed || row.Answered != 8 || !same(row.Within.Value, 0) {
			t.Errorf("%+v, want errors %v", row, want)
		}
	})
}

// Failed connections count apart in an announced window and nowhere else; an error
// status counts everywhere.
func TestAnnouncedWindows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		cfg := f.config()
		cfg.Rate, cfg.Duration = 10, 60*time.Second
		begin := time.Now()
		f.script = func(int, *http.Request) error {
			switch at := time.Since(begin); {
			case at > 10*time.Second && at < 15*time.Second, at > 40*time.Second && at < 42*time.Second:
				return errRefused
			case at > 15*time.Second && at < 16*time.Second, at > 43*time.Second && at < 44*time.Second:
				return status(503) // it listens before it can answer
			case at > 16*time.Second && at < 17*time.Second:
				return status(500) // never expected
			}
			return nil
		}
		announce := make(chan Window)
		go func() { // after it began, as one who kills the service does
			time.Sleep(11 * time.Second)
			announce <- Window{From: begin.Add(10 * time.Second), To: begin.Add(17 * time.Second), Why: "kill"}
		}()
		r := mustRun(t, cfg, announce)
		count := func(from, to time.Duration) int {
			return len(slices.DeleteFunc(due(cfg, 60*time.Second), func(d time.Duration) bool { return d < from || d > to }))
		}
		row := r.Total
		apart, wrong := count(10*time.Second, 16*time.Second), count(16*time.Second, 17*time.Second)
		refused, busy := count(40*time.Second, 42*time.Second), count(43*time.Second, 44*time.Second)
		if row.Announced != apart || row.Errors["connection"] != refused || row.Errors["503"] != busy || row.Errors["500"] != wrong || row.Asked != row.Answered+apart+refused+busy+wrong || wrong == 0 || apart == 0 || refused == 0 || busy == 0 {
			t.Errorf("%+v; want %d announced, %d refused, %d busy, %d wrong", row, apart, refused, busy, wrong)
		}
		if want := float64(row.Answered) / float64(row.Asked-apart); !same(row.Within.Value, want) {
			t.Errorf("%g within the limit, want %g", row.Within.Value, want)
		}
		if len(r.Windows) != 1 || r.Windows[0] != (Announced{From: 10, To: 17, Why: "kill"}) {
			t.Errorf("windows %v", r.Windows)
		}
	})
}

// An interrupt gives the result so far, with the requests that were under way.
func TestInterrupt(t *testing.T) {
	for _, c := range []struct {
		name    string
		rate    float64
		clients int
	}{{"open", 10, 0}, {"closed", 0, 2}} {
		synctest.Test(t, func(t *testing.T) {
			f := newFake()
			cfg := f.config()
			cfg.Rate, cfg.Clients, cfg.Warmup = c.rate, c.clients, 5*time.Second
			f.script = func(_ int, r *http.Request) error { nap(r, 700*time.Millisecond); return nil }
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(25*time.Second, cancel)
			begin := time.Now()
			r, err := Run(ctx, cfg, nil)
			if err != nil {
				t.Fatal(err)
			}
			if d := time.Since(begin); d < 25*time.Second || d > 26*time.Second {
				t.Errorf("%s: ended after %s", c.name, d)
			}
			if !r.Interrupted || r.Seconds < 20 || r.Seconds > 20.7 || r.Asked != 60 || r.Total.Asked != r.Total.Answered || r.Total.Answered < 50 || r.Total.Max != 700 {
				t.Errorf("%s: %+v", c.name, r)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		cfg := f.config()
		cfg.Rate, cfg.Warmup = 10, 5*time.Second
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(3*time.Second, cancel)
		if r, err := Run(ctx, cfg, nil); !errors.Is(err, ErrInterrupted) {
			t.Errorf("an interrupt in the warm-up: %v, %v", r, err)
		}
	})
}

// Every kind goes to its route, and answers that fall short are seen.
func TestKinds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		cfg := f.config()
		cfg.Rate, cfg.Duration, cfg.Candidates = 50, 20*time.Second, 30
		cfg.Mix = Mix{Recommend: 4, Rank: 3, Similar: 1, Explain: 1, Actions: 1}
		r := mustRun(t, cfg, nil)
		paths := map[string]int{}
		for _, a := range f.asked[:r.Total.Asked] {
			paths[strings.TrimPrefix(a.path, "/v1/")]++
		}
		sum := 0
		for _, row := range r.Kinds {
			if row.Asked != paths[row.Kind] || row.Asked != row.Answered || row.Asked == 0 {
				t.Errorf("%s: %+v, %d arrived", row.Kind, row, paths[row.Kind])
			}
			sum += row.Asked
		}
		if len(r.Kinds) != 5 || sum != r.Total.Asked || r.Total.Fallback != paths["rank"] || r.Writes != nil {
			t.Errorf("%d kinds, %d of %d, %d fallbacks of %d", len(r.Kinds), sum, r.Total.Asked, r.Total.Fallback, paths["rank"])
		}
	})
}

// The same seed asks the same things at the same moments; another asks others.
func TestSeed(t *testing.T) {
	ask := func(seed uint64, slow time.Duration) (out []string) {
		synctest.Test(t, func(t *testing.T) {
			f := newFake()
			cfg := f.config()
			cfg.Rate, cfg.Duration, cfg.Seed, cfg.Candidates = 20, 10*time.Second, seed, 5
			cfg.Mix = Mix{Recommend: 1, Rank: 1, Similar: 1, Explain: 1, Actions: 1}
			f.script = func(_ int, r *http.Request) error { nap(r, slow); return nil }
			begin := time.Now()
			n := mustRun(t, cfg, nil).Total.Asked
			for _, a := range f.asked[:n] {
				out = append(out, fmt.Sprint(a.at.Sub(begin), a.path, a.body))
			}
		})
		return out
	}
	first := ask(3, 0)
	if again := ask(3, 2*time.Second); !slices.Equal(first, again) {
		t.Error("the same seed asked otherwise, of a slow service")
	}
	if other := ask(4, 0); len(first) < 100 || slices.Equal(first, other) {
		t.Errorf("another seed asked the same %d requests", len(first))
	}
}
