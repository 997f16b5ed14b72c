package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/whereto/whereto/fit"
	"github.com/whereto/whereto/poi"
	"github.com/whereto/whereto/source"
)

// trajectoryGap ends a trajectory (docs/protocols.md, step 3).
const trajectoryGap = 24 * time.Hour

// historyQuery is a query of somebody who need not be in the data, with the
// actions of a file in the native schema. It returns how many actions were left
// out under --skip-unknown.
func historyQuery(ctx context.Context, t *fit.Trained, ask request) (poi.Query, int, error) {
	q := poi.Query{User: -1}
	actions, _, err := source.ReadAll(ctx, []string{ask.history}, source.Options{Format: source.Actions, Zone: t.Recipe.Data.Zone})
	if err != nil {
		return q, 0, fmt.Errorf("read --history: %w", err)
	}
	slices.SortStableFunc(actions, func(a, b poi.Action) int {
		return cmp.Compare(a.TimeMS+int64(a.OffsetMin)*60_000, b.TimeMS+int64(b.OffsetMin)*60_000)
	})
	skipped := 0
	for i := range actions {
		a := &actions[i]
		if a.User != actions[0].User {
			return q, 0, fmt.Errorf("--history %s has actions of %q and %q: %w; give the actions of one person", ask.history, actions[0].User, a.User, poi.ErrBadInput)
		}
		v, err := visitOf(t, a)
		switch {
		case err == nil:
			q.History = append(q.History, v)
		case ask.skipUnknown:
			skipped++
		default:
			return q, 0, fmt.Errorf("--history %s: row %d: %w; correct it, or leave such rows out with --skip-unknown", ask.history, a.Seq+1, err)
		}
	}
	tagTrajectories(q.History)
	var last *poi.Visit
	if n := len(q.History); n > 0 {
		last = &q.History[n-1]
	}
	return q, skipped, ask.at(&q, last)
}

// visitOf translates an action into the run's numbers.
func visitOf(t *fit.Trained, a *poi.Action) (poi.Visit, error) {
	p, ok := t.Index.Lookup(a.POI)
	if !ok {
		return poi.Visit{}, fmt.Errorf("POI %q: %w among the %d of the run", a.POI, poi.ErrUnknownPOI, len(t.Dataset.Places))
	}
	kind := slices.Index(t.Dataset.Types, a.Type)
	if kind < 0 {
		return poi.Visit{}, fmt.Errorf("action type %q: %w: the run knows %s", a.Type, poi.ErrBadInput, strings.Join(t.Dataset.Types, ", "))
	}
	return poi.Visit{POI: p, TimeMS: a.TimeMS, OffsetMin: a.OffsetMin, Type: uint8(kind), Intent: true,
		HasUser: a.HasUser, UserLat: float32(a.UserLat), UserLng: float32(a.UserLng)}, nil
}

// tagTrajectories numbers trajectories as the split does.
func tagTrajectories(visits []poi.Visit) {
	for i := 1; i < len(visits); i++ {
		v, before := &visits[i], &visits[i-1]
		v.Traj = before.Traj
		gap := v.TimeMS - before.TimeMS + 60_000*int64(v.OffsetMin-before.OffsetMin)
		if gap > trajectoryGap.Milliseconds() {
			v.Traj++
		}
	}
}
