package split

import (
	"cmp"
	"slices"
	"time"

	"github.com/whereto/whereto/clean"
	"github.com/whereto/whereto/poi"
)

// Card is the data card: what was read, what each filter left, and what the
// data set looks like. Its JSON keys are what `data describe -o json` prints.
type Card struct {
	Name         string  `json:"name"`
	Protocol     string  `json:"protocol"`
	Checkins     int     `json:"checkins"`
	Users        int     `json:"users"`
	POIs         int     `json:"pois"`
	Trajectories int     `json:"trajectories"`
	Targets      ByPart  `json:"targets"`
	Tags         ByPart  `json:"tags"` // check-ins by part
	Rejected     int     `json:"rejected"`
	Rejects      []Count `json:"rejects,omitempty"` // by reason
	// Duplicates counts check-ins with the user, POI, type and time of an earlier
	// one. They are kept: the published sets have them, and their counts are with them.
	Duplicates int    `json:"duplicates"`
	Steps      []Step `json:"steps"`
	// Sparsity is 1 - (distinct user-POI pairs) / (users x POIs).
	Sparsity         float64 `json:"sparsity"`
	SequenceLength   Spread  `json:"sequence_length"`
	TrajectoryLength Spread  `json:"trajectory_length"`
	// RepeatShare is the share of check-ins at a POI that the user had visited before.
	RepeatShare float64 `json:"repeat_share"`
	// ReturnShare is the same share among the targets of each part.
	ReturnShare Shares       `json:"return_share"`
	Span        Span         `json:"span"`
	Hours       [24]int      `json:"hours"` // check-ins by local hour
	Categories  []Count      `json:"categories"`
	Types       []Count      `json:"types"`
	Clean       clean.Report `json:"clean"`
	Settings    Settings     `json:"settings"`
	Fingerprint string       `json:"fingerprint"`
}

// ByPart is a count for each part of a split.
type ByPart struct {
	Train      int `json:"train"`
	Validation int `json:"validation"`
	Test       int `json:"test"`
}

// Shares is a share in [0, 1] for each part of a split; 0 for an empty part.
type Shares struct {
	Train      float64 `json:"train"`
	Validation float64 `json:"validation"`
	Test       float64 `json:"test"`
}

// Count is a named number of check-ins.
type Count struct {
	Name string `json:"name"`
	N    int64  `json:"n"`
}

// Step is what is left after a filter, and the check-ins it dropped.
type Step struct {
	Name     string `json:"step"`
	Checkins int    `json:"checkins"`
	Users    int    `json:"users"`
	POIs     int    `json:"pois"`
	Dropped  int    `json:"dropped"`
}

// Spread holds the nearest-rank quantiles and the mean of a list of lengths.
type Spread struct {
	Min  int     `json:"min"`
	P25  int     `json:"p25"`
	P50  int     `json:"p50"`
	P75  int     `json:"p75"`
	P90  int     `json:"p90"`
	Max  int     `json:"max"`
	Mean float64 `json:"mean"`
}

// Span is the time from the first to the last check-in, local time without zone.
type Span struct {
	First string  `json:"first"`
	Last  string  `json:"last"`
	Days  float64 `json:"days"`
}

// Settings repeats the settings that made the card.
type Settings struct {
	MinPOI            int     `json:"min_poi"`
	MinUser           int     `json:"min_user"`
	TrainPercent      int     `json:"train_percent"`
	ValidationPercent int     `json:"validation_percent"`
	GapHours          int     `json:"gap_hours"`
	MinTrajectory     int     `json:"min_trajectory"`
	MinRichness       float64 `json:"min_richness"`
	HomeKM            float64 `json:"home_km"`
}

// localLayout prints local times: no zone, for each POI has its own.
const localLayout = "2006-01-02T15:04:05"

func newCard(c Config) *Card {
	return &Card{Protocol: c.Protocol, Settings: Settings{MinPOI: c.MinPOI, MinUser: c.MinUser,
		TrainPercent: c.TrainPercent, ValidationPercent: c.ValidationPercent, GapHours: c.GapHours,
		MinTrajectory: c.MinTrajectory, MinRichness: c.Clean.MinRichness, HomeKM: c.Clean.HomeKM}}
}

// SetRejects records how many rows could not be read, in all and by reason.
func (c *Card) SetRejects(n int, byReason map[string]int) {
	c.Rejected, c.Rejects = n, nil
	for reason, n := range byReason {
		c.Rejects = append(c.Rejects, Count{reason, int64(n)})
	}
	sortCounts(c.Rejects)
}

func (c *Card) addStep(s Step) {
	if n := len(c.Steps); n > 0 {
		s.Dropped = c.Steps[n-1].Checkins - s.Checkins
	}
	c.Steps = append(c.Steps, s)
}

// describe fills in everything that the data set tells.
func (c *Card) describe(d *poi.Dataset) {
	c.Users, c.POIs, c.Fingerprint = len(d.Users), len(d.Places), d.Fingerprint
	var sequences, trajectories []int
	var repeats, pairs int
	var first, last time.Time
	types, tags := make([]int64, len(d.Types)), [3]int{}
	perPOI, seen := make([]int64, len(d.Places)), make([]int32, len(d.Places))
	for u, user := range d.Users {
		sequences = append(sequences, len(user.Visits))
		c.Checkins += len(user.Visits)
		for i, v := range user.Visits {
			if i == 0 || v.Traj != user.Visits[i-1].Traj {
				trajectories = append(trajectories, 0)
			}
			trajectories[len(trajectories)-1]++
			if seen[v.POI] == int32(u)+1 {
				repeats++
			} else {
				seen[v.POI] = int32(u) + 1
				pairs++
			}
			at := v.Local()
			if first.IsZero() || at.Before(first) {
				first = at
			}
			if at.After(last) {
				last = at
			}
			c.Hours[at.Hour()]++
			tags[v.Tag]++
			types[v.Type]++
			perPOI[v.POI]++
		}
	}
	c.Trajectories = len(trajectories)
	c.SequenceLength, c.TrajectoryLength = spread(sequences), spread(trajectories)
	c.RepeatShare = float64(repeats) / float64(c.Checkins)
	c.Sparsity = 1 - float64(pairs)/(float64(c.Users)*float64(c.POIs))
	c.Span = Span{first.Format(localLayout), last.Format(localLayout), last.Sub(first).Hours() / 24}
	c.Tags = ByPart{tags[poi.Train], tags[poi.Validation], tags[poi.Test]}
	c.Targets = ByPart{len(d.Targets[poi.Train]), len(d.Targets[poi.Validation]), len(d.Targets[poi.Test])}
	c.ReturnShare = Shares{returns(d, poi.Train), returns(d, poi.Validation), returns(d, poi.Test)}
	c.Categories, c.Types = categories(d.Places, perPOI), named(d.Types, types)
}

// categories sums check-ins by the whole category path, most frequent first.
func categories(places []poi.Place, n []int64) []Count {
	sum := map[string]int64{}
	for p, pl := range places {
		sum[cmp.Or(pl.Category, "(none)")] += n[p]
	}
	out := make([]Count, 0, len(sum))
	for name, n := range sum {
		out = append(out, Count{name, n})
	}
	sortCounts(out)
	return out
}

func named(names []string, n []int64) []Count {
	out := make([]Count, len(names))
	for i, name := range names {
		out[i] = Count{name, n[i]}
	}
	sortCounts(out)
	return out
}

func sortCounts(c []Count) {
	slices.SortFunc(c, func(x, y Count) int { return cmp.Or(cmp.Compare(y.N, x.N), cmp.Compare(x.Name, y.Name)) })
}

// returns is the share of a part's targets whose POI the user visited before.
// Targets of one user follow each other in order of position.
func returns(d *poi.Dataset, tag poi.Tag) float64 {
	ts := d.Targets[tag]
	if len(ts) == 0 {
		return 0
	}
	seen := make([]int32, len(d.Places)) // 1 + the last user who was there
	n, user, pos := 0, int32(-1), int32(0)
	for _, t := range ts {
		if t.User != user {
			user, pos = t.User, 0
		}
		for v := d.Users[user].Visits; pos < t.Pos; pos++ {
			seen[v[pos].POI] = user + 1
		}
		if seen[d.Label(t)] == user+1 {
			n++
		}
	}
	return float64(n) / float64(len(ts))
}

// spread sorts the lengths, which must not be empty.
func spread(n []int) Spread {
	slices.Sort(n)
	sum := 0
	for _, x := range n {
		sum += x
	}
	q := func(p int) int { return n[max((len(n)*p+99)/100, 1)-1] }
	return Spread{n[0], q(25), q(50), q(75), q(90), n[len(n)-1], float64(sum) / float64(len(n))}
}

// duplicates counts rows that repeat an earlier one's user, POI, type and instant.
func duplicates(actions []poi.Action, rows []row) int {
	type key struct {
		ms        int64
		user, poi int32
		typ       uint8
	}
	seen := make(map[key]struct{}, len(rows))
	for _, r := range rows {
		seen[key{actions[r.at].TimeMS, r.user, r.poi, r.typ}] = struct{}{}
	}
	return len(rows) - len(seen)
}
