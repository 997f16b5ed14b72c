package judge

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"

	"github.com/whereto/whereto/metric"
	"github.com/whereto/whereto/poi"
)

// Options are the settings of Compare.
type Options struct {
	A, B      string           // names of the systems, for tables only
	Workers   int              // cases judged at once; 0: as many as processors
	Bootstrap metric.Bootstrap // its Cluster is set by Compare: whole users are drawn
	// Progress, if set, is called after each case, one call at a time.
	Progress func(done, total int)
}

const (
	maxWorkers = 256
	// stopAfter: if that many cases failed and none succeeded, the judge is broken.
	stopAfter = 5
)

// Result is the comparison of system A with system B by one judge.
type Result struct {
	Judge string `json:"judge"`
	A     string `json:"a"`
	B     string `json:"b"`
	Cases int    `json:"cases"`
	// Failed cases have no verdict and are in no share.
	Failed int `json:"failed"`
	// Identical cases have equal lists: even, without a second question.
	Identical int `json:"identical"`
	// SwayedSystem and SwayedPOI count cases on which the verdicts before and after
	// the exchange of the lists disagreed; they are even.
	SwayedSystem int             `json:"swayed_system"`
	SwayedPOI    int             `json:"swayed_poi"`
	System       Shares          `json:"system_level"`
	POI          Shares          `json:"poi_level"`
	FitsA        metric.Interval `json:"fits_a"` // mean share of A's places that suit
	FitsB        metric.Interval `json:"fits_b"`
	Rows         []Row           `json:"rows"` // in order of the cases
	Resamples    int             `json:"resamples"`
	Seed         int64           `json:"seed"`
}

// Shares are parts of the judged cases, from A's side, with 95 % bootstrap
// intervals. Net is Win minus Lose.
type Shares struct {
	Win  metric.Interval `json:"win"`
	Even metric.Interval `json:"even"`
	Lose metric.Interval `json:"lose"`
	Net  metric.Interval `json:"net"`
}

// Row is one case of a Result.
type Row struct {
	ID     string  `json:"id"`
	User   int32   `json:"user"`
	Failed string  `json:"failed,omitempty"` // why there is no verdict
	System Outcome `json:"system"`
	POI    Outcome `json:"poi"`
	// FitsA and FitsB are the shares of places that suit, over both verdicts.
	FitsA        float64 `json:"fits_a"`
	FitsB        float64 `json:"fits_b"`
	SwayedSystem bool    `json:"swayed_system,omitempty"`
	SwayedPOI    bool    `json:"swayed_poi,omitempty"`
	Identical    bool    `json:"identical,omitempty"`
}

// Compare has every case judged and sums up. Without one judged case it is an error
// that wraps poi.ErrEmpty. After an error, answers that a Model's Asker keeps on
// disk are not asked for again.
func Compare(ctx context.Context, j Judge, cases []Case, opt Options) (*Result, error) {
	opt.Workers = cmp.Or(opt.Workers, runtime.GOMAXPROCS(0))
	if len(cases) == 0 {
		return nil, fmt.Errorf("compare by %s: %w: no cases", j.Name(), poi.ErrEmpty)
	}
	if opt.Workers < 1 || opt.Workers > maxWorkers {
		return nil, fmt.Errorf("compare by %s: %w: %d workers, want 1 to %d", j.Name(), poi.ErrBadInput, opt.Workers, maxWorkers)
	}
	for _, c := range cases {
		if err := c.check(); err != nil {
			return nil, fmt.Errorf("compare by %s: %w", j.Name(), err)
		}
	}
	rows, err := judgeAll(ctx, j, cases, opt)
	if err != nil {
		return nil, fmt.Errorf("compare by %s: %w", j.Name(), err)
	}
	return sumUp(j.Name(), rows, opt)
}

// judgeAll fills a row for each case. The first error that is not of one case ends
// it.
func judgeAll(ctx context.Context, j Judge, cases []Case, opt Options) ([]Row, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	rows := make([]Row, len(cases))
	var mu sync.Mutex
	next, done, failed := 0, 0, 0
	take := func() int {
		mu.Lock()
		defer mu.Unlock()
		next++
		return next - 1
	}
	finish := func(row Row, err error) {
		mu.Lock()
		defer mu.Unlock()
		if done++; row.Failed != "" {
			failed++
		}
		switch {
		case err != nil && !errors.Is(err, ErrNoVerdict):
			cancel(fmt.Errorf("%d of %d cases done: %w", done-1, len(cases), err))
		case failed >= stopAfter && failed == done:
			cancel(fmt.Errorf("the first %d cases all failed, so the judge does not work: %w", failed, err))
		case opt.Progress != nil:
			opt.Progress(done, len(cases))
		}
	}
	var wg sync.WaitGroup
	for range min(opt.Workers, len(cases)) {
		wg.Go(func() {
			for i := take(); i < len(cases) && ctx.Err() == nil; i = take() {
				row, err := judgeOne(ctx, j, cases[i])
				rows[i] = row
				finish(row, err)
			}
		})
	}
	wg.Wait()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return rows, nil
}

// judgeOne asks twice, with the lists exchanged the second time.
func judgeOne(ctx context.Context, j Judge, c Case) (Row, error) {
	row := Row{ID: c.ID, User: c.Query.User}
	fail := func(err error) (Row, error) {
		row.Failed = err.Error()
		return row, err
	}
	first, err := verdictOf(ctx, j, c)
	if err != nil {
		return fail(err)
	}
	a1, b1 := first.count()
	if c.same() {
		// The comparison is known; one question tells how many places suit.
		row.Identical = true
		row.FitsA = float64(a1) / float64(len(c.A))
		row.FitsB = row.FitsA
		return row, nil
	}
	second, err := verdictOf(ctx, j, c.Swapped())
	if err != nil {
		return fail(err)
	}
	b2, a2 := second.count()
	row.System, row.SwayedSystem = agree(first.System, -second.System)
	row.POI, row.SwayedPOI = agree(Outcome(cmp.Compare(a1, b1)), Outcome(cmp.Compare(a2, b2)))
	row.FitsA = float64(a1+a2) / float64(2*len(c.A))
	row.FitsB = float64(b1+b2) / float64(2*len(c.B))
	return row, nil
}

// verdictOf checks the verdict's size: Judge is an interface that others implement.
func verdictOf(ctx context.Context, j Judge, c Case) (Verdict, error) {
	v, err := j.Judge(ctx, c)
	if err != nil {
		return v, err
	}
	if len(v.A) != len(c.A) || len(v.B) != len(c.B) || v.System < Lose || v.System > Win {
		return v, fmt.Errorf("case %s: %w: a verdict %d on %d and %d places, the case has %d and %d", c.ID, ErrNoVerdict, v.System, len(v.A), len(v.B), len(c.A), len(c.B))
	}
	return v, nil
}

func agree(x, y Outcome) (o Outcome, swayed bool) {
	if x == y {
		return x, false
	}
	return Even, true
}

// sumUp counts rows and draws the intervals.
func sumUp(name string, rows []Row, opt Options) (*Result, error) {
	b := opt.Bootstrap
	b.Cluster = nil
	r := &Result{Judge: name, A: opt.A, B: opt.B, Cases: len(rows), Rows: rows, Seed: b.Seed, Resamples: cmp.Or(b.Resamples, metric.DefaultResamples)}
	cols := make([][]float64, 10)
	var why string
	for _, row := range rows {
		if row.Failed != "" {
			r.Failed++
			why = row.Failed
			continue
		}
		r.Identical += one(row.Identical)
		r.SwayedSystem += one(row.SwayedSystem)
		r.SwayedPOI += one(row.SwayedPOI)
		b.Cluster = append(b.Cluster, row.User)
		values := append(parts(row.System), parts(row.POI)...)
		for c, x := range append(values, row.FitsA, row.FitsB) {
			cols[c] = append(cols[c], x)
		}
	}
	if r.Failed == len(rows) {
		return nil, fmt.Errorf("compare by %s: %w: all %d cases failed; the last one: %s", name, poi.ErrEmpty, r.Failed, why)
	}
	v, err := b.Means(cols)
	if err != nil {
		return nil, fmt.Errorf("compare by %s: %w", name, err)
	}
	r.System, r.POI = Shares{v[0], v[1], v[2], v[3]}, Shares{v[4], v[5], v[6], v[7]}
	r.FitsA, r.FitsB = v[8], v[9]
	return r, nil
}

// parts are win, even, lose and net of one case.
func parts(o Outcome) []float64 {
	return []float64{float64(one(o == Win)), float64(one(o == Even)), float64(one(o == Lose)), float64(o)}
}

func one(b bool) int {
	if b {
		return 1
	}
	return 0
}
