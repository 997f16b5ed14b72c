// Package pipeline is the one way from files and settings to a data set and its
// index: read (or simulate), split, clean, index. Every command that needs data
// calls Load, so that training, evaluation and serving cannot see different
// data. LoadFeed adds the impressions of the same log, LoadDetails the texts and
// images of its places.
//
// Words. A data folder holds a log and what belongs to it: ActionsFile and, each
// optional, ProfilesFile, DetailsFile and ImpressionsFile. Import and WriteCity
// write such folders. A feed is the impressions in terms of a data set.
//
// Promises. The result is a function of the files' content and the Config, but
// for Dataset.Name. The index counts popularity on training visits only. A
// request of a feed never sees a visit at or after its instant, and lies in the
// part (train, validation, test) that the check-ins of its time lie in. A folder
// gives the data set, the feed and the details that it was written from.
//
// Failure. Errors come from the step that failed and wrap poi.ErrBadInput,
// poi.ErrEmpty or the error of the file system; a done context stops between
// steps and while reading.
package pipeline

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/whereto/whereto/city"
	"github.com/whereto/whereto/index"
	"github.com/whereto/whereto/poi"
	"github.com/whereto/whereto/source"
	"github.com/whereto/whereto/split"
)

// Files of a data folder that are read again; only the log must be there.
const (
	ActionsFile     = "actions.parquet"
	ProfilesFile    = "profiles.parquet"
	DetailsFile     = "places.parquet"
	ImpressionsFile = "impressions.parquet"
)

// Progress is told what is being done, a short phrase; nil is silent.
type Progress func(doing string)

func (p Progress) say(format string, args ...any) {
	if p != nil {
		p(fmt.Sprintf(format, args...))
	}
}

// Report says what Load met on its way.
type Report struct {
	Card   *split.Card
	Source source.Report // zero for the simulated city
	// Warnings are doubts about a whole file, each a sentence.
	Warnings []string
}

// Load reads, splits, cleans and indexes. Rejected rows are counted in the
// report; use Read to keep them.
func Load(ctx context.Context, cfg Config, progress Progress) (*poi.Dataset, *index.Index, *Report, error) {
	log, err := Read(ctx, cfg, io.Discard, progress)
	if err != nil {
		return nil, nil, nil, err
	}
	return Build(ctx, cfg, log, progress)
}

// Log is what Read found.
type Log struct {
	Name     string // of the data: file names, or "city-<seed>"
	Actions  []poi.Action
	Source   source.Report
	Profiles map[string]poi.Profile // by user id; nil when the source knows none
}

// Read validates the settings and returns the actions of the files or the
// simulated city. Bad rows go to rejects, one JSON object a line.
func Read(ctx context.Context, cfg Config, rejects io.Writer, progress Progress) (*Log, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if len(cfg.Paths) == 0 {
		return simulate(ctx, cfg.City, progress)
	}
	paths, err := files(cfg)
	if err != nil {
		return nil, err
	}
	log := &Log{Name: name(cfg.Paths)}
	progress.say("reading %s", log.Name)
	log.Actions, log.Source, err = source.ReadAll(ctx, paths, source.Options{Format: source.Format(cfg.Format),
		Zone: cfg.Zone, MaxBadRows: cfg.MaxBadRows, Reject: rejects})
	if err != nil {
		return nil, err
	}
	return log, readProfiles(ctx, cfg, log, rejects)
}

// files replaces folders by the log inside them.
func files(cfg Config) ([]string, error) {
	out := make([]string, len(cfg.Paths))
	for i, p := range cfg.Paths {
		info, err := os.Stat(p)
		if err != nil {
			return nil, fmt.Errorf("pipeline: open the data: %w", err)
		}
		out[i] = p
		if !info.IsDir() {
			continue
		}
		if out[i] = filepath.Join(p, ActionsFile); !exists(out[i]) {
			return nil, fmt.Errorf("pipeline: the folder %s holds no %s; give log files, or a folder made by `whereto data import`: %w", p, ActionsFile, poi.ErrBadInput)
		}
		if cfg.Format != string(source.Actions) {
			return nil, fmt.Errorf("pipeline: the folder %s holds actions, not format %q; use format %q: %w", p, cfg.Format, source.Actions, poi.ErrBadInput)
		}
	}
	return out, nil
}

// name joins the base names of paths, shortened to three.
func name(paths []string) string {
	var base []string
	for i, p := range paths {
		if i == 3 {
			base = append(base, fmt.Sprintf("%d more", len(paths)-i))
			break
		}
		base = append(base, filepath.Base(filepath.Clean(p)))
	}
	return strings.Join(base, "+")
}

func cityName(cfg city.Config) string { return fmt.Sprintf("city-%d", cfg.Seed) }

func simulate(ctx context.Context, cfg city.Config, progress Progress) (*Log, error) {
	progress.say("simulating a city of %d people", cfg.Users)
	c, err := city.New(cfg)
	if err != nil {
		return nil, err
	}
	log := &Log{Name: cityName(cfg), Profiles: make(map[string]poi.Profile, c.Users())}
	err = c.Each(ctx, func(a *poi.Action) error {
		log.Actions = append(log.Actions, *a)
		return nil
	})
	if err != nil {
		return nil, err
	}
	for u := range c.Users() {
		log.Profiles[c.UserID(u)] = c.Profile(u)
	}
	return log, nil
}

// Build splits, cleans and indexes what Read found, with the same settings.
func Build(ctx context.Context, cfg Config, log *Log, progress Progress) (*poi.Dataset, *index.Index, *Report, error) {
	d, report, err := Describe(ctx, cfg, log, progress)
	if err != nil {
		return nil, nil, nil, err
	}
	progress.say("indexing %d POIs", len(d.Places))
	ix, err := index.Build(d.Places, Popularity(d), cfg.Index)
	if err != nil {
		return nil, nil, nil, err
	}
	return d, ix, report, nil
}

// Describe is Build without the index.
func Describe(ctx context.Context, cfg Config, log *Log, progress Progress) (*poi.Dataset, *Report, error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, fmt.Errorf("pipeline: stopped before the split: %w", err)
	}
	progress.say("splitting %d actions by %s", len(log.Actions), cfg.Protocol)
	d, card, err := split.Build(log.Actions, cfg.split())
	if err != nil {
		return nil, nil, err
	}
	d.Name, card.Name = log.Name, log.Name
	if log.Profiles != nil {
		for u := range d.Users {
			d.Users[u].Profile = log.Profiles[d.Users[u].ID]
		}
		d.Fingerprint = split.Fingerprint(d)
		card.Fingerprint = d.Fingerprint
	}
	card.SetRejects(log.Source.Bad, log.Source.ByReason)
	if err := ctx.Err(); err != nil {
		return nil, nil, fmt.Errorf("pipeline: stopped after the split: %w", err)
	}
	return d, &Report{Card: card, Source: log.Source, Warnings: log.Source.Warnings}, nil
}

// Popularity counts each POI's visits in the train part: what an index may know.
func Popularity(d *poi.Dataset) []int64 {
	n := make([]int64, len(d.Places))
	for _, u := range d.Users {
		for _, v := range u.Visits {
			if v.Tag == poi.Train {
				n[v.POI]++
			}
		}
	}
	return n
}
