package pipeline

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"

	"github.com/whereto/whereto/poi"
	"github.com/whereto/whereto/source"
	"github.com/whereto/whereto/split"
)

// FeedReport says what LoadFeed met and left. Its JSON is the object
// "impressions" of `data describe -o json`.
type FeedReport struct {
	Name     string        `json:"name"`
	Read     int           `json:"read"` // impressions of the log
	Rejected int           `json:"rejected"`
	Rejects  []split.Count `json:"rejects,omitempty"` // rows by reason
	Dropped  FeedDrops     `json:"dropped"`

	Requests  Parts        `json:"requests"`
	Shown     Parts        `json:"shown"`  // candidates
	Clicks    Parts        `json:"clicks"` // clicked candidates
	ClickRate split.Shares `json:"click_rate"`
	// NoClick and AllClicked count requests that rank nothing within themselves.
	NoClick    Parts `json:"no_click"`
	AllClicked Parts `json:"all_clicked"`
	// NoHistory counts requests before the first visit of their user.
	NoHistory  Parts        `json:"no_history"`
	Candidates split.Spread `json:"candidates"` // of a request
	// Truth says that the log knows every click's true probability.
	Truth       bool   `json:"truth"`
	Fingerprint string `json:"fingerprint"`
	// Warnings are doubts about a whole file, each a sentence.
	Warnings []string `json:"-"`
}

// FeedDrops counts what the data set does not know.
type FeedDrops struct {
	UnknownUser int `json:"unknown_user"` // impressions
	UnknownPOI  int `json:"unknown_poi"`  // candidates
	TooFew      int `json:"too_few"`      // impressions with fewer than two candidates left
}

// Parts is a count for each part of a split.
type Parts split.ByPart

func (p *Parts) add(t poi.Tag, n int) {
	*[...]*int{&p.Train, &p.Validation, &p.Test}[t] += n
}

func (p Parts) sum() int { return p.Train + p.Validation + p.Test }

func (r *FeedReport) setSource(s *source.Report) {
	r.Rejected, r.Rejects, r.Warnings = s.Bad, counts(s.ByReason), s.Warnings
}

// counts lists a tally, the most frequent first.
func counts(tally map[string]int) []split.Count {
	var out []split.Count
	for name, n := range tally {
		out = append(out, split.Count{Name: name, N: int64(n)})
	}
	slices.SortFunc(out, func(x, y split.Count) int { return cmp.Or(cmp.Compare(y.N, x.N), cmp.Compare(x.Name, y.Name)) })
	return out
}

// describe fills in what the feed tells; it is not empty.
func (r *FeedReport) describe(f *poi.Feed) {
	r.Truth, r.Fingerprint = true, f.Fingerprint
	sizes := make([]int, len(f.Requests))
	for i := range f.Requests {
		q := &f.Requests[i]
		clicks := 0
		for _, o := range q.Options {
			if o.Clicked {
				clicks++
			}
			r.Truth = r.Truth && o.Click >= 0 && o.Relevance >= 0
		}
		sizes[i] = len(q.Options)
		r.Requests.add(q.Tag, 1)
		r.Shown.add(q.Tag, len(q.Options))
		r.Clicks.add(q.Tag, clicks)
		switch clicks {
		case 0:
			r.NoClick.add(q.Tag, 1)
		case len(q.Options):
			r.AllClicked.add(q.Tag, 1)
		}
		if q.Pos == 0 {
			r.NoHistory.add(q.Tag, 1)
		}
	}
	rate := func(clicks, shown int) float64 { return float64(clicks) / float64(max(shown, 1)) }
	r.ClickRate = split.Shares{Train: rate(r.Clicks.Train, r.Shown.Train),
		Validation: rate(r.Clicks.Validation, r.Shown.Validation), Test: rate(r.Clicks.Test, r.Shown.Test)}
	slices.Sort(sizes)
	q := func(p int) int { return sizes[max((len(sizes)*p+99)/100, 1)-1] } // nearest rank
	r.Candidates = split.Spread{Min: sizes[0], P25: q(25), P50: q(50), P75: q(75), P90: q(90), Max: sizes[len(sizes)-1],
		Mean: float64(r.Shown.sum()) / float64(len(sizes))}
}

// WriteText writes the report for people, in the manner of the data card.
func (r *FeedReport) WriteText(w io.Writer) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "\nImpressions of %s\n", r.Name)
	tw := tabwriter.NewWriter(&b, 0, 4, 2, ' ', 0)
	fmt.Fprintln(tw, "\ttrain\tvalidation\ttest\tall")
	for _, row := range []struct {
		name string
		Parts
	}{{"Requests", r.Requests}, {"Candidates", r.Shown}, {"Clicks", r.Clicks}, {"Requests without a click", r.NoClick},
		{"Requests with clicks only", r.AllClicked}, {"Requests before any visit", r.NoHistory}} {
		fmt.Fprintf(tw, "%s\t%d\t%d\t%d\t%d\n", row.name, row.Train, row.Validation, row.Test, row.sum())
	}
	fmt.Fprintf(tw, "Click rate\t%.3f\t%.3f\t%.3f\t%.3f\n", r.ClickRate.Train, r.ClickRate.Validation, r.ClickRate.Test,
		float64(r.Clicks.sum())/float64(max(r.Shown.sum(), 1)))
	_ = tw.Flush() // a bytes.Buffer takes every write
	s := r.Candidates
	fmt.Fprintf(&b, "Candidates of a request: min %d, 25%% %d, 50%% %d, 75%% %d, 90%% %d, max %d, mean %.1f\n",
		s.Min, s.P25, s.P50, s.P75, s.P90, s.Max, s.Mean)
	truth := "unknown"
	if r.Truth {
		truth = "known"
	}
	fmt.Fprintf(&b, "True click probabilities: %s\n", truth)
	fmt.Fprintf(&b, "Read %d impressions, rejected %d rows", r.Read, r.Rejected)
	for _, c := range r.Rejects {
		fmt.Fprintf(&b, ", %s %d", c.Name, c.N)
	}
	fmt.Fprintf(&b, "\nDropped: %d impressions of users and %d candidates that the data set lacks, %d impressions with fewer than %d candidates\nFingerprint %s\n",
		r.Dropped.UnknownUser, r.Dropped.UnknownPOI, r.Dropped.TooFew, minOptions, r.Fingerprint)
	if _, err := w.Write(b.Bytes()); err != nil {
		return fmt.Errorf("write the report of impressions: %w", err)
	}
	return nil
}
