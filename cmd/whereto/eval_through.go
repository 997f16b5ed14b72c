package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/whereto/whereto/api"
	"github.com/whereto/whereto/client"
	"github.com/whereto/whereto/desk"
	"github.com/whereto/whereto/fit"
	"github.com/whereto/whereto/poi"
	"github.com/whereto/whereto/table"
)

// through compares what a service answers with what the run says in process.
type through struct {
	url  string
	rows int
}

// listLength is the length of the lists that are compared: what a beam of ten blocks finds
// without being asked for more, so that both sides walk the same beam.
const listLength = 10

// agreement is the result. A place that is not on a list has no rank.
type agreement struct {
	Rows      int                `json:"n"`
	SameLists int                `json:"same_lists"` // the same places in the same order, but for ties
	SameFirst int                `json:"same_first"`
	MaxProb   float64            `json:"max_probability_difference"`
	InProcess map[string]float64 `json:"in_process"`
	Service   map[string]float64 `json:"service"`
}

// tie is how far two probabilities may lie apart and still be one: the network computes
// alone and in company with other roundings.
const tie = 1e-6

// run asks both about evenly spaced targets.
func (t *through) run(ctx context.Context, r *fit.Trained, tag poi.Tag) (*agreement, error) {
	c, err := client.New(t.url, client.Options{Key: os.Getenv("WHERETO_KEY")})
	if err != nil {
		return nil, err
	}
	targets := r.Questions.Targets[tag]
	out := &agreement{Rows: min(t.rows, len(targets)), InProcess: map[string]float64{}, Service: map[string]float64{}}
	for i := range out.Rows {
		target := targets[i*len(targets)/out.Rows]
		q := r.Questions.QueryOf(target)
		q.History = asServed(q)
		want, err := r.Predictor.Recommend(ctx, q, listLength)
		if err != nil {
			return nil, err
		}
		ask := api.RecommendRequest{K: listLength, Who: api.Who{User: r.Questions.Users[target.User].ID,
			Time: time.UnixMilli(q.TimeMS).In(time.FixedZone("", 60*int(q.OffsetMin)))}}
		if q.HasPos {
			ask.Lat, ask.Lng = &q.Lat, &q.Lng
		}
		got, err := c.Recommend(ctx, ask)
		if err != nil {
			return nil, fmt.Errorf("ask %s about target %d: %w", t.url, i, err)
		}
		if got.History != len(q.History) {
			return nil, fmt.Errorf("target %d: the service's answer rests on %d actions, the run's on %d: %w; its store holds other actions than the run's data",
				i, got.History, len(q.History), errDisagree)
		}
		out.compare(r.Dataset.Places[r.Questions.Label(target)].ID, want, got.Places)
	}
	for _, m := range []map[string]float64{out.InProcess, out.Service} {
		for k := range m {
			m[k] /= float64(out.Rows)
		}
	}
	return out, nil
}

// asServed is the past of a question as a service takes it: strictly before the moment,
// and no more than it keeps.
func asServed(q poi.Query) []poi.Visit {
	n := len(q.History)
	for n > 0 && q.History[n-1].TimeMS >= q.TimeMS {
		n--
	}
	return q.History[max(0, n-desk.HistoryLimit):n:n]
}

// errDisagree is returned where service and run are not about the same past.
var errDisagree = errors.New("the service and the run disagree")

// compare enters one target.
func (a *agreement) compare(label string, want []poi.Ranked, got []api.Place) {
	same := len(want) == len(got)
	wantRank, gotRank := 0, 0
	for i := range want {
		if want[i].ID == label {
			wantRank = i + 1
		}
		if i < len(got) {
			diff := math.Abs(want[i].Prob - got[i].Probability)
			a.MaxProb = max(a.MaxProb, diff)
			same = same && (want[i].ID == got[i].POI || diff < tie)
		}
	}
	for i := range got {
		if got[i].POI == label {
			gotRank = i + 1
		}
	}
	if same {
		a.SameLists++
	}
	if len(want) > 0 && len(got) > 0 && want[0].ID == got[0].POI {
		a.SameFirst++
	}
	score(a.InProcess, wantRank)
	score(a.Service, gotRank)
}

// score adds one rank to sums of metrics.
func score(sums map[string]float64, rank int) {
	for _, k := range []int{1, 5, 10} {
		hit := 0.0
		if rank > 0 && rank <= k {
			hit = 1
		}
		sums[fmt.Sprintf("acc@%d", k)] += hit
	}
	if rank > 0 {
		sums["mrr@10"] += 1 / float64(rank)
	} else {
		sums["mrr@10"] += 0
	}
}

// write prints an agreement.
func (a *agreement) write(cmd *cobra.Command, output string) error {
	if output == "json" {
		return printJSON(cmd.OutOrStdout(), a)
	}
	t := table.Table{Left: 1, Head: []string{"", "in process", "through the service"},
		Caption: fmt.Sprintf("n = %d; the same list of %d places for %d, the same first place for %d; probabilities differ by %.1e at most",
			a.Rows, listLength, a.SameLists, a.SameFirst, a.MaxProb)}
	for _, m := range []string{"acc@1", "acc@5", "acc@10", "mrr@10"} {
		t.Body = append(t.Body, []string{m, fmt.Sprintf("%.4f", a.InProcess[m]), fmt.Sprintf("%.4f", a.Service[m])})
	}
	return map[string]func(io.Writer) error{"table": t.Text, "markdown": t.Markdown}[output](cmd.OutOrStdout())
}
