package batch

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"pgregory.net/rapid"

	"github.com/whereto/whereto/evidence"
	"github.com/whereto/whereto/internal/testkit"
	"github.com/whereto/whereto/poi"
)

// numbered gives every visit a POI of its own, in order through the users, so
// that a place in a batch says which visit it came from. Statuses change in runs,
// every ninth visit is not intent, and the last tenth of a user is validation.
func numbered(seed uint64, users, most int) *poi.Dataset {
	rng := rand.New(rand.NewPCG(seed, 2))
	d := &poi.Dataset{Types: []string{"checkin", "search"}}
	for u := range users {
		user := poi.User{ID: fmt.Sprint(u), Profile: poi.Profile{Gender: []string{"f", "m"}[u%2]}}
		n, at, traj, status := rng.IntN(most+1), int64(1_700_000_000_000), int32(0), poi.Local
		for i := range n {
			gap := rng.Int64N(30 * 3_600_000)
			at += gap
			if i > 0 && gap > trajectoryGapMS {
				traj++
			}
			if rng.IntN(6) == 0 {
				status = poi.Status(rng.IntN(3))
			}
			v := poi.Visit{POI: int32(len(d.Places)), TimeMS: at, OffsetMin: 330, Traj: traj, Type: uint8(rng.IntN(2)), Status: status, Intent: rng.IntN(9) > 0}
			if i >= n-n/10 {
				v.Tag = poi.Validation
			} else if i > 0 && user.Visits[i-1].Traj == traj {
				d.Targets[poi.Train] = append(d.Targets[poi.Train], poi.Target{User: int32(u), Pos: int32(i)})
			}
			if rng.IntN(2) == 0 {
				v.HasUser, v.UserLat, v.UserLng = true, 45+rng.Float32(), 5+rng.Float32()
			}
			user.Visits = append(user.Visits, v)
			d.Places = append(d.Places, poi.Place{ID: fmt.Sprint(len(d.Places)), Lat: 45 + rng.Float64(), Lng: 5 + rng.Float64(), Category: "a > b"})
		}
		d.Users = append(d.Users, user)
	}
	return d
}

// wanted are the training targets that the loss counts, as place + 1.
func wanted(d *poi.Dataset) (out []int32) {
	for _, t := range d.Targets[poi.Train] {
		if v := d.Users[t.User].Visits[t.Pos]; v.Intent {
			out = append(out, v.POI+1)
		}
	}
	slices.Sort(out)
	return out
}

func drawConfig(t *rapid.T) Config {
	c := Default()
	c.Window = rapid.IntRange(2, 40).Draw(t, "window")
	c.Chunk = rapid.IntRange(1, c.Window).Draw(t, "chunk")
	c.Size = rapid.IntRange(1, 7).Draw(t, "size")
	c.Location = rapid.SampledFrom([]string{LocationNone, LocationUser, LocationPrevious}).Draw(t, "location")
	c.LastWeight = rapid.SampledFrom([]float64{1, 6}).Draw(t, "last_weight")
	c.Profile = rapid.IntRange(0, 4).Draw(t, "profile")
	c.Curriculum = rapid.IntRange(0, 1).Draw(t, "curriculum")
	c.GeoTable = 64
	return c
}

var smallEvidence = evidence.Config{MaxPast: 40, Next: 3, Near: 3, History: 50, WholeHistory: true}

// sampler assembles what a run assembles, with evidence or without.
func sampler(d *poi.Dataset, c Config, withEvidence bool, seed int64) *Sampler {
	var stats *evidence.Stats
	if withEvidence {
		stats = evidence.Fit(d)
	}
	return NewSampler(d, NewEncoder(d, c), stats, smallEvidence, seed)
}

// epochOf returns all batches of an epoch.
func epochOf(s *Sampler, epoch int) []*Batch {
	out := make([]*Batch, s.Steps(epoch))
	for i := range out {
		out[i] = s.Batch(epoch, i)
	}
	return out
}

// toy is the common toy with types, statuses and positions of its own.
func toy(seed uint64) *poi.Dataset {
	d := testkit.Toy(seed, 4, 25)
	d.Types = []string{"checkin", "search"}
	for u := range d.Users {
		for i := range d.Users[u].Visits {
			v := &d.Users[u].Visits[i]
			v.Type, v.Status = uint8(i%2), poi.Status(i/7%3)
			if i%3 == 0 {
				v.HasUser, v.UserLat, v.UserLng = true, 40.7, -74.01
			}
		}
	}
	return d
}

// row returns the elements of row i of an array and how many each slot has.
func (b *Batch) row(input, i int) (ints []int32, floats []float32, width int) {
	a := b.Arrays[input]
	n, width := 1, 1
	for k, d := range a.Dims[1:] {
		n *= d
		if k > 0 {
			width *= d
		}
	}
	if a.I != nil {
		return a.I[i*n : (i+1)*n], nil, width
	}
	return nil, a.F[i*n : (i+1)*n], width
}
