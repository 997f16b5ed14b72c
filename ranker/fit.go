package ranker

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/whereto/whereto/metric"
	"github.com/whereto/whereto/poi"
	"github.com/whereto/whereto/training"
)

// Fit is a base ranker with its data, ready to train or to rank.
type Fit struct {
	Config  Config
	Dataset *poi.Dataset
	Feed    *poi.Feed
	Extra   *Extra // nil for none
	Seed    int64

	fields  *fields
	books   *books
	model   *Model
	train   []int32 // positions in Feed.Requests that the loss uses
	options int     // O of a training batch
}

// sampled is how many training requests the scale of the dense features is taken from.
const sampled = 20_000

// New reads the training requests of feed. extra may be nil. It wraps
// poi.ErrBadInput, ErrUnknownPOI or ErrUnknownUser for a feed that does not fit
// the data set and poi.ErrEmpty if there is nothing to learn from: no training
// requests after the warm-up, no clicks, or only clicks.
func New(d *poi.Dataset, feed *poi.Feed, extra *Extra, c Config, seed int64) (*Fit, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("base ranker: %w: %w", err, poi.ErrBadInput)
	}
	t := &Fit{Config: c, Dataset: d, Feed: feed, Extra: extra, Seed: seed, fields: newFields(d, c)}
	for i := range feed.Requests {
		r := &feed.Requests[i]
		if err := t.fields.check(d, r); err != nil {
			return nil, fmt.Errorf("base ranker: request %s: %w", r.ID, err)
		}
	}
	t.books = newBooks(d, feed, t.fields.leaf)
	clicks, rows := 0, 0
	order := byTime(feed)
	for _, i := range order[int(c.WarmUp*float64(len(order))):] {
		r := &feed.Requests[i]
		if len(r.Options) == 0 {
			continue
		}
		t.train = append(t.train, i)
		t.options = max(t.options, len(r.Options))
		rows += len(r.Options)
		for _, o := range r.Options {
			if o.Clicked {
				clicks++
			}
		}
	}
	if clicks == 0 || clicks == rows {
		return nil, fmt.Errorf("base ranker: %d training requests after a warm-up of %g show %d options, %d of them clicked: %w: there is nothing to tell apart",
			len(t.train), c.WarmUp, rows, clicks, poi.ErrEmpty)
	}
	rate := float64(clicks) / float64(rows)
	t.model = &Model{Config: c, Rows: t.fields.rows, Prior: float32(math.Log(rate / (1 - rate)))}
	return t, t.standardise()
}

// standardise takes mean and deviation of the dense features over evenly spaced
// training requests.
func (t *Fit) standardise() error {
	b := t.builder(true)
	w := b.width()
	sum, squares, n := make([]float64, w), make([]float64, w), 0.0
	step := max(1, len(t.train)/sampled)
	for k := 0; k < len(t.train); k += step {
		r := &t.Feed.Requests[t.train[k]]
		a := b.newArrays(1, len(r.Options))
		if err := b.put(a, 0, r); err != nil {
			return fmt.Errorf("base ranker: %w", err)
		}
		for i, x := range a.dense {
			sum[i%w] += float64(x)
			squares[i%w] += float64(x) * float64(x)
		}
		n += float64(len(r.Options))
	}
	for i := range sum {
		mean := sum[i] / n
		scale := 0.0 // a constant feature says nothing
		if v := squares[i]/n - mean*mean; v > 1e-8*(1+mean*mean) {
			scale = 1 / math.Sqrt(v)
		}
		t.model.Mean, t.model.Scale = append(t.model.Mean, float32(mean)), append(t.model.Scale, float32(scale))
	}
	return nil
}

func (t *Fit) builder(training bool) *builder {
	return &builder{c: t.Config, d: t.Dataset, f: t.fields, b: t.books, extra: t.Extra, training: training}
}

// Model is the network, for training.
func (t *Fit) Model() *Model { return t.model }

// NewStore returns an empty store with the fit's seed.
func (t *Fit) NewStore() *model.Store {
	s := model.NewStore()
	s.SetParam(model.ParamInitialSeed, t.Seed)
	return s
}

// Options are what training needs. Without validation requests there is no
// Validate.
func (t *Fit) Options(backend compute.Backend, store *model.Store) training.Options {
	o := training.Options{Backend: backend, Store: store, Model: t.model, Batches: t.Batches()}
	if len(t.Feed.ByTag[poi.Validation]) > 0 {
		o.Validate = t.Validate(backend)
	}
	return o
}

// Batches are the training requests in seeded order, Config.Batch at a time; the
// last batch of an epoch is filled up with padding.
func (t *Fit) Batches() training.Batches { return &batches{fit: t, build: t.builder(true), epoch: -1} }

type batches struct {
	fit   *Fit
	build *builder
	epoch int     // of order
	order []int32 // of the epoch
}

func (b *batches) Steps(int) int {
	return (len(b.fit.train) + b.fit.Config.Batch - 1) / b.fit.Config.Batch
}

func (b *batches) Batch(ctx context.Context, epoch, step int) (training.Batch, error) {
	if err := ctx.Err(); err != nil {
		return training.Batch{}, err
	}
	if b.epoch != epoch {
		b.order, b.epoch = slices.Clone(b.fit.train), epoch
		rng := rand.New(rand.NewPCG(uint64(b.fit.Seed), uint64(epoch)+0x72616e6b))
		rng.Shuffle(len(b.order), func(i, j int) { b.order[i], b.order[j] = b.order[j], b.order[i] })
	}
	size := b.fit.Config.Batch
	if step < 0 || step >= b.Steps(epoch) {
		return training.Batch{}, fmt.Errorf("batch %d of %d: %w", step, b.Steps(epoch), poi.ErrBadInput)
	}
	a := b.build.newArrays(size, b.fit.options)
	rows := 0
	for i, at := range b.order[step*size : min((step+1)*size, len(b.order))] {
		r := &b.fit.Feed.Requests[at]
		if err := b.build.put(a, i, r); err != nil {
			return training.Batch{}, err
		}
		rows += len(r.Options)
	}
	inputs := append(b.build.inputs(a),
		training.Array{Data: a.label, Dims: []int{a.r, a.o}}, training.Array{Data: a.weight, Dims: []int{a.r, a.o}})
	return training.Batch{Inputs: inputs, Weight: float64(rows), Tokens: rows}, nil
}

// inputs are the arrays that training and prediction share, in the graph's order.
func (s *builder) inputs(a *arrays) []training.Array {
	h := s.c.History
	return []training.Array{
		{Data: a.request, Dims: []int{a.r, requestFields}},
		{Data: a.option, Dims: []int{a.r, a.o, optionFields}},
		{Data: a.dense, Dims: []int{a.r, a.o, s.width()}},
		{Data: a.past, Dims: []int{a.r, h, pastRows}},
		{Data: a.pastAt, Dims: []int{a.r, h, pastNumbers}},
		{Data: a.at, Dims: []int{a.r, a.o, 2}},
	}
}

// Validate returns the function that training calls to choose an epoch: "auc"
// over all options of the validation requests, "gauc" within requests, "log_loss".
func (t *Fit) Validate(backend compute.Backend) training.ValidateFunc {
	var network *Network
	return func(ctx context.Context, store *model.Store) (map[string]float64, error) {
		if network == nil || network.store != store {
			var err error
			if network, err = t.Ranker("validation", backend, store); err != nil {
				return nil, err
			}
		}
		return t.measure(ctx, network)
	}
}

// measure gives the figures of Validate; the log loss of a Network only, because
// other scores are no probabilities.
func (t *Fit) measure(ctx context.Context, r poi.Ranker) (map[string]float64, error) {
	var requests []*poi.Request
	var dst [][]float64
	for _, i := range t.Feed.ByTag[poi.Validation] {
		requests = append(requests, &t.Feed.Requests[i])
		dst = append(dst, make([]float64, len(t.Feed.Requests[i].Options)))
	}
	if err := r.Rank(ctx, requests, dst); err != nil {
		return nil, err
	}
	var groups []int32
	var clicked []bool
	for i, r := range requests {
		for _, o := range r.Options {
			groups, clicked = append(groups, int32(i)), append(clicked, o.Clicked)
		}
	}
	scores := slices.Concat(dst...)
	auc, defined, err := metric.AUC(scores, clicked)
	if err == nil && !defined {
		err = fmt.Errorf("%d validation requests have clicks only, or none: %w", len(requests), poi.ErrEmpty)
	}
	if err != nil {
		return nil, err
	}
	out := map[string]float64{"auc": auc}
	if gauc, _, err := metric.GAUC(groups, scores, clicked); err == nil { // undefined if no request has both
		out["gauc"] = gauc
	}
	if _, ok := r.(*Network); !ok {
		return out, nil
	}
	losses, err := metric.LogLosses(scores, clicked)
	if err != nil {
		return nil, err
	}
	for _, x := range losses {
		out["log_loss"] += x / float64(len(losses))
	}
	return out, nil
}

var _ training.Model = (*Model)(nil)
