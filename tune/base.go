package tune

import (
	"context"
	"fmt"

	"github.com/gomlx/compute"

	"github.com/whereto/whereto/fit"
	"github.com/whereto/whereto/pipeline"
	"github.com/whereto/whereto/poi"
	"github.com/whereto/whereto/ranker"
	"github.com/whereto/whereto/recipe"
	"github.com/whereto/whereto/spacetime"
)

// Base is the ordinary click model with, if wanted, what stages say of every
// candidate as further features (paper section 4.1.4, Table 4).
type Base struct {
	*ranker.Fit
	Feed   *poi.Feed
	Counts *pipeline.FeedReport
}

// AssembleBase prepares the click model on the data of a run. Each of with is a run
// of the embed stage, whose vectors enter as cosine and products, or of the rank
// stage, whose logits enter.
func AssembleBase(ctx context.Context, data *fit.Assembly, rec *recipe.Recipe, with []*Trained, backend compute.Backend, say pipeline.Progress) (*Base, error) {
	feed, counts, err := pipeline.LoadFeed(ctx, rec.Data, data.Dataset, say)
	if err != nil {
		return nil, err
	}
	var extra *ranker.Extra
	if len(with) > 0 {
		if extra, err = ranker.NewExtra(feed); err != nil {
			return nil, err
		}
	}
	for _, t := range with {
		if t.Feed.Fingerprint != feed.Fingerprint {
			return nil, fmt.Errorf("run %s was trained on other impressions than those at hand: %w", t.Base.Run.Dir(), poi.ErrBadInput)
		}
		if say != nil {
			say(fmt.Sprintf("features of %s for %d requests", t.Base.Run.Dir(), len(feed.Requests)))
		}
		if err := t.features(ctx, feed, extra, backend); err != nil {
			return nil, fmt.Errorf("features of %s: %w", t.Base.Run.Dir(), err)
		}
	}
	f, err := ranker.New(data.Dataset, feed, extra, rec.Ranker, rec.Training.Seed)
	if err != nil {
		return nil, err
	}
	return &Base{Fit: f, Feed: feed, Counts: counts}, nil
}

// features adds to extra what the stage says of every option of the feed.
func (t *Trained) features(ctx context.Context, feed *poi.Feed, extra *ranker.Extra, backend compute.Backend) error {
	requests := make([]*poi.Request, len(feed.Requests))
	for i := range requests {
		requests[i] = &feed.Requests[i]
	}
	switch t.Stage.Tune.Stage {
	case spacetime.StageRank, spacetime.StageAlign:
		s, err := t.scorer(t.Recipe.Name, backend, t.Store)
		if err != nil {
			return err
		}
		scores := room(requests)
		if err := s.Rank(ctx, requests, scores); err != nil {
			return err
		}
		return extra.AddScores(t.Recipe.Name, scores)
	}
	towers, err := t.Towers(t.Recipe.Name, backend, t.Store)
	if err != nil {
		return err
	}
	places, err := towers.Places(ctx)
	if err != nil {
		return err
	}
	users, err := towers.Users(ctx, requests)
	if err != nil {
		return err
	}
	return extra.AddVectors(t.Recipe.Name, rows(users, towers.Dim()), rows(places, towers.Dim()), true)
}

// rows cuts a flat matrix into its rows.
func rows(flat []float32, width int) [][]float32 {
	out := make([][]float32, len(flat)/width)
	for i := range out {
		out[i] = flat[i*width : (i+1)*width : (i+1)*width]
	}
	return out
}
