package main

import (
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/whereto/whereto/city"
	"github.com/whereto/whereto/endpoint"
	"github.com/whereto/whereto/judge"
	"github.com/whereto/whereto/pipeline"
	"github.com/whereto/whereto/poi"
)

const (
	// judgedTop is the length of judged lists (paper section 4.1.5).
	judgedTop = 10
	// judgeFolder keeps a model's answers, in the folder of the later run.
	judgeFolder = "judge-cache"
)

// judged has the lists of each later system compared with the first's. Seeds are
// compared one by one, in their order.
func (l *listRuns) judged(systems []system) ([]*judge.Result, error) {
	if l.flags.judge.value == noJudge {
		return nil, nil
	}
	cases, err := l.cases(systems)
	if err != nil {
		return nil, err
	}
	var out []*judge.Result
	for s := 1; s < len(systems); s++ {
		opt := judge.Options{A: systems[s].name, B: systems[0].name, Progress: l.judging(systems[s].name)}
		opt.Bootstrap.Seed = 1
		var j judge.Judge = l.truth
		opt.Workers = 1 // a city keeps what it knows of the person asked last
		cache := filepath.Join(l.runs[systems[s].runs[0]].dir, judgeFolder)
		if l.truth == nil {
			cfg := l.flags.server(cache)
			client, err := endpoint.New(cfg)
			if err != nil {
				return out, err
			}
			j, opt.Workers = &judge.Model{Asker: client, Label: cfg.Model}, cfg.Concurrency
		}
		r, err := judge.Compare(l.cmd.Context(), j, cases[s], opt)
		if err != nil {
			err = fmt.Errorf("%s against %s: %w", opt.A, opt.B, err)
			if l.truth == nil {
				err = fmt.Errorf("%w; nothing is lost: the lists are in %s of each run folder and the answers so far in %s; run again with --saved to go on", err, listsName(l.tag), cache)
			}
			return out, err
		}
		out = append(out, r)
	}
	return out, nil
}

// cases writes the cases of each later system: nil for the first.
func (l *listRuns) cases(systems []system) ([][]judge.Case, error) {
	kind := len(l.at.kinds) - 1 // the requests of a feed, if there is one
	k := &l.at.kinds[kind]
	tell := judge.Teller{Data: l.at.d}
	if l.flags.judge.value == modelJudge {
		l.say("reading what is known of the places")
		details, err := pipeline.LoadDetails(l.cmd.Context(), l.at.cfg, l.at.d)
		switch {
		case err == nil:
			tell.Details = func(p int32) poi.Details { return details[p] }
		case !errors.Is(err, poi.ErrEmpty): // without any, names and categories tell
			return nil, err
		}
	}
	n := min(l.flags.cases, len(k.requests))
	out := make([][]judge.Case, len(systems))
	for s := 1; s < len(systems); s++ {
		for seed, r := range systems[s].runs {
			later, first := l.runs[r].lists[kind], l.runs[systems[0].runs[seed]].lists[kind]
			for i := range n {
				at := i * len(k.requests) / n
				id := k.requests[at].ID
				if len(systems[s].runs) > 1 {
					id += fmt.Sprintf(" pair %d", seed+1)
				}
				c, err := tell.Case(id, k.queries[at], later[at][:min(judgedTop, len(later[at]))], first[at][:min(judgedTop, len(first[at]))])
				if err != nil {
					return nil, fmt.Errorf("%s against %s: %w", systems[s].name, systems[0].name, err)
				}
				out[s] = append(out[s], c)
			}
		}
	}
	return out, nil
}

// judging tells of progress now and then.
func (l *listRuns) judging(name string) func(done, total int) {
	next := time.Now().Add(askQuiet)
	return func(done, total int) {
		if now := time.Now(); done == total || now.After(next) {
			next = now.Add(askQuiet)
			l.say(fmt.Sprintf("judged the lists of %s: %d of %d cases", name, done, total))
		}
	}
}

// cityTruth is the judge that knows the simulated city.
func (l *listRuns) cityTruth() (*judge.Truth, error) {
	cfg, err := pipeline.CityOf(l.at.cfg)
	if err != nil {
		return nil, fmt.Errorf("--judge %s needs a simulated city: %w; or take --judge %s", cityJudge, err, modelJudge)
	}
	l.say(fmt.Sprintf("building the city of %d people for its truth", cfg.Users))
	c, err := city.New(cfg)
	if err != nil {
		return nil, err
	}
	places, err := placesOf(c, l.at.d)
	if err != nil {
		return nil, err
	}
	d := l.at.d
	return &judge.Truth{Relevance: func(user int32, q poi.Query, place int32) float64 {
		u, known := personOf(c, d.Users[user].ID)
		if !known || !q.HasPos {
			return math.NaN() // which Truth refuses
		}
		return c.Relevance(u, city.Moment{TimeMS: q.TimeMS, OffsetMin: q.OffsetMin, Lat: q.Lat, Lng: q.Lng}, places[place])
	}}, nil
}

// placesOf finds each place of a data set in a city. One that is elsewhere or of
// another category means that another version of the simulator wrote the log, whose
// truth is not known.
func placesOf(c *city.City, d *poi.Dataset) ([]int, error) {
	number := make(map[string]int, len(c.Places))
	for i := range c.Places {
		number[c.Places[i].ID] = i
	}
	out := make([]int, len(d.Places))
	for p := range d.Places {
		have := &d.Places[p]
		i, known := number[have.ID]
		if !known {
			return nil, fmt.Errorf("place %s of the data is not in the simulated city: %w: %w", have.ID, poi.ErrUnknownPOI, poi.ErrBadInput)
		}
		if is := &c.Places[i]; is.Category != have.Category || is.Lat != have.Lat || is.Lng != have.Lng {
			return nil, fmt.Errorf("place %s is %q at %v, %v in the data and %q at %v, %v in the simulated city: %w; another version simulated the log: write it again with `whereto data synth`",
				have.ID, have.Category, have.Lat, have.Lng, is.Category, is.Lat, is.Lng, poi.ErrBadInput)
		}
		out[p] = i
	}
	return out, nil
}

// personOf finds a user of a log in the city.
func personOf(c *city.City, id string) (u int, known bool) {
	u, err := strconv.Atoi(strings.TrimPrefix(id, "u"))
	return u, err == nil && u >= 0 && u < c.Users() && c.UserID(u) == id
}
