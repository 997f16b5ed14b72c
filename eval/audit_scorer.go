package eval

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/whereto/whereto/poi"
)

// clone copies d as deep as the audit alters it. The fingerprint stays, see
// AuditInput.Bind.
func clone(d *poi.Dataset) *poi.Dataset {
	c := *d
	c.Users = slices.Clone(d.Users)
	for u := range c.Users {
		c.Users[u].Visits = slices.Clone(c.Users[u].Visits)
	}
	for tag := range c.Targets {
		c.Targets[tag] = slices.Clone(c.Targets[tag])
	}
	return &c
}

// alter changes all that a visit tells, but its tag and its place in the order.
// The new POI is never the old one if there are at least two.
func alter(v *poi.Visit, places int) {
	if places > 1 {
		// A step that depends on the visit, so that counts change and not just names.
		step := 1 + (uint64(v.POI)*2654435761+uint64(v.TimeMS)/1000)%uint64(places-1)
		v.POI = int32((uint64(v.POI) + step) % uint64(places))
	}
	v.TimeMS += 61 * 60_000
	v.Intent = !v.Intent
	v.UserLat, v.UserLng = v.UserLng, v.UserLat
	v.Traj++
}

// checkFuture verifies that scores stay when everything after the target is
// altered: later visits of the user, and of all others.
func checkFuture(ctx context.Context, in AuditInput) (string, error) {
	return unchanged(ctx, in, "the future", func(d *poi.Dataset, t poi.Target) {
		now := localMS(d.Users[t.User].Visits[t.Pos])
		for u := range d.Users {
			for i := range d.Users[u].Visits {
				v := &d.Users[u].Visits[i]
				if int32(u) == t.User && i > int(t.Pos) || int32(u) != t.User && localMS(*v) > now {
					alter(v, len(d.Places))
				}
			}
		}
	})
}

// checkAnswer verifies that scores stay when the target's own POI is another.
func checkAnswer(ctx context.Context, in AuditInput) (string, error) {
	return unchanged(ctx, in, "the answer", func(d *poi.Dataset, t poi.Target) {
		v := &d.Users[t.User].Visits[t.Pos]
		v.POI = (v.POI + 1) % int32(len(d.Places))
	})
}

// unchanged compares every scorer's scores of sampled targets before and after
// change; each target gets its own altered copy and its own Bind.
func unchanged(ctx context.Context, in AuditInput, what string, change func(*poi.Dataset, poi.Target)) (string, error) {
	if in.Bind == nil {
		return "", missing("Bind")
	}
	d := in.Data
	half := max(1, in.Targets/2)
	targets := append(spread(d.Targets[poi.Validation], half), spread(d.Targets[poi.Test], half)...)
	if len(targets) == 0 || len(d.Places) < 2 {
		return "", fmt.Errorf("%d validation and test targets, %d places: nothing to compare", len(targets), len(d.Places))
	}
	before, err := in.Bind(d)
	if err != nil {
		return "", fmt.Errorf("bind the scorers to the data: %w", err)
	}
	if len(before) == 0 {
		return "", fmt.Errorf("Bind returned no scorers")
	}
	for _, t := range targets {
		other := clone(d)
		change(other, t)
		after, err := in.Bind(other)
		if err != nil {
			return "", fmt.Errorf("bind the scorers to altered data: %w", err)
		}
		if len(after) != len(before) {
			return "", fmt.Errorf("Bind returned %d scorers, then %d", len(before), len(after))
		}
		for i := range before {
			x, err := scoresOf(ctx, before[i], d, in.Query(d, t))
			if err != nil {
				return "", err
			}
			y, err := scoresOf(ctx, after[i], other, in.Query(other, t))
			if err != nil {
				return "", err
			}
			if p := firstDifference(x, y, in.Tolerance); p >= 0 {
				return "", fmt.Errorf("%s sees %s: altering it moves the score of %s from %v to %v (user %s, position %d)",
					before[i].Name(), what, d.Places[p].ID, x[p], y[p], d.Users[t.User].ID, t.Pos)
			}
		}
	}
	return fmt.Sprintf("%d scorers, %d targets: scores stay when %s is altered", len(before), len(targets), what), nil
}

func scoresOf(ctx context.Context, s poi.Scorer, d *poi.Dataset, q poi.Query) ([]float64, error) {
	row := make([]float64, len(d.Places))
	for p := range row {
		row[p] = math.NaN()
	}
	if err := s.Scores(ctx, []poi.Query{q}, [][]float64{row}); err != nil {
		return nil, fmt.Errorf("score with %s: %w", s.Name(), err)
	}
	if p := slices.IndexFunc(row, math.IsNaN); p >= 0 {
		return nil, fmt.Errorf("%s gives %s no score (NaN)", s.Name(), d.Places[p].ID)
	}
	return row, nil
}

// firstDifference returns the first place whose scores differ by more than
// tolerance times the largest finite score, or -1.
func firstDifference(x, y []float64, tolerance float64) int {
	largest := 0.0
	for _, s := range x {
		if !math.IsInf(s, 0) {
			largest = max(largest, math.Abs(s))
		}
	}
	for p := range x {
		if x[p] != y[p] && !(math.Abs(x[p]-y[p]) <= tolerance*largest) {
			return p
		}
	}
	return -1
}

// spread returns at most n of the targets, evenly spaced, the last included.
func spread(targets []poi.Target, n int) []poi.Target {
	if len(targets) <= n {
		return slices.Clone(targets)
	}
	out := make([]poi.Target, n)
	for i := range out {
		out[i] = targets[(i+1)*len(targets)/n-1]
	}
	return out
}
