package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"

	"github.com/gomlx/compute"
	"github.com/spf13/cobra"

	"github.com/whereto/whereto/eval"
	"github.com/whereto/whereto/fit"
	"github.com/whereto/whereto/poi"
	"github.com/whereto/whereto/ranker"
	"github.com/whereto/whereto/recipe"
	"github.com/whereto/whereto/run"
	"github.com/whereto/whereto/spacetime"
	"github.com/whereto/whereto/tune"
)

// shownRuns measures runs on impressions.
type shownRuns struct {
	cmd     *cobra.Command
	backend compute.Backend
	from    *runFlags
	tag     poi.Tag
	saved   bool // take scores that an earlier call left in the run folders
}

// ranked are the scores of one run and what tells it from others.
type ranked struct {
	runID
	scores *eval.RankScores
}

// ranksFile holds the scores of a run on the impressions of a part.
func ranksFile(tag poi.Tag) string { return "ranks-" + tag.String() + ".jsonl" }

// table scores every run, groups seeds of one recipe and computes the figures. The
// first run is the one that others are compared with.
func (s *shownRuns) table(dirs []string) (*eval.RankResult, error) {
	var list []ranked
	var floors *eval.RankScores // of the first run that is scored now
	for _, dir := range dirs {
		r, f, err := s.run(dir, floors == nil)
		if err != nil {
			return nil, err
		}
		list = append(list, *r)
		floors = cmp.Or(floors, f)
	}
	seeds, err := bySeed(list, floors)
	if err != nil {
		return nil, err
	}
	return eval.RankFigures(seeds, eval.Options{Seed: 1})
}

// runID is a run given on the command line and what tells it from others.
type runID struct {
	name string // the recipe's
	dir  string
	key  string // the recipe without its seed
}

// system is the runs of one recipe, which are its seeds.
type system struct {
	name string
	runs []int // positions among those given
}

// systemsOf groups runs by recipe, in order of appearance. Each recipe must have as
// many runs; where settings tell recipes apart and names do not, folders name them.
func systemsOf(runs []runID) ([]system, error) {
	var out []system
	at, used := map[string]int{}, map[string]int{}
	for i, r := range runs {
		if _, known := at[r.key]; !known {
			at[r.key] = len(out)
			used[r.name]++
			out = append(out, system{name: r.name})
		}
		s := &out[at[r.key]]
		s.runs = append(s.runs, i)
	}
	for i := range out {
		s := &out[i]
		if len(s.runs) != len(out[0].runs) {
			return nil, fmt.Errorf("%d runs of %s and %d of %s: %w; give as many seeds of each", len(s.runs), s.name, len(out[0].runs), out[0].name, poi.ErrBadInput)
		}
		if used[s.name] > 1 {
			s.name = filepath.Base(filepath.Clean(runs[s.runs[0]].dir))
		}
	}
	return out, nil
}

// bySeed puts runs of one recipe below each other and recipes side by side.
func bySeed(list []ranked, floors *eval.RankScores) ([]*eval.RankScores, error) {
	ids := make([]runID, len(list))
	for i := range list {
		ids[i] = list[i].runID
	}
	systems, err := systemsOf(ids)
	if err != nil {
		return nil, err
	}
	out := make([]*eval.RankScores, len(systems[0].runs))
	for _, s := range systems {
		for i, at := range s.runs {
			r := list[at]
			r.scores.Rankers[0].Name = s.name
			if out[i] == nil {
				out[i] = r.scores
				continue
			}
			if out[i], err = eval.Join(out[i], r.scores); err != nil {
				return nil, fmt.Errorf("%s beside the others: %w", r.dir, err)
			}
		}
	}
	if floors == nil {
		return out, nil
	}
	for i := range out {
		if out[i], err = eval.Join(out[i], floors); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// run scores one run and, if asked, the floors on the same requests.
func (s *shownRuns) run(dir string, withFloors bool) (out *ranked, floors *eval.RankScores, err error) {
	rec, key, err := identify(dir)
	if err != nil {
		return nil, nil, err
	}
	out = &ranked{runID: runID{name: rec.Name, dir: dir, key: key}}
	path := filepath.Join(dir, ranksFile(s.tag))
	if s.saved {
		if out.scores, err = eval.LoadRankScores(path); err != nil {
			return nil, nil, fmt.Errorf("saved scores: %w; run without --saved once", err)
		}
		return out, nil, nil
	}
	ranks, on, err := s.open(dir, rec)
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, on.run.Close()) }()
	if err := noteRead(on.run.Run, s.tag.String()); err != nil {
		return nil, nil, err
	}
	if out.scores, err = eval.ScoreRank(s.cmd.Context(), on.data, on.feed, s.tag, []poi.Ranker{ranks}, eval.Options{}); err != nil {
		return nil, nil, err
	}
	if err := out.scores.Save(path); err != nil || !withFloors {
		return out, nil, err
	}
	floors, err = eval.ScoreRank(s.cmd.Context(), on.data, on.feed, s.tag,
		[]poi.Ranker{ranker.Popularity(on.data), ranker.Nearest(on.data), ranker.Displayed(), ranker.Random(1)}, eval.Options{})
	return out, floors, err
}

// ground is what a ranker is measured on, and the open run it came from.
type ground struct {
	data *poi.Dataset
	feed *poi.Feed
	run  *fit.Trained
}

// open returns the ranker of a run. The caller closes the run.
func (s *shownRuns) open(dir string, rec *recipe.Recipe) (ranks poi.Ranker, on ground, err error) {
	o := s.from.options(s.cmd, s.backend)
	if rec.Tune.Stage == spacetime.StageBase {
		b, t, err := s.base(dir, o)
		if err != nil {
			return nil, on, err
		}
		on = ground{b.Dataset, b.Feed, t}
		ranks, err = b.Ranker(rec.Name, s.backend, t.Store)
	} else {
		t, err := tune.Open(s.cmd.Context(), dir, o, tuneOptions(s.cmd, s.backend))
		if err != nil {
			return nil, on, err
		}
		on = ground{t.Dataset, t.Feed, t.Base}
		ranks, err = t.Ranker(rec.Name, s.backend, t.Store)
	}
	if err != nil {
		return nil, on, errors.Join(err, on.run.Close())
	}
	return ranks, on, nil
}

// base opens a run of the click model with the stages that its features come from.
func (s *shownRuns) base(dir string, o fit.OpenOptions) (*tune.Base, *fit.Trained, error) {
	t, err := fit.OpenParts(s.cmd.Context(), dir, o)
	if err != nil {
		return nil, nil, err
	}
	b, err := func() (*tune.Base, error) {
		from, err := originOf(t.Run)
		if err != nil {
			return nil, err
		}
		with, err := openWith(s.cmd, s.backend, from.With, o.Data)
		defer closeAll(with)
		if err != nil {
			return nil, fmt.Errorf("%s takes features from other runs: %w", dir, err)
		}
		return tune.AssembleBase(s.cmd.Context(), t.Assembly, t.Recipe, with, s.backend, sayTo(s.cmd))
	}()
	if err != nil {
		return nil, nil, errors.Join(err, t.Close())
	}
	return b, t, nil
}

// identify reads the recipe of a run folder, and what is one for all its seeds: the
// recipe without the seed, and for the click model those of the runs whose features
// it takes.
func identify(dir string) (rec *recipe.Recipe, key string, err error) {
	r, err := run.Open(dir)
	if err != nil {
		return nil, "", err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	return identity(r)
}

// identity is identify of an open folder.
func identity(r *run.Run) (rec *recipe.Recipe, key string, err error) {
	if rec, err = fit.Recipe(r); err != nil {
		return nil, "", err
	}
	s, err := settings(*rec)
	if err != nil {
		return nil, "", err
	}
	delete(s, "training.seed")
	for _, k := range slices.Sorted(maps.Keys(s)) {
		key += k + "=" + s[k] + "\n"
	}
	if rec.Tune.Stage == "" {
		return rec, key, nil
	}
	from, err := originOf(r)
	if err != nil {
		return nil, "", err
	}
	for _, w := range from.With {
		_, more, err := identify(w)
		if err != nil {
			return nil, "", err
		}
		key += more
	}
	return rec, key, nil
}

// writeRanks prints the table.
func writeRanks(w io.Writer, res *eval.RankResult, format string) error {
	switch format {
	case "json":
		return res.WriteJSON(w)
	case "markdown":
		return res.WriteMarkdown(w)
	}
	return res.WriteText(w)
}
