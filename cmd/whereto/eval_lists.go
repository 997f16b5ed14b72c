package main

import (
	"errors"
	"fmt"

	"github.com/gomlx/compute"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/whereto/whereto/align"
	"github.com/whereto/whereto/endpoint"
	"github.com/whereto/whereto/eval"
	"github.com/whereto/whereto/fit"
	"github.com/whereto/whereto/judge"
	"github.com/whereto/whereto/pipeline"
	"github.com/whereto/whereto/poi"
	"github.com/whereto/whereto/recipe"
	"github.com/whereto/whereto/run"
	"github.com/whereto/whereto/spacetime"
)

// Judges of --judge.
const (
	noJudge    = "none"
	cityJudge  = "city"
	modelJudge = "endpoint"
)

// maxListRows bounds --rows and --judge-cases: a file of lists stays readable.
const maxListRows = 10_000

// listFlags are the flags of `whereto eval --on lists`.
type listFlags struct {
	rules      string
	judge      *enum
	url, model string
	cases      int
	rows       int
}

func (f *listFlags) bind(flags *pflag.FlagSet) {
	f.judge = &enum{noJudge, []string{noJudge, cityJudge, modelJudge}}
	flags.StringVar(&f.rules, "rules", "", "lists: rule file; how much of the lists its categories fill, at its hours and at others")
	flags.Var(f.judge, "judge", "lists: who compares the lists of each later run with the first's. city: the truth of the simulated city; endpoint: a language model")
	flags.StringVar(&f.url, "judge-url", "", "lists: OpenAI-compatible server of --judge endpoint, such as http://localhost:8000/v1; its key is read from "+endpoint.Default().KeyEnv)
	flags.StringVar(&f.model, "judge-model", "", "lists: model of that server")
	flags.IntVar(&f.cases, "judge-cases", 800, "lists: requests that are judged, evenly spaced")
	flags.IntVar(&f.rows, "rows", 2000, "lists: moments of each kind at which lists are made, evenly spaced")
}

// check finds the mistakes that need no run folder.
func (f *listFlags) check(cmd *cobra.Command, on string) error {
	if on != "lists" {
		for _, name := range []string{"rules", "judge", "judge-url", "judge-model", "judge-cases", "rows"} {
			if cmd.Flags().Changed(name) {
				return usageError(cmd, "--%s goes with --on lists", name)
			}
		}
		return nil
	}
	if cmd.Flags().Changed("protocol") {
		return usageError(cmd, "--protocol goes with --on targets; lists are made at the moments of the run's own data")
	}
	for _, n := range []struct {
		name  string
		value int
	}{{"rows", f.rows}, {"judge-cases", f.cases}} {
		if n.value < 1 || n.value > maxListRows {
			return usageError(cmd, "--%s is %d, want 1 to %d", n.name, n.value, maxListRows)
		}
	}
	if f.judge.value != modelJudge {
		if f.url != "" || f.model != "" {
			return usageError(cmd, "--judge-url and --judge-model go with --judge %s", modelJudge)
		}
		return nil
	}
	return asUsage(cmd, f.server("").Validate())
}

// server is how the judge is reached; answers are kept in the folder cache.
func (f *listFlags) server(cache string) endpoint.Config {
	c := endpoint.Default()
	c.URL, c.Model, c.Cache = f.url, f.model, cache
	return c
}

// listed is a run with the lists it makes.
type listed struct {
	runID
	rec   *recipe.Recipe
	data  string      // fingerprint of the data of training
	lists [][][]int32 // by kind of moment, by moment: places, best first
}

// listRuns measures the lists of runs.
type listRuns struct {
	cmd     *cobra.Command
	flags   *listFlags
	from    *runFlags
	tag     poi.Tag
	saved   bool // take lists that an earlier call left in the run folders
	rules   *align.Rules
	say     pipeline.Progress
	backend compute.Backend // nil with saved
	runs    []*listed
	at      *moments     // nil until data are loaded
	truth   *judge.Truth // nil for other judges
}

// print measures and prints. What was computed before an error, such as a judge that
// is out of reach, is printed too.
func (l *listRuns) print(dirs []string, format string) error {
	report, err := l.measure(dirs)
	if report != nil {
		err = errors.Join(report.write(l.cmd.OutOrStdout(), format), err)
	}
	return err
}

// measure makes the lists of every run and computes the figures. The first run is
// the one that others are compared with. A report with an error holds what was
// computed before it.
func (l *listRuns) measure(dirs []string) (report *listReport, err error) {
	l.say = sayTo(l.cmd)
	if l.flags.rules != "" {
		if l.rules, err = align.Load(l.flags.rules); err != nil {
			return nil, err
		}
	}
	ids := make([]runID, len(dirs))
	for i, dir := range dirs {
		r, err := generator(dir)
		if err != nil {
			return nil, err
		}
		if l.runs = append(l.runs, r); r.data != l.runs[0].data {
			return nil, fmt.Errorf("%s was trained on data %.12s, %s on data %.12s: %w", dirs[0], l.runs[0].data, dir, r.data, eval.ErrMixed)
		}
		ids[i] = r.runID
	}
	systems, err := systemsOf(ids)
	if err != nil {
		return nil, err
	}
	if len(systems) < 2 && (l.rules != nil || l.flags.judge.value != noJudge) {
		return nil, usageError(l.cmd, "--rules and --judge compare runs of two recipes and there is one; give another run")
	}
	if !l.saved {
		if l.backend, err = openEngine(l.cmd); err != nil {
			return nil, err
		}
		defer l.backend.Finalize()
	}
	for _, r := range l.runs {
		if err := l.lists(r); err != nil {
			return nil, err
		}
	}
	return l.figures(systems)
}

// generator reads what a run was made from, and refuses one that makes no lists.
func generator(dir string) (out *listed, err error) {
	r, err := run.Open(dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	rec, key, err := identity(r)
	if err != nil {
		return nil, err
	}
	if s := rec.Tune.Stage; s != "" && s != spacetime.StageAlign {
		return nil, fmt.Errorf("%s is of stage %s, which scores candidates and makes no lists: %w; give the run it started from (%s names it) or an aligned one, or measure it with --on impressions",
			dir, s, poi.ErrBadInput, r.Path(baseFile))
	}
	return &listed{runID: runID{name: rec.Name, dir: dir, key: key}, rec: rec, data: r.Meta().DataFingerprint}, nil
}

// lists fills in the lists of a run: those of its folder, or new ones, which are
// left there.
func (l *listRuns) lists(r *listed) (err error) {
	if l.saved {
		if l.at == nil {
			if err := l.readMoments(); err != nil {
				return err
			}
		}
		return l.load(r)
	}
	t, err := fit.Open(l.cmd.Context(), r.dir, l.from.options(l.cmd, l.backend))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.Close()) }()
	if l.at == nil {
		if err := l.newMoments(t.Dataset); err != nil {
			return err
		}
	}
	if err := noteRead(t.Run, l.tag.String()); err != nil {
		return err
	}
	for i := range l.at.kinds {
		k := &l.at.kinds[i]
		lists, err := l.ask(t, k)
		if err != nil {
			return fmt.Errorf("lists of %s for %s: %w", r.dir, k.name, err)
		}
		r.lists = append(r.lists, lists)
	}
	return l.save(t.Run, r)
}

// dataOf is the data settings of a run, with the paths of --data.
func (l *listRuns) dataOf(r *listed) pipeline.Config {
	cfg := r.rec.Data
	if l.from.data != nil {
		cfg.Paths = l.from.data
	}
	return cfg
}

// pooled are the lists of each system at the moments of a kind that at picks, seed
// after seed. Moments are repeated likewise (repeat), so that a mean over all rows is
// the mean over seeds, and an interval that draws users draws a person with all seeds.
func (l *listRuns) pooled(systems []system, kind int, at []int) [][][]int32 {
	out := make([][][]int32, len(systems))
	for s := range systems {
		for _, r := range systems[s].runs {
			for _, i := range at {
				out[s] = append(out[s], l.runs[r].lists[kind][i])
			}
		}
	}
	return out
}

// repeat gives the rows that at picks, times over.
func repeat[T any](rows []T, at []int, times int) []T {
	out := make([]T, 0, times*len(at))
	for range times {
		for _, i := range at {
			out = append(out, rows[i])
		}
	}
	return out
}

// figures computes all tables.
func (l *listRuns) figures(systems []system) (*listReport, error) {
	seeds, opt := len(systems[0].runs), eval.Options{Seed: 1}
	out := &listReport{Split: l.tag.String(), Fingerprint: l.at.d.Fingerprint, Rows: l.flags.rows, Top: l.at.top, Seeds: seeds}
	if l.at.feed != nil {
		out.Feed = l.at.feed.Fingerprint
	}
	var names []string
	for _, s := range systems {
		names = append(names, s.name)
		row := listSystem{Name: s.name}
		for _, r := range s.runs {
			row.Runs = append(row.Runs, l.runs[r].dir)
		}
		out.Systems = append(out.Systems, row)
	}
	for i := range l.at.kinds {
		k := &l.at.kinds[i]
		out.Moments = append(out.Moments, listMoments{Name: k.name, N: len(k.requests), Of: k.of})
		if len(k.hunted) > 0 {
			hunt := eval.Hunt{Name: k.hunt, Queries: repeat(k.queries, k.hunted, seeds), Wanted: repeat(k.wanted, k.hunted, seeds)}
			t, err := eval.HitRates(hunt, names, l.pooled(systems, i, k.hunted), hitTops(l.at.top), opt)
			if err != nil {
				return out, err
			}
			t.N /= seeds
			out.Hits = append(out.Hits, t)
		}
		t, err := eval.Discovery(names, l.pooled(systems, i, k.all()), repeat(k.queries, k.all(), seeds), discoveryTops, discoveryDays, opt)
		if err != nil {
			return out, err
		}
		t.N /= seeds
		out.Discovery = append(out.Discovery, listDiscovery{Moments: k.name, DiscoveryTable: t})
	}
	var err error
	if out.Moved, err = l.moved(systems); err != nil {
		return out, err
	}
	out.Judged, err = l.judged(systems)
	return out, err
}

// moved compares the lists of each later system with the first's, by the rules.
func (l *listRuns) moved(systems []system) ([]listMoved, error) {
	if l.rules == nil {
		return nil, nil
	}
	kind := len(l.at.kinds) - 1 // the requests of a feed, if there is one
	k, seeds := &l.at.kinds[kind], len(systems[0].runs)
	lists, requests := l.pooled(systems, kind, k.all()), repeat(k.requests, k.all(), seeds)
	var out []listMoved
	for s := 1; s < len(systems); s++ {
		o := align.MovedOptions{}
		o.Bootstrap.Seed = 1
		m, err := align.Moved(l.rules, l.at.d, requests, lists[0], lists[s], o)
		if err != nil {
			return out, fmt.Errorf("%s beside %s: %w", systems[s].name, systems[0].name, err)
		}
		for i := range m.Rules {
			m.Rules[i].Inside.N /= seeds
			m.Rules[i].Outside.N /= seeds
		}
		out = append(out, listMoved{Name: systems[s].name, Against: systems[0].name, Moments: k.name, Movement: m})
	}
	return out, nil
}

// hitTops are the lengths of lists of the paper's tables 7 and 9, as far as lists go.
func hitTops(most int) []int {
	tops := []int{1, 10, 100}
	for len(tops) > 1 && tops[len(tops)-1] > most {
		tops = tops[:len(tops)-1]
	}
	return tops
}

// discoveryTops and discoveryDays are the lengths of lists and the active days of
// the discovery rates (paper figure 4).
var (
	discoveryTops = []int{1, 5, 10}
	discoveryDays = []int{1, 7, 30}
)

// listsName is the file of a run's lists on a part.
func listsName(tag poi.Tag) string { return "lists-" + tag.String() + ".json" }
