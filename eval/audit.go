package eval

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/whereto/whereto/poi"
)

// Names of the checks, in the order in which Audit runs them.
const (
	CheckLabel        = "label-not-in-input"
	CheckOrder        = "order-of-tags"
	CheckFit          = "fitted-on-train"
	CheckFuture       = "ignores-future"
	CheckAnswer       = "ignores-label"
	CheckChoice       = "chosen-on-validation"
	CheckLeaveOut     = "leaves-target-out"
	CheckFingerprints = "fingerprints"
)

// ErrAudit is returned by AuditError when a check failed.
var ErrAudit = errors.New("audit failed")

// Check is the verdict of one audit check.
type Check struct {
	Name   string `json:"name"`
	Pass   bool   `json:"pass"`
	Detail string `json:"detail"` // what was compared, or what is wrong and where
}

// Artefact is anything fitted on data: an index order, a statistic, a mapping.
type Artefact struct {
	Name string
	// Fit fits it on d and returns a fingerprint of all that was fitted.
	Fit func(d *poi.Dataset) (string, error)
}

// Choice is what a run recorded about the choice of its checkpoint.
type Choice struct {
	Kinds    []string  // the splits whose figures took part, for example "validation"
	Best     time.Time // when the best checkpoint was written
	TestRead time.Time // when the test figures were written; zero if they never were
}

// AuditInput holds the data and the hooks of an audit. A check whose hook is
// missing fails: silence would look like a pass. Name in Skip those that make
// no sense for the thing under audit; they are left out of the answer.
type AuditInput struct {
	Data *poi.Dataset
	Skip []string

	// Query builds the query of a target; nil: Dataset.QueryOf.
	Query func(d *poi.Dataset, t poi.Target) poi.Query
	// Artefacts are refitted on a copy of Data whose validation and test visits
	// were altered.
	Artefacts []Artefact
	// Bind returns the scorers under audit as they are when d is the data: it
	// fits again what is fitted on data, and keeps trained weights. Copies keep
	// the fingerprint of Data, so that a run's own check of it passes.
	Bind func(d *poi.Dataset) ([]poi.Scorer, error)
	// Targets is how many targets the two checks of scorers try, each with a
	// Bind of its own; 0: 8.
	Targets int
	// Tolerance is how far two scores may differ, as a share of the largest
	// score of the row; 0: 1e-6, room for the order of sums.
	Tolerance float64
	// Recall returns the share of targets whose place is among the candidates
	// that the statistics propose.
	Recall func(ctx context.Context, targets []poi.Target) (float64, error)
	Choice *Choice
	// Fingerprints maps each part of the run (recipe, index, checkpoint, result)
	// to the data fingerprint it was made with.
	Fingerprints map[string]string
	// Refingerprint computes Data's fingerprint anew; nil: the stored one is
	// taken on trust.
	Refingerprint func(d *poi.Dataset) string
}

// Audit runs every check that is not skipped. A check never stops the others.
func Audit(ctx context.Context, in AuditInput) []Check {
	if in.Query == nil {
		in.Query = (*poi.Dataset).QueryOf
	}
	if in.Targets == 0 {
		in.Targets = 8
	}
	if in.Tolerance == 0 {
		in.Tolerance = 1e-6
	}
	var out []Check
	for _, c := range []struct {
		name string
		run  func(context.Context, AuditInput) (string, error)
	}{
		{CheckLabel, checkLabel}, {CheckOrder, checkOrder}, {CheckFit, checkFit}, {CheckFuture, checkFuture},
		{CheckAnswer, checkAnswer}, {CheckChoice, checkChoice}, {CheckLeaveOut, checkLeaveOut}, {CheckFingerprints, checkFingerprints},
	} {
		if slices.Contains(in.Skip, c.name) {
			continue
		}
		check := Check{Name: c.name}
		detail, err := "", ctx.Err()
		if err == nil {
			detail, err = c.run(ctx, in)
		}
		if check.Pass, check.Detail = err == nil, detail; err != nil {
			check.Detail = err.Error()
		}
		out = append(out, check)
	}
	return out
}

// AuditError returns nil if there are checks and all passed, else an error that
// wraps ErrAudit and names those that failed.
func AuditError(checks []Check) error {
	var failed []string
	for _, c := range checks {
		if !c.Pass {
			failed = append(failed, c.Name+": "+c.Detail)
		}
	}
	switch {
	case len(checks) == 0:
		return fmt.Errorf("%w: no check was run", ErrAudit)
	case len(failed) > 0:
		return fmt.Errorf("%w, %d of %d checks: %s", ErrAudit, len(failed), len(checks), strings.Join(failed, "; "))
	}
	return nil
}

// WriteChecks prints one line a check: pass or FAIL, name, detail.
func WriteChecks(w io.Writer, checks []Check) error {
	for _, c := range checks {
		verdict := "FAIL"
		if c.Pass {
			verdict = "pass"
		}
		if _, err := fmt.Fprintf(w, "%s  %-*s  %s\n", verdict, len(CheckChoice), c.Name, c.Detail); err != nil {
			return err
		}
	}
	return nil
}

// missing is the failure of a check without its hook.
func missing(field string) error {
	return fmt.Errorf("not checked: AuditInput.%s is not set; set it, or name the check in Skip", field)
}

func checkChoice(_ context.Context, in AuditInput) (string, error) {
	c := in.Choice
	switch {
	case c == nil:
		return "", missing("Choice")
	case len(c.Kinds) == 0:
		return "", fmt.Errorf("the run recorded no figures by which its checkpoint was chosen")
	case c.Best.IsZero():
		return "", fmt.Errorf("the run recorded no best checkpoint")
	}
	for _, kind := range c.Kinds {
		if kind != poi.Validation.String() {
			return "", fmt.Errorf("figures of kind %q took part in the choice of the checkpoint; only %q may", kind, poi.Validation)
		}
	}
	if !c.TestRead.IsZero() && c.TestRead.Before(c.Best) {
		return "", fmt.Errorf("the test split was read at %s, before the best checkpoint was written at %s: the choice may have used it",
			c.TestRead.Format(time.RFC3339), c.Best.Format(time.RFC3339))
	}
	return fmt.Sprintf("%d figures, all of validation; test read after the choice or never", len(c.Kinds)), nil
}

func checkFingerprints(_ context.Context, in AuditInput) (string, error) {
	if len(in.Fingerprints) == 0 {
		return "", missing("Fingerprints")
	}
	want := in.Data.Fingerprint
	if want == "" {
		return "", fmt.Errorf("the data set has no fingerprint")
	}
	if in.Refingerprint != nil {
		if got := in.Refingerprint(in.Data); got != want {
			return "", fmt.Errorf("the data set says fingerprint %.12s, its content has %.12s: it was changed after it was built", want, got)
		}
	}
	var bad []string
	for part, got := range in.Fingerprints {
		if got != want {
			bad = append(bad, fmt.Sprintf("%s was made with data %.12q", part, got))
		}
	}
	if len(bad) > 0 {
		slices.Sort(bad)
		return "", fmt.Errorf("%s; the data set is %.12s", strings.Join(bad, ", "), want)
	}
	return fmt.Sprintf("%d parts made with data %.12s", len(in.Fingerprints), want), nil
}
