package tune

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/whereto/whereto/batch"
	"github.com/whereto/whereto/media"
	"github.com/whereto/whereto/poi"
	"github.com/whereto/whereto/spacetime"
)

// Cause is something that moved the score of a place: what the logit loses if it is
// taken away. Negative: it spoke against the place.
type Cause struct {
	Kind  string  `json:"kind"` // "action", "name", "address", "tags", "review", "image" or "all text and image"
	Label string  `json:"label"`
	Delta float64 `json:"delta"`
	At    int     `json:"at"` // position of an action among the user's visits, of a tag or review in its list; else -1
}

// Explanation is why a place got its score at a request (paper section 5.2, RQ3).
type Explanation struct {
	Request *poi.Request `json:"-"`
	POI     int32        `json:"-"`
	Score   float64      `json:"score"` // logit
	// Actions are the past actions in the window, Parts what the place shows of
	// itself; both by falling size of Delta.
	Actions []Cause `json:"actions"`
	Parts   []Cause `json:"parts"`
}

// Explainer attributes scores of the rank stage by taking things away one at a time:
// exact for a single cause, and unlike gradients in the unit of the score. What two
// causes say together is in neither.
type Explainer struct {
	a       *Assembly
	scorer  *scorer
	encoder media.Encoder // nil without media
	details []poi.Details
}

// Explainer prepares attributions. encoder and details are those the run's vectors
// were made from; nil without media.
func (a *Assembly) Explainer(backend compute.Backend, store *model.Store, encoder media.Encoder, details []poi.Details) (*Explainer, error) {
	if a.Stage.Tune.Stage != spacetime.StageRank {
		return nil, fmt.Errorf("explain a run of stage %s: %w; only rank scores a place beside the history", a.Stage.Tune.Stage, poi.ErrBadInput)
	}
	if a.Media != nil && (encoder == nil || len(details) != len(a.Dataset.Places)) {
		return nil, fmt.Errorf("explain: the run sees text and images, so an encoder and the details of all %d places are needed: %w", len(a.Dataset.Places), poi.ErrBadInput)
	}
	s, err := a.scorer("explained", backend, store)
	if err != nil {
		return nil, err
	}
	return &Explainer{a: a, scorer: s, encoder: encoder, details: details}, nil
}

// Explain attributes the score of one place at a request; the place need not be
// among those shown.
func (e *Explainer) Explain(ctx context.Context, q *poi.Request, place int32) (*Explanation, error) {
	if place < 0 || int(place) >= len(e.a.Dataset.Places) {
		return nil, fmt.Errorf("explain place %d of %d: %w", place, len(e.a.Dataset.Places), poi.ErrUnknownPOI)
	}
	asked := *q
	asked.Options = []poi.Option{{POI: place}}
	visits := e.a.Dataset.Users[q.User].Visits[:q.Pos]
	from := max(0, len(visits)-e.a.Recipe.Batch.Window)
	rows := []batch.FeedRow{{User: q.User, Visits: visits, From: from, Requests: []*poi.Request{&asked}}}
	for i := from; i < len(visits); i++ {
		without := asked
		without.Pos--
		kept := slices.Concat(visits[:i], visits[i+1:])
		rows = append(rows, batch.FeedRow{User: q.User, Visits: kept, From: from, Requests: []*poi.Request{&without}})
	}
	scores, err := e.scores(ctx, rows, e.a.shown())
	if err != nil {
		return nil, err
	}
	out := &Explanation{Request: q, POI: place, Score: scores[0]}
	for i, s := range scores[1:] {
		p := e.a.Dataset.Places[visits[from+i].POI]
		out.Actions = append(out.Actions, Cause{Kind: "action", Label: p.Name, Delta: scores[0] - s, At: from + i})
	}
	if e.a.Media != nil {
		if out.Parts, err = e.parts(ctx, rows[0], place, scores[0]); err != nil {
			return nil, err
		}
	}
	for _, list := range [][]Cause{out.Actions, out.Parts} {
		slices.SortStableFunc(list, func(x, y Cause) int { return cmp.Compare(max(y.Delta, -y.Delta), max(x.Delta, -x.Delta)) })
	}
	return out, nil
}

// parts takes away what the place shows, piece by piece.
func (e *Explainer) parts(ctx context.Context, row batch.FeedRow, place int32, score float64) ([]Cause, error) {
	p, d := e.a.Dataset.Places[place], e.details[place]
	var causes []Cause
	var items []media.Item
	add := func(kind, label string, at int, p poi.Place, d poi.Details) {
		causes = append(causes, Cause{Kind: kind, Label: label, At: at})
		items = append(items, media.Item{Text: media.Text(p, d), Image: d.Image})
	}
	nameless := p
	nameless.Name = ""
	add("name", p.Name, -1, nameless, d)
	less := d
	less.Address = ""
	add("address", d.Address, -1, p, less)
	for i, tag := range d.Tags {
		less := d
		less.Tags = slices.Concat(d.Tags[:i], d.Tags[i+1:])
		add("tags", tag, i, p, less)
	}
	for i, review := range d.Reviews {
		less := d
		less.Reviews = slices.Concat(d.Reviews[:i], d.Reviews[i+1:])
		add("review", review, i, p, less)
	}
	less = d
	less.Image = nil
	add("image", "", -1, p, less)
	list, err := e.encoder.Encode(ctx, items)
	if err != nil {
		return nil, fmt.Errorf("explain %s: %w", p.ID, err)
	}
	causes = append(causes, Cause{Kind: "all text and image", At: -1})
	list = append(list, make([]float32, e.a.Media.Dim))
	for i := range causes {
		s, err := e.scores(ctx, []batch.FeedRow{row}, instead{e.a.shown(), place, list[i]})
		if err != nil {
			return nil, err
		}
		causes[i].Delta = score - s[0]
	}
	return causes, nil
}

// instead shows one place by another vector.
type instead struct {
	batch.Media
	place  int32
	vector []float32
}

// At implements batch.Media.
func (m instead) At(place int32) []float32 {
	if place == m.place {
		return m.vector
	}
	return m.Media.At(place)
}

// scores are the logits of the only option of each row.
func (e *Explainer) scores(ctx context.Context, rows []batch.FeedRow, shown batch.Media) ([]float64, error) {
	size := e.a.Recipe.Recommend.Batch
	out := make([]float64, 0, len(rows))
	for from := 0; from < len(rows); from += size {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		part := rows[from:min(from+size, len(rows))]
		res, err := e.scorer.call(e.a.encode(part, e.a.Recipe.Feed.Options, shown))
		if err != nil {
			return nil, fmt.Errorf("explain: %w", err)
		}
		flat, width := floats(res[0])
		for i := range part {
			out = append(out, float64(flat[i*e.a.Recipe.Feed.Requests*width]))
		}
	}
	return out, nil
}
