package recommend

import (
	"context"

	"github.com/whereto/whereto/poi"
)

// Together answers queries in one run of the engine; nil for all if that fails.
func (l *Live) Together(ctx context.Context, queries []poi.Query, k int) [][]poi.Ranked {
	jobs := make([]*job, len(queries))
	for i := range queries {
		jobs[i] = l.job(ctx, &queries[i], &Want{K: k})
	}
	out := make([][]poi.Ranked, len(queries))
	if l.runNow(jobs) != nil {
		return out
	}
	for i, j := range jobs {
		out[i] = l.r.choose(j.q, &j.answer, j.want)
	}
	return out
}

// HoldPasts keeps the worker that makes pasts from its work until release is called.
func (l *Live) HoldPasts() (release func()) {
	l.making.Lock()
	return l.making.Unlock
}
