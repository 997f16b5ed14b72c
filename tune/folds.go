package tune

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/whereto/whereto/poi"
	"github.com/whereto/whereto/spacetime"
)

// A stage scores what it has learned from too well, and a click model that learns from
// such scores trusts them too much. Runs that each leave one part of the users out
// (feed.folds) together score every training request without having seen its clicks.

// voices are the runs that one group of features comes from: one run, or one for each
// fold, in their order.
type voices []*Trained

// voicesOf groups the runs of a click model.
func voicesOf(with []*Trained) ([]voices, error) {
	var out []voices
	byKind := map[string]int{}
	for _, t := range with {
		f := t.Recipe.Feed
		if f.Folds == 0 {
			out = append(out, voices{t})
			continue
		}
		if t.Stage.Tune.Stage != spacetime.StageRank {
			return nil, fmt.Errorf("run %s of stage %s leaves fold %d of %d out: %w; only logits of rank runs can be put together from folds, train it with feed.folds=0",
				t.Base.Run.Dir(), t.Stage.Tune.Stage, f.Fold, f.Folds, poi.ErrBadInput)
		}
		kind := fmt.Sprintf("%d folds, interest %d, media %s", f.Folds, t.Stage.Tune.Interest, t.Recipe.Media.Kind)
		at, seen := byKind[kind]
		if !seen {
			at = len(out)
			byKind[kind], out = at, append(out, nil)
		}
		out[at] = append(out[at], t)
	}
	for _, v := range out {
		if err := v.complete(); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// complete sorts the folds and checks that each is there once.
func (v voices) complete() error {
	slices.SortStableFunc(v, func(a, b *Trained) int { return cmp.Compare(a.Recipe.Feed.Fold, b.Recipe.Feed.Fold) })
	n := v[0].Recipe.Feed.Folds
	if n == 0 {
		return nil
	}
	for k := range max(n, len(v)) {
		switch {
		case k >= len(v) || k < n && v[k].Recipe.Feed.Fold > k:
			return fmt.Errorf("of %d folds like run %s none leaves fold %d out: %w; add that run", n, v[0].Base.Run.Dir(), k, poi.ErrBadInput)
		case k >= n || v[k].Recipe.Feed.Fold < k:
			return fmt.Errorf("run %s leaves fold %d of %d out as another does: %w; give each once", v[k].Base.Run.Dir(), v[k].Recipe.Feed.Fold, n, poi.ErrBadInput)
		}
	}
	return nil
}

// join puts together what the runs say of a feed: of a training request the word of the
// run that has not learned from its user, of any other the mean of all.
func (v voices) join(feed *poi.Feed, said [][][]float32) [][]float32 {
	if len(v) == 1 {
		return said[0]
	}
	out := make([][]float32, len(said[0]))
	for k := range out {
		out[k] = make([]float32, len(said[0][k]))
	}
	at := 0
	for i := range feed.Requests {
		q := &feed.Requests[i]
		next := at + len(q.Options)
		for run, t := range v {
			share := 1 / float32(len(v))
			if q.Tag == poi.Train {
				share = 0
				if t.Recipe.Feed.LeavesOut(q.User) {
					share = 1
				}
			}
			for k := range out {
				for c := at; c < next; c++ {
					out[k][c] += share * said[run][k][c]
				}
			}
		}
		at = next
	}
	return out
}
