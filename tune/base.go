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
// stage, whose logits enter, and with tune.interest the part of them that knows likings;
// rank runs with feed.folds enter together.
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
	}
	groups, err := voicesOf(with)
	if err != nil {
		return nil, err
	}
	for _, v := range groups {
		if err := v.features(ctx, feed, extra, backend, say); err != nil {
			return nil, err
		}
	}
	f, err := ranker.New(data.Dataset, feed, extra, rec.Ranker, rec.Training.Seed)
	if err != nil {
		return nil, err
	}
	return &Base{Fit: f, Feed: feed, Counts: counts}, nil
}
