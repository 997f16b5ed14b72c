package eval

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/whereto/whereto/baseline"
	"github.com/whereto/whereto/internal/testkit"
	"github.com/whereto/whereto/poi"
)

var noon = time.Date(2024, 5, 1, 12, 0, 0, 0, time.UTC)

// clean is an audit that must pass.
func clean() AuditInput {
	d := testkit.Toy(5, 12, 20)
	return AuditInput{
		Data:      d,
		Artefacts: []Artefact{{"baselines", func(d *poi.Dataset) (string, error) { return baseline.Fingerprint(d), nil }}},
		Bind:      func(d *poi.Dataset) ([]poi.Scorer, error) { return baseline.All(d), nil },
		Recall: func(_ context.Context, targets []poi.Target) (float64, error) {
			hits := 0.0
			for _, t := range targets {
				if slices.ContainsFunc(d.QueryOf(t).History, func(v poi.Visit) bool { return v.POI == d.Label(t) }) {
					hits++
				}
			}
			return hits / float64(len(targets)), nil
		},
		Choice:        &Choice{Kinds: []string{"validation", "validation"}, Best: noon, TestRead: noon.Add(time.Minute)},
		Fingerprints:  map[string]string{"run": d.Fingerprint, "index": d.Fingerprint},
		Refingerprint: content,
	}
}

// content fingerprints the visits; the toy's own fingerprint is this one after clean.
func content(d *poi.Dataset) string {
	if d.Users[0].Visits[0] == testkit.Toy(5, 12, 20).Users[0].Visits[0] {
		return d.Fingerprint
	}
	return "changed"
}

func TestCleanAuditPasses(t *testing.T) {
	checks := Audit(context.Background(), clean())
	var names []string
	for _, c := range checks {
		names = append(names, c.Name)
		if !c.Pass || c.Detail == "" {
			t.Errorf("%+v", c)
		}
	}
	want := []string{CheckLabel, CheckOrder, CheckFit, CheckFuture, CheckAnswer, CheckChoice, CheckLeaveOut, CheckFingerprints}
	if !slices.Equal(names, want) {
		t.Errorf("checks %v, want %v", names, want)
	}
	if err := AuditError(checks); err != nil {
		t.Error(err)
	}
}

// leaky adds to the counter whatever peek tells of data the scorer must not see.
type leaky struct {
	d    *poi.Dataset
	peek func(d *poi.Dataset, q poi.Query, row []float64)
}

func (l leaky) Name() string { return "leaky" }

func (l leaky) Scores(_ context.Context, queries []poi.Query, dst [][]float64) error {
	for i, q := range queries {
		clear(dst[i])
		for _, v := range q.History {
			dst[i][v.POI]++
		}
		l.peek(l.d, q, dst[i])
	}
	return nil
}

func bindLeaky(peek func(*poi.Dataset, poi.Query, []float64)) func(*poi.Dataset) ([]poi.Scorer, error) {
	return func(d *poi.Dataset) ([]poi.Scorer, error) {
		return append(baseline.All(d)[:1:1], leaky{d, peek}), nil
	}
}

// lastOf returns the position after a query's history in its user's sequence.
func lastOf(d *poi.Dataset, q poi.Query) ([]poi.Visit, int) {
	return d.Users[q.User].Visits, len(q.History)
}

func countAll(d *poi.Dataset) (string, error) {
	count := make([]int, len(d.Places))
	for _, u := range d.Users {
		for _, v := range u.Visits {
			count[v.POI]++
		}
	}
	return fmt.Sprint(count), nil
}

// Each planted leak must fail its own check, and the message must say what.
func TestPlantedLeaksFail(t *testing.T) {
	boom := errors.New("boom")
	calls := 0
	for name, c := range map[string]struct {
		check string
		says  string
		plant func(in *AuditInput)
	}{
		"history holds the target": {CheckLabel, "only", func(in *AuditInput) {
			in.Query = func(d *poi.Dataset, t poi.Target) poi.Query {
				q := d.QueryOf(t)
				q.History = d.Users[t.User].Visits[:t.Pos+1]
				return q
			}
		}},
		"window shifted by one": {CheckLabel, "not the", func(in *AuditInput) {
			in.Query = func(d *poi.Dataset, t poi.Target) poi.Query {
				q := d.QueryOf(t)
				q.History = d.Users[t.User].Visits[1 : t.Pos+1]
				return q
			}
		}},
		"another time": {CheckLabel, "time is not", func(in *AuditInput) {
			in.Query = func(d *poi.Dataset, t poi.Target) poi.Query {
				q := d.QueryOf(t)
				q.TimeMS++
				return q
			}
		}},
		"history out of order": {CheckLabel, "later than the target", func(in *AuditInput) {
			in.Data.Users[0].Visits[0].TimeMS += 1000 * 24 * 3_600_000
		}},
		"position of the answer": {CheckLabel, "stands on the answer", func(in *AuditInput) {
			in.Query = func(d *poi.Dataset, t poi.Target) poi.Query {
				q, at := d.QueryOf(t), d.Places[d.Label(t)]
				q.HasPos, q.Lat, q.Lng = true, float64(float32(at.Lat)), float64(float32(at.Lng))
				return q
			}
		}},
		"target outside": {CheckLabel, "not in the data set", func(in *AuditInput) { in.Data.Targets[poi.Test][0].Pos = 1 << 20 }},
		"no targets":     {CheckLabel, "no targets", func(in *AuditInput) { in.Data.Targets = [3][]poi.Target{} }},
		"POI outside": {CheckLabel, "POI 99", func(in *AuditInput) {
			t := in.Data.Targets[poi.Test][0]
			in.Data.Users[t.User].Visits[t.Pos].POI = 99
		}},

		"train after test": {CheckOrder, "after a", func(in *AuditInput) {
			v := in.Data.Users[0].Visits
			v[len(v)-1].Tag = poi.Train
		}},
		"users cut apart": {CheckOrder, "later than the first", func(in *AuditInput) {
			for i := range in.Data.Users[0].Visits {
				in.Data.Users[0].Visits[i].Tag = poi.Train
			}
			in.Data.Targets = [3][]poi.Target{}
		}},
		"target of another tag": {CheckOrder, "is a train visit", func(in *AuditInput) {
			in.Data.Targets[poi.Test] = append(in.Data.Targets[poi.Test], in.Data.Targets[poi.Train][0])
		}},
		"target twice": {CheckOrder, "twice", func(in *AuditInput) {
			in.Data.Targets[poi.Train] = append(in.Data.Targets[poi.Train], in.Data.Targets[poi.Train][0])
		}},
		"unknown tag": {CheckOrder, "tag 7", func(in *AuditInput) { in.Data.Users[0].Visits[0].Tag = 7 }},

		"counts all visits": {CheckFit, "fitted on them", func(in *AuditInput) {
			in.Artefacts = append(in.Artefacts, Artefact{"popularity", countAll})
		}},
		"fit has no order": {CheckFit, "between two fits", func(in *AuditInput) {
			in.Artefacts = []Artefact{{"map order", func(*poi.Dataset) (string, error) { calls++; return fmt.Sprint(calls), nil }}}
		}},
		"fit tells nothing": {CheckFit, "empty", func(in *AuditInput) {
			in.Artefacts = []Artefact{{"silent", func(*poi.Dataset) (string, error) { return "", nil }}}
		}},
		"fit fails": {CheckFit, "boom", func(in *AuditInput) {
			in.Artefacts = []Artefact{{"broken", func(*poi.Dataset) (string, error) { return "", boom }}}
		}},
		"nothing to alter": {CheckFit, "no validation or test", func(in *AuditInput) {
			for u := range in.Data.Users {
				for i := range in.Data.Users[u].Visits {
					in.Data.Users[u].Visits[i].Tag = poi.Train
				}
			}
		}},

		"sees own future": {CheckFuture, "sees the future", func(in *AuditInput) {
			in.Bind = bindLeaky(func(d *poi.Dataset, q poi.Query, row []float64) {
				for _, v := range d.Users[q.User].Visits {
					row[v.POI]++
				}
			})
		}},
		"sees others' future": {CheckFuture, "sees the future", func(in *AuditInput) {
			in.Bind = bindLeaky(func(d *poi.Dataset, q poi.Query, row []float64) {
				for u, other := range d.Users {
					for _, v := range other.Visits {
						if int32(u) != q.User && v.TimeMS > q.TimeMS+48*3_600_000 {
							row[v.POI] += .1
						}
					}
				}
			})
		}},
		"sees the time of the next": {CheckFuture, "sees the future", func(in *AuditInput) {
			in.Targets = 100 // most targets of the toy are a user's last
			in.Bind = bindLeaky(func(d *poi.Dataset, q poi.Query, row []float64) {
				if visits, pos := lastOf(d, q); pos+1 < len(visits) {
					row[0] += float64(visits[pos+1].TimeMS-q.TimeMS) / 1e7
				}
			})
		}},
		"sees the label": {CheckAnswer, "sees the answer", func(in *AuditInput) {
			in.Bind = bindLeaky(func(d *poi.Dataset, q poi.Query, row []float64) {
				visits, pos := lastOf(d, q)
				row[visits[pos].POI] += .001
			})
		}},
		"NaN score": {CheckAnswer, "no score", func(in *AuditInput) {
			in.Bind = bindLeaky(func(_ *poi.Dataset, _ poi.Query, row []float64) { row[3] = math.NaN() })
		}},
		"bind fails": {CheckFuture, "boom", func(in *AuditInput) {
			in.Bind = func(*poi.Dataset) ([]poi.Scorer, error) { return nil, boom }
		}},
		"bind is empty": {CheckFuture, "no scorers", func(in *AuditInput) {
			in.Bind = func(*poi.Dataset) ([]poi.Scorer, error) { return nil, nil }
		}},

		"chosen on test":      {CheckChoice, `"test"`, func(in *AuditInput) { in.Choice.Kinds = append(in.Choice.Kinds, "test") }},
		"chosen on training":  {CheckChoice, `"train"`, func(in *AuditInput) { in.Choice.Kinds = []string{"train"} }},
		"test read before":    {CheckChoice, "before the best", func(in *AuditInput) { in.Choice.TestRead = noon.Add(-time.Second) }},
		"no recorded choice":  {CheckChoice, "no figures", func(in *AuditInput) { in.Choice.Kinds = nil }},
		"no best checkpoint":  {CheckChoice, "no best", func(in *AuditInput) { in.Choice.Best = time.Time{} }},
		"counts the target":   {CheckLeaveOut, "leave it out", func(in *AuditInput) { in.Recall = recallOf(in.Data, .977, .779) }},
		"recall is NaN":       {CheckLeaveOut, "leave it out", func(in *AuditInput) { in.Recall = recallOf(in.Data, math.NaN(), .779) }},
		"no training targets": {CheckLeaveOut, "nothing to compare", func(in *AuditInput) { in.Data.Targets[poi.Train] = nil }},
		"other index":         {CheckFingerprints, "index was made", func(in *AuditInput) { in.Fingerprints["index"] = "f00" }},
		"changed content": {CheckFingerprints, "was changed", func(in *AuditInput) {
			in.Data.Users[0].Visits[0].Type++
		}},
		"no fingerprint": {CheckFingerprints, "no fingerprint", func(in *AuditInput) { in.Data.Fingerprint = "" }},
	} {
		t.Run(name, func(t *testing.T) {
			in := clean()
			c.plant(&in)
			checks := Audit(context.Background(), in)
			i := slices.IndexFunc(checks, func(got Check) bool { return got.Name == c.check })
			if i < 0 || checks[i].Pass || !strings.Contains(checks[i].Detail, c.says) {
				t.Fatalf("checks %+v, want %s to fail and say %q", checks, c.check, c.says)
			}
			if err := AuditError(checks); !errors.Is(err, ErrAudit) || !strings.Contains(err.Error(), c.check) {
				t.Errorf("AuditError = %v", err)
			}
		})
	}
}

func recallOf(d *poi.Dataset, train, validation float64) func(context.Context, []poi.Target) (float64, error) {
	return func(_ context.Context, targets []poi.Target) (float64, error) {
		if t := targets[0]; d.Users[t.User].Visits[t.Pos].Tag == poi.Train {
			return train, nil
		}
		return validation, nil
	}
}

// Recall that is worse in training, or a little better, is no leak; a test that
// was never read is none either.
func TestNoFalseAlarm(t *testing.T) {
	for _, train := range []float64{.5, .779, .85} {
		in := clean()
		in.Recall, in.Choice.TestRead = recallOf(in.Data, train, .779), time.Time{}
		if err := AuditError(Audit(context.Background(), in)); err != nil {
			t.Errorf("recall %v: %v", train, err)
		}
	}
}

// Without its hook a check fails unless it is skipped by name.
func TestMissingHooksFail(t *testing.T) {
	in := AuditInput{Data: clean().Data}
	hooks := []string{CheckFit, CheckFuture, CheckAnswer, CheckChoice, CheckLeaveOut, CheckFingerprints}
	checks := Audit(context.Background(), in)
	for _, c := range checks {
		if want := !slices.Contains(hooks, c.Name); c.Pass != want || !c.Pass && !strings.Contains(c.Detail, "not checked") {
			t.Errorf("%+v", c)
		}
	}
	in.Skip = hooks
	if left := Audit(context.Background(), in); len(left) != 2 || AuditError(left) != nil {
		t.Errorf("with all of them skipped: %+v", left)
	}
	in.Skip = append(hooks, CheckLabel, CheckOrder)
	if err := AuditError(Audit(context.Background(), in)); !errors.Is(err, ErrAudit) {
		t.Errorf("an empty audit: %v", err)
	}
}

func TestCancelledAuditFails(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for _, c := range Audit(ctx, clean()) {
		if c.Pass {
			t.Errorf("%+v", c)
		}
	}
}

// The audit works on copies: it must leave the data as they were.
func TestAuditLeavesDataAlone(t *testing.T) {
	in := clean()
	before, _ := countAll(in.Data)
	Audit(context.Background(), in)
	if after, _ := countAll(in.Data); after != before {
		t.Error("the audit changed the data")
	}
}

func TestWriteChecks(t *testing.T) {
	var b strings.Builder
	err := WriteChecks(&b, []Check{{CheckOrder, true, "fine"}, {CheckChoice, false, "test took part"}})
	want := "pass  order-of-tags         fine\nFAIL  chosen-on-validation  test took part\n"
	if err != nil || b.String() != want {
		t.Errorf("%v\n%s", err, b.String())
	}
}
