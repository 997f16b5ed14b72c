package eval

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/whereto/whereto/poi"
)

// maxLeaveOutGap is how much better candidates may look on training targets
// than on validation ones. Statistics that counted the target itself were once
// measured at .977 where .779 was right.
const maxLeaveOutGap = 0.1

// leaveOutTargets bounds the targets of each side of that comparison.
const leaveOutTargets = 2000

func localMS(v poi.Visit) int64 { return v.TimeMS + int64(v.OffsetMin)*60_000 }

// checkLabel verifies that a query holds nothing of its answer: the history is
// the visits right before the target and no other, the time is the target's,
// and the user's position does not give the place away.
func checkLabel(_ context.Context, in AuditInput) (string, error) {
	d, n := in.Data, 0
	var positions, given int
	for tag, targets := range d.Targets {
		for i, t := range targets {
			if err := inRange(d, t); err != nil {
				return "", fmt.Errorf("target %d of %s: %w", i, poi.Tag(tag), err)
			}
			q := in.Query(d, t)
			visits := d.Users[t.User].Visits
			if err := checkHistory(q, visits, int(t.Pos)); err != nil {
				return "", fmt.Errorf("target %d of %s (user %s, position %d): %w", i, poi.Tag(tag), d.Users[t.User].ID, t.Pos, err)
			}
			if q.HasPos {
				positions++
				place := d.Places[d.Label(t)]
				if math.Abs(q.Lat-place.Lat)+math.Abs(q.Lng-place.Lng) < 1e-5 { // about a metre, float32 coordinates
					given++
				}
			}
			n++
		}
	}
	switch {
	case n == 0:
		return "", fmt.Errorf("the data set has no targets")
	case 2*given > positions:
		return "", fmt.Errorf("in %d of %d queries the user already stands on the answer: the position was taken from the place; leave it out", given, positions)
	}
	return fmt.Sprintf("%d queries see only what came before", n), nil
}

func inRange(d *poi.Dataset, t poi.Target) error {
	if t.User < 0 || int(t.User) >= len(d.Users) || t.Pos < 0 || int(t.Pos) >= len(d.Users[t.User].Visits) {
		return fmt.Errorf("user %d, position %d is not in the data set", t.User, t.Pos)
	}
	if p := d.Label(t); p < 0 || int(p) >= len(d.Places) {
		return fmt.Errorf("POI %d is not in the data set", p)
	}
	return nil
}

func checkHistory(q poi.Query, visits []poi.Visit, pos int) error {
	h := q.History
	switch {
	case len(h) > pos:
		return fmt.Errorf("%d visits in the history, only %d came before", len(h), pos)
	case !slices.Equal(h, visits[pos-len(h):pos]):
		return fmt.Errorf("the history is not the %d visits right before the target", len(h))
	case q.TimeMS != visits[pos].TimeMS || q.OffsetMin != visits[pos].OffsetMin:
		return fmt.Errorf("the query's time is not the target's")
	}
	for _, v := range h {
		if localMS(v) > localMS(visits[pos]) {
			return fmt.Errorf("a visit of the history is later than the target: the sequence is not in order of local time")
		}
	}
	return nil
}

// checkOrder verifies the cut in time: no visit of an earlier part is later
// than one of a later part, for one user and over all; targets carry the tag of
// their visit and are listed once.
func checkOrder(_ context.Context, in AuditInput) (string, error) {
	d := in.Data
	var first, last [3]int64
	var n [3]int
	for _, u := range d.Users {
		for i, v := range u.Visits {
			if v.Tag > poi.Test {
				return "", fmt.Errorf("user %s: visit %d has tag %d", u.ID, i, v.Tag)
			}
			if i > 0 && v.Tag < u.Visits[i-1].Tag {
				return "", fmt.Errorf("user %s: visit %d is %s after a %s visit", u.ID, i, v.Tag, u.Visits[i-1].Tag)
			}
			at := localMS(v)
			if n[v.Tag] == 0 {
				first[v.Tag], last[v.Tag] = at, at
			}
			first[v.Tag], last[v.Tag] = min(first[v.Tag], at), max(last[v.Tag], at)
			n[v.Tag]++
		}
	}
	for early := poi.Train; early < poi.Test; early++ {
		for late := early + 1; late <= poi.Test; late++ {
			if n[early] > 0 && n[late] > 0 && last[early] > first[late] {
				return "", fmt.Errorf("the last %s visit (%s) is later than the first %s visit (%s)", early,
					poi.LocalTime(last[early], 0).Format("2006-01-02T15:04:05"), late, poi.LocalTime(first[late], 0).Format("2006-01-02T15:04:05"))
			}
		}
	}
	seen := map[poi.Target]bool{}
	for tag, targets := range d.Targets {
		for i, t := range targets {
			if err := inRange(d, t); err != nil {
				return "", fmt.Errorf("target %d of %s: %w", i, poi.Tag(tag), err)
			}
			if got := d.Users[t.User].Visits[t.Pos].Tag; got != poi.Tag(tag) {
				return "", fmt.Errorf("target %d of %s is a %s visit", i, poi.Tag(tag), got)
			}
			if seen[t] {
				return "", fmt.Errorf("target %d of %s is listed twice", i, poi.Tag(tag))
			}
			seen[t] = true
		}
	}
	return fmt.Sprintf("%d train, %d validation, %d test visits, cut in time", n[0], n[1], n[2]), nil
}

// checkFit refits every artefact on data that differ in validation and test
// visits only; a difference means that it has seen them.
func checkFit(_ context.Context, in AuditInput) (string, error) {
	if len(in.Artefacts) == 0 {
		return "", missing("Artefacts")
	}
	altered, n := clone(in.Data), 0
	for u := range altered.Users {
		for i := range altered.Users[u].Visits {
			if v := &altered.Users[u].Visits[i]; v.Tag != poi.Train {
				alter(v, len(altered.Places))
				n++
			}
		}
	}
	if n == 0 {
		return "", fmt.Errorf("the data set has no validation or test visits to alter")
	}
	for _, a := range in.Artefacts {
		var prints [3]string
		for i, d := range []*poi.Dataset{in.Data, clone(in.Data), altered} {
			var err error
			if prints[i], err = a.Fit(d); err != nil {
				return "", fmt.Errorf("fit %s: %w", a.Name, err)
			}
		}
		switch {
		case prints[0] == "":
			return "", fmt.Errorf("%s has an empty fingerprint", a.Name)
		case prints[0] != prints[1]:
			return "", fmt.Errorf("%s differs between two fits on the same data: fix its order or its seed first", a.Name)
		case prints[0] != prints[2]:
			return "", fmt.Errorf("%s changes when validation and test visits change: it was fitted on them", a.Name)
		}
	}
	return fmt.Sprintf("%d artefacts unchanged when %d later visits were altered", len(in.Artefacts), n), nil
}

// checkLeaveOut compares candidate recall on validation targets with that on
// the latest training targets, whose histories are about as long.
func checkLeaveOut(ctx context.Context, in AuditInput) (string, error) {
	if in.Recall == nil {
		return "", missing("Recall")
	}
	d := in.Data
	valid := spread(d.Targets[poi.Validation], leaveOutTargets)
	train := slices.Clone(d.Targets[poi.Train])
	if len(valid) == 0 || len(train) == 0 {
		return "", fmt.Errorf("%d training and %d validation targets: nothing to compare", len(train), len(valid))
	}
	at := func(t poi.Target) int64 { return localMS(d.Users[t.User].Visits[t.Pos]) }
	slices.SortStableFunc(train, func(a, b poi.Target) int { return cmp.Compare(at(b), at(a)) })
	train = train[:min(len(train), len(valid))]
	onTrain, err := in.Recall(ctx, train)
	if err != nil {
		return "", fmt.Errorf("candidate recall on training targets: %w", err)
	}
	onValid, err := in.Recall(ctx, valid)
	if err != nil {
		return "", fmt.Errorf("candidate recall on validation targets: %w", err)
	}
	if !(onTrain-onValid <= maxLeaveOutGap) { // NaN fails too
		return "", fmt.Errorf("candidate recall is %.3f on the latest %d training targets and %.3f on validation: statistics count the target itself; leave it out", onTrain, len(train), onValid)
	}
	return fmt.Sprintf("candidate recall %.3f on the latest %d training targets, %.3f on validation", onTrain, len(train), onValid), nil
}
