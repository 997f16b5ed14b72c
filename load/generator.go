package load

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/whereto/whereto/api"
	"github.com/whereto/whereto/client"
)

// outcome is how a request ended: 0 with an answer, positive with the HTTP status of
// an error, negative without either.
type outcome int16

const (
	answered outcome = -iota
	noConnection
	timedOut
	wrongAnswer
	rejected // a write that the service understood and did not take
)

func (o outcome) String() string {
	switch o {
	case answered:
		return "answered"
	case noConnection:
		return "connection"
	case timedOut:
		return "timeout"
	case wrongAnswer:
		return "wrong answer"
	case rejected:
		return "rejected"
	}
	return strconv.Itoa(int(o))
}

// answer is what is remembered of a request. Times count from the start of the
// measured window; those of the warm-up are negative.
type answer struct {
	due      time.Duration // when it should have been asked
	late     time.Duration // how much later it was: the load's own fault
	took     time.Duration // from due to the end
	outcome  outcome
	kind     int8
	fallback bool // something simpler than the model answered
}

// generator is one run under way.
type generator struct {
	cfg    Config
	client *client.Client // asks once
	world  *world
	slots  chan struct{} // one for each connection
	label  string        // of the ids of written actions
	zero   time.Time     // the measured window begins

	mu      sync.Mutex
	asked   int // requests begun
	pending int // measured requests that have not ended
	answers []answer
	models  map[string]int // answers by the version that gave them
	written ledger
	full    bool      // maxRequests was reached
	stopped time.Time // when the load stopped asking
}

// run puts the load on and returns the windows that were announced meanwhile.
func (g *generator) run(ctx context.Context, watch *watch, announce <-chan Window) []Window {
	begin := time.Now()
	g.zero = begin.Add(g.cfg.Warmup)
	g.label = begin.UTC().Format("20060102T150405.000")
	stop := make(chan struct{})
	var side sync.WaitGroup
	var windows []Window
	side.Go(func() { windows = collect(announce, stop) })
	side.Go(func() { watch.run(stop, g.zero) })
	side.Go(func() { g.report(stop) })
	if g.cfg.Rate > 0 {
		g.open(ctx, begin)
	} else {
		g.closed(ctx)
	}
	close(stop)
	side.Wait()
	return windows
}

// collect reads windows until stop, and those that are still waiting then.
func collect(announce <-chan Window, stop <-chan struct{}) (out []Window) {
	for {
		select {
		case w, ok := <-announce:
			if !ok {
				return out
			}
			out = append(out, w)
			continue
		default:
		}
		select {
		case w, ok := <-announce:
			if !ok {
				return out
			}
			out = append(out, w)
		case <-stop:
			return out
		}
	}
}

// open asks at the moments of a Poisson process, however the service does.
func (g *generator) open(ctx context.Context, due time.Time) {
	var all sync.WaitGroup
	defer all.Wait()
	defer g.stop()
	moments := arrivals(g.cfg.Seed)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for i := 0; ; i++ {
		due = due.Add(time.Duration(moments.ExpFloat64() / g.cfg.Rate * float64(time.Second)))
		if g.over(due) {
			return
		}
		timer.Reset(time.Until(due))
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		g.begin(due)
		at := due
		all.Go(func() { g.one(ctx, i, at) })
	}
}

// afterFailure is how long a client of a closed loop stays away after a failure, as
// any caller would: else a service that is down would get all the load there can be.
const afterFailure = 50 * time.Millisecond

// closed keeps the clients busy.
func (g *generator) closed(ctx context.Context) {
	var number atomic.Int64
	var all sync.WaitGroup
	for range g.cfg.Clients {
		all.Go(func() {
			for {
				due := time.Now()
				if g.over(due) || ctx.Err() != nil {
					g.stop()
					return
				}
				g.begin(due)
				if g.one(ctx, int(number.Add(1)-1), due) != answered {
					pause(ctx, afterFailure)
				}
			}
		})
	}
	all.Wait()
}

// pause waits for d or the end of the context.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// measured says whether a request due then counts.
func (g *generator) measured(due time.Duration) bool { return due >= 0 && due < g.cfg.Duration }

// share is how much of the load is over, 1 in the cool-down.
func (g *generator) share(due time.Duration) float64 {
	return min(1, float64(due+g.cfg.Warmup)/float64(g.cfg.Duration+g.cfg.Warmup))
}

// over says whether the load need not go on: the window is past and nothing that
// counts is under way.
func (g *generator) over(due time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.asked >= maxRequests {
		g.full = true
	}
	return g.full || due.Sub(g.zero) >= g.cfg.Duration && g.pending == 0
}

// stop remembers when the load stopped asking.
func (g *generator) stop() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.stopped.IsZero() {
		g.stopped = time.Now()
	}
}

func (g *generator) begin(due time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.asked++
	if g.measured(due.Sub(g.zero)) {
		g.pending++
	}
}

// one asks request i and remembers how it ended. The end of ctx does not break it off:
// a request cut short says nothing about the service.
func (g *generator) one(ctx context.Context, i int, due time.Time) outcome {
	a := answer{due: due.Sub(g.zero), late: time.Since(due)}
	ctx, cancel := context.WithDeadline(context.WithoutCancel(ctx), due.Add(g.cfg.Timeout))
	defer cancel()
	q := g.world.draw(g.cfg, g.label, i, g.share(a.due))
	a.kind = int8(q.kind.number())
	var model string
	err := context.DeadlineExceeded // of a request that never got a connection
	select {
	case g.slots <- struct{}{}:
		model, a.fallback, err = g.send(ctx, q)
		<-g.slots
	case <-ctx.Done():
	}
	a.took, a.outcome = time.Since(due), outcomeOf(err)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.answers = append(g.answers, a)
	if g.measured(a.due) {
		g.pending--
		if model != "" {
			g.models[model]++
		}
	}
	if q.kind == Actions && a.outcome == answered && g.cfg.VerifyWrites {
		g.written.add(q.action.User, q.action.ID)
	}
	return a.outcome
}

var errRejected = errors.New("the action was rejected")

// send asks, and says which model answered and whether it had to be replaced.
func (g *generator) send(ctx context.Context, q request) (model string, fallback bool, err error) {
	switch q.kind {
	case Recommend:
		r, err := g.client.Recommend(ctx, api.RecommendRequest{Who: q.who, K: answersAsked})
		return r.Version.Model, r.Source.Kind == "fallback", err
	case Rank:
		r, err := g.client.Rank(ctx, api.RankRequest{Who: q.who, Candidates: q.candidates})
		if err == nil && len(r.Places) != len(q.candidates) {
			err = fmt.Errorf("%w: %d places for %d candidates", client.ErrAnswer, len(r.Places), len(q.candidates))
		}
		return r.Version.Model, r.Source.Kind == "fallback", err
	case Similar:
		r, err := g.client.Similar(ctx, api.SimilarRequest{POI: q.poi, K: answersAsked})
		return r.Version.Model, false, err
	case Explain:
		r, err := g.client.Explain(ctx, api.ExplainRequest{Who: q.who, K: answersAsked})
		return r.Version.Model, false, err
	}
	r, err := g.client.PutActions(ctx, client.Each([]api.Action{q.action}))
	if err == nil && r.Refused > 0 {
		err = errRejected
	}
	return "", false, err
}

func outcomeOf(err error) outcome {
	var p *client.Problem
	switch {
	case err == nil:
		return answered
	case errors.As(err, &p):
		return outcome(p.Status)
	case errors.Is(err, context.DeadlineExceeded):
		return timedOut
	case errors.Is(err, client.ErrAnswer):
		return wrongAnswer
	case errors.Is(err, errRejected):
		return rejected
	}
	return noConnection
}

const reportEvery = 10 * time.Second

// report gives a line of progress every ten seconds.
func (g *generator) report(stop <-chan struct{}) {
	tick := time.NewTicker(reportEvery)
	defer tick.Stop()
	seen := 0
	for {
		select {
		case <-stop:
			return
		case now := <-tick.C:
			var line string
			line, seen = g.progress(now.Sub(g.zero), seen)
			g.cfg.Progress(line)
		}
	}
}

// progress describes what ended since the first seen answers.
func (g *generator) progress(at time.Duration, seen int) (string, int) {
	g.mu.Lock()
	news, underway, total := slices.Clone(g.answers[seen:]), g.asked-len(g.answers), len(g.answers)
	g.mu.Unlock()
	part := "measuring"
	switch {
	case at < 0:
		part = "warming up"
	case at > g.cfg.Duration:
		part = "cooling down"
	}
	var took []time.Duration
	failed := map[string]int{}
	for _, a := range news {
		if a.outcome == answered {
			took = append(took, a.took)
		} else {
			failed[a.outcome.String()]++
		}
	}
	slices.Sort(took)
	line := fmt.Sprintf("%s %s: %.1f answers/s", at.Round(time.Second), part, float64(len(took))/reportEvery.Seconds())
	if len(took) > 0 {
		line += fmt.Sprintf(", p50 %.1f ms, p99 %.1f ms", ms(quantile(took, 0.5)), ms(quantile(took, 0.99)))
	}
	for _, what := range slices.Sorted(maps.Keys(failed)) {
		line += fmt.Sprintf(", %d failed (%s)", failed[what], what)
	}
	return fmt.Sprintf("%s, %d under way", line, underway), total
}
