package main

import (
	"context"
	"fmt"

	"github.com/whereto/whereto/fit"
	"github.com/whereto/whereto/poi"
	"github.com/whereto/whereto/recommend"
	"github.com/whereto/whereto/source"
)

// historyQuery is a query of somebody who need not be in the data, with the
// actions of a file in the native schema. It returns how many actions were left
// out under --skip-unknown.
func historyQuery(ctx context.Context, t *fit.Trained, ask request) (poi.Query, int, error) {
	q := poi.Query{User: -1}
	actions, _, err := source.ReadAll(ctx, []string{ask.history}, source.Options{Format: source.Actions, Zone: t.Recipe.Data.Zone})
	if err != nil {
		return q, 0, fmt.Errorf("read --history: %w", err)
	}
	skipped := 0
	for i := range actions {
		a := &actions[i]
		if a.User != actions[0].User {
			return q, 0, fmt.Errorf("--history %s has actions of %q and %q: %w; give the actions of one person", ask.history, actions[0].User, a.User, poi.ErrBadInput)
		}
		v, err := t.Predictor.Visit(a)
		switch {
		case err == nil:
			q.History = append(q.History, v)
		case ask.skipUnknown:
			skipped++
		default:
			return q, 0, fmt.Errorf("--history %s: row %d: %w; correct it, or leave such rows out with --skip-unknown", ask.history, a.Seq+1, err)
		}
	}
	recommend.Order(q.History)
	var last *poi.Visit
	if n := len(q.History); n > 0 {
		last = &q.History[n-1]
	}
	return q, skipped, ask.at(&q, last)
}
