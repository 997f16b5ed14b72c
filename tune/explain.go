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

// Kinds of causes.
const (
	CauseAction  = "action"
	CauseName    = "name"
	CauseAddress = "address"
	CauseTag     = "tags" // one of them
	CauseReview  = "review"
	CauseImage   = "image"
	CauseAll     = "all text and image"
)

// Cause is something that moved the score of a place: what the logit loses if it is
// taken away. Negative: it spoke against the place.
type Cause struct {
	Kind  string  `json:"kind"` // one of the Cause constants
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
	// itself, nil where the run sees neither text nor image; both by falling size of
	// Delta.
	Actions []Cause `json:"actions"`
	Parts   []Cause `json:"parts"`
}

// Explainer attributes scores of the rank stage by taking things away one at a time:
// exact for a single cause, and unlike gradients in the unit of the score. What two
// causes say together is in neither. What the place shows is taken from it wherever
// the network meets it: as the candidate and among the past actions.
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
	whole := trial{batch.FeedRow{User: q.User, Visits: visits, From: from, Requests: []*poi.Request{&asked}}, e.a.shown()}
	without := asked
	without.Pos--
	trials := []trial{whole}
	for i := from; i < len(visits); i++ {
		less := whole
		less.row.Visits, less.row.Requests = slices.Concat(visits[:i], visits[i+1:]), []*poi.Request{&without}
		trials = append(trials, less)
	}
	scores, err := e.scores(ctx, trials)
	if err != nil {
		return nil, err
	}
	out := &Explanation{Request: q, POI: place, Score: scores[0]}
	for i, s := range scores[1:] {
		p := e.a.Dataset.Places[visits[from+i].POI]
		out.Actions = append(out.Actions, Cause{Kind: CauseAction, Label: cmp.Or(p.Name, p.ID), Delta: scores[0] - s, At: from + i})
	}
	if e.a.Media != nil {
		if out.Parts, err = e.parts(ctx, whole, place, scores[0]); err != nil {
			return nil, err
		}
	}
	for _, list := range [][]Cause{out.Actions, out.Parts} {
		slices.SortStableFunc(list, func(x, y Cause) int { return cmp.Compare(max(y.Delta, -y.Delta), max(x.Delta, -x.Delta)) })
	}
	return out, nil
}

// parts takes away what the place shows, piece by piece.
func (e *Explainer) parts(ctx context.Context, whole trial, place int32, score float64) ([]Cause, error) {
	id := e.a.Dataset.Places[place].ID
	causes, items := e.pieces(place)
	if len(items) == 0 {
		return nil, nil
	}
	items = append(items, e.item(place))
	list, err := e.encoder.Encode(ctx, items)
	if err != nil {
		return nil, fmt.Errorf("explain %s: %w", id, err)
	}
	if len(list) != len(items) {
		return nil, fmt.Errorf("explain %s: %w: %s gave %d vectors for %d items", id, media.ErrEncoder, e.encoder.Name(), len(list), len(items))
	}
	for _, v := range list {
		if len(v) != e.a.Media.Dim {
			return nil, fmt.Errorf("explain %s: %w: %s gave %d numbers, the run was trained on %d", id, media.ErrEncoder, e.encoder.Name(), len(v), e.a.Media.Dim)
		}
	}
	own := list[len(list)-1]
	causes, list[len(list)-1] = append(causes, Cause{Kind: CauseAll, At: -1}), make([]float32, e.a.Media.Dim)
	trials := make([]trial, len(list))
	for i, v := range list {
		trials[i] = trial{whole.row, instead{whole.shown, place, e.a.Media.Instead(int(place), own, v)}}
	}
	scores, err := e.scores(ctx, trials)
	if err != nil {
		return nil, err
	}
	for i := range causes {
		causes[i].Delta = score - scores[i]
	}
	return causes, nil
}

// item is the place as the encoder was given it.
func (e *Explainer) item(place int32) media.Item {
	d := e.details[place]
	return media.Item{Text: media.Text(e.a.Dataset.Places[place], d), Image: d.Image}
}

// pieces are what the place has, and what it looks like to the encoder without each.
func (e *Explainer) pieces(place int32) (causes []Cause, items []media.Item) {
	p, d := e.a.Dataset.Places[place], e.details[place]
	add := func(kind, label string, at int, p poi.Place, d poi.Details) {
		causes = append(causes, Cause{Kind: kind, Label: label, At: at})
		items = append(items, media.Item{Text: media.Text(p, d), Image: d.Image})
	}
	if p.Name != "" {
		nameless := p
		nameless.Name = ""
		add(CauseName, p.Name, -1, nameless, d)
	}
	if d.Address != "" {
		less := d
		less.Address = ""
		add(CauseAddress, d.Address, -1, p, less)
	}
	for i, tag := range d.Tags {
		less := d
		less.Tags = slices.Concat(d.Tags[:i], d.Tags[i+1:])
		add(CauseTag, tag, i, p, less)
	}
	for i, review := range d.Reviews {
		less := d
		less.Reviews = slices.Concat(d.Reviews[:i], d.Reviews[i+1:])
		add(CauseReview, review, i, p, less)
	}
	if len(d.Image) > 0 {
		less := d
		less.Image = nil
		add(CauseImage, "", -1, p, less)
	}
	return causes, items
}

// trial is one score to compute: a window with one request of one option, and how
// places show themselves in it.
type trial struct {
	row   batch.FeedRow
	shown batch.Media
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

// scores are the logits of trials.
func (e *Explainer) scores(ctx context.Context, trials []trial) ([]float64, error) {
	size := e.a.Recipe.Recommend.Batch
	out := make([]float64, 0, len(trials))
	for from := 0; from < len(trials); from += size {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		part := trials[from:min(from+size, len(trials))]
		res, width, err := e.scorer.call(e.stack(part, size))
		if err != nil {
			return nil, err
		}
		for i := range part {
			out = append(out, float64(res[0][i*width]))
		}
	}
	return out, nil
}

// stack encodes trials one below the other, padded to size: each has media of its
// own, which one call of the encoder would share.
func (e *Explainer) stack(list []trial, size int) []any {
	shape := batch.Shape{B: 1, N: e.a.Recipe.Batch.Window, M: 1, C: 1}
	var all [batch.NumFeed]batch.Array
	for i := range size {
		rows, shown := []batch.FeedRow(nil), list[0].shown
		if i < len(list) {
			rows, shown = []batch.FeedRow{list[i].row}, list[i].shown
		}
		for k, x := range e.a.Encoder.EncodeFeed(rows, shape, shown).Arrays {
			all[k].I, all[k].F = append(all[k].I, x.I...), append(all[k].F, x.F...)
			all[k].Dims = append([]int{size}, x.Dims[1:]...)
		}
	}
	out := make([]any, len(all))
	for k := range all {
		out[k] = spacetime.Tensor(all[k])
	}
	return out
}
