package eval

import (
	"context"
	"math"
	"strings"
	"testing"

	"github.com/whereto/whereto/baseline"
	"github.com/whereto/whereto/internal/testkit"
	"github.com/whereto/whereto/poi"
	"github.com/whereto/whereto/source"
	"github.com/whereto/whereto/split"
)

// The floors on New York, last-of-trajectory. The test figures of counter and
// recency agree with trials made outside this code (.253/.594/.703 and
// .326/.643/.736) but for the counter's Acc@10, where the order of the many
// places with equal counts decides.
func TestNewYorkFloors(t *testing.T) {
	if testing.Short() {
		t.Skip("reads the New York check-ins; run without -short")
	}
	ctx := context.Background()
	path := testkit.DataFile(t, "foursquare-nyc", "checkins.tsv.gz")
	actions, _, err := source.ReadAll(ctx, []string{path}, source.Options{Format: source.TSMC})
	if err != nil {
		t.Fatal(err)
	}
	d, _, err := split.Build(actions, split.Default())
	if err != nil {
		t.Fatal(err)
	}
	golden := map[poi.Tag]map[string][4]float64{ // Acc@1, Acc@5, Acc@10, MRR
		poi.Validation: {
			"popularity": {.0079, .0276, .0409, .0198}, "last": {.0850, .1087, .1220, .0973}, "nearest": {.0827, .1953, .2803, .1430},
			"counter": {.2287, .5303, .6362, .3602}, "recency": {.2984, .5740, .6732, .4193}, "markov": {.1933, .3898, .4366, .2817},
		},
		poi.Test: {
			"popularity": {.0116, .0290, .0406, .0227}, "last": {.0862, .1095, .1219, .0995}, "nearest": {.0796, .2164, .2894, .1480},
			"counter": {.2537, .5966, .7110, .4023}, "recency": {.3267, .6426, .7380, .4632}, "markov": {.2330, .4697, .5220, .3330},
		},
	}
	for _, tag := range []poi.Tag{poi.Validation, poi.Test} {
		res, _, err := Run(ctx, d, tag, nil, baseline.All(d), Options{Seed: 1, Resamples: 500})
		if err != nil {
			t.Fatal(err)
		}
		for name, want := range golden[tag] {
			for i, metric := range []string{"acc@1", "acc@5", "acc@10", "mrr"} {
				if got := res.Floors[name].Metrics[metric].Value; math.Abs(got-want[i]) > .005 {
					t.Errorf("%s, %s: %s = %.4f, want %.4f", tag, name, metric, got, want[i])
				}
			}
		}
		var b strings.Builder
		if err := WriteTable(&b, []*Result{res}); err != nil {
			t.Fatal(err)
		}
		t.Log("\n" + b.String())
	}

	// The floors and the data pass the audit, as a run must.
	checks := Audit(ctx, AuditInput{Data: d,
		Artefacts:    []Artefact{{"baselines", func(d *poi.Dataset) (string, error) { return baseline.Fingerprint(d), nil }}},
		Bind:         func(d *poi.Dataset) ([]poi.Scorer, error) { return baseline.All(d), nil },
		Fingerprints: map[string]string{"data": d.Fingerprint}, Refingerprint: split.Fingerprint,
		Skip: []string{CheckChoice, CheckLeaveOut}})
	if err := AuditError(checks); err != nil {
		t.Error(err)
	}
	for _, c := range checks {
		t.Log(c.Name, c.Detail)
	}
}
