// Package testkit holds what tests of several packages share: a toy data set
// with a structure a model can learn, the way to the real data, and helpers
// for temporary files. Only test files import it.
//
// Everything is a pure function of its arguments: the same seed gives the same
// bytes. Helpers that take a testing.TB end the test themselves on failure.
package testkit

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"sort"
	"time"

	"github.com/whereto/whereto/poi"
)

// toyOffset is the toy city's offset from UTC in minutes (UTC-5, no change of
// clocks), so that code which forgets local time fails.
const toyOffset = -300

// toyHabits is the day of every toy person: a local hour and the category
// visited then. It is the structure a model can learn.
var toyHabits = []struct {
	hour     int
	category int
}{{8, 0}, {9, 1}, {13, 2}, {19, 3}, {22, 4}}

// toyCategories are the categories of the toy places, dealt out in turn.
var toyCategories = []string{
	"Food > Coffee Shop", "Work > Office", "Food > Lunch Bar", "Leisure > Gym", "Home > Residence",
}

// Limits of the toy, raised to when asked for less: with fewer places than
// categories a habit would have nowhere to go.
const (
	ToyMinUsers  = 1
	ToyMinPlaces = 5
)

// ToyDays is the number of days the toy data set spans.
const ToyDays = 28

// Toy returns a small deterministic data set: every person has one usual place
// for each hour of toyHabits (nine visits of ten; the tenth goes to any place of
// the category) and stays away each fourth and fifth day, which cuts the visits
// into trajectories. Tags go by time: the first 80 % of all visits are train,
// up to 90 % validation, the rest test. Train targets are all train visits but
// the first of a trajectory; validation and test targets are the last visit of
// a trajectory whose place occurs among the user's training targets.
// Fewer users or places than the minimum are raised to it.
func Toy(seed uint64, users, places int) *poi.Dataset {
	users, places = max(users, ToyMinUsers), max(places, ToyMinPlaces)
	rng := rand.New(rand.NewPCG(seed, 0x70_79))
	d := &poi.Dataset{Name: fmt.Sprintf("toy-%d-%d-%d", seed, users, places),
		Protocol: "last-of-trajectory", Types: []string{"checkin"}}
	d.Places = toyPlaces(rng, places)
	for u := range users {
		d.Users = append(d.Users, toyUser(rng, u, places))
	}
	tagByTime(d)
	toyTargets(d)
	d.Fingerprint = fingerprint(d)
	return d
}

// toyPlaces scatters places over about 20 km around a centre.
func toyPlaces(rng *rand.Rand, n int) []poi.Place {
	out := make([]poi.Place, n)
	for i := range out {
		out[i] = poi.Place{
			ID: fmt.Sprintf("p%03d", i), Name: fmt.Sprintf("Place %d", i),
			Category: toyCategories[i%len(toyCategories)],
			Lat:      40.7 + 0.1*(2*rng.Float64()-1), Lng: -74 + 0.13*(2*rng.Float64()-1),
		}
	}
	return out
}

// toyUser gives one person usual places and lets him follow them.
func toyUser(rng *rand.Rand, u, places int) poi.User {
	usual := make([]int32, len(toyHabits))
	for h, habit := range toyHabits {
		usual[h] = toyPlaceOf(rng, habit.category, places)
	}
	user := poi.User{ID: fmt.Sprintf("u%03d", u), Profile: poi.Profile{
		Gender: []string{"female", "male"}[u%2], AgeBand: []string{"18-24", "25-34", "35-44"}[u%3]}}
	start := time.Date(2024, 4, 1, 0, 0, 0, 0, time.UTC)
	traj := int32(-1)
	for day := range ToyDays {
		if phase := (day + u) % 5; phase >= 3 {
			continue
		} else if phase == 0 || traj < 0 {
			traj++
		}
		for h, habit := range toyHabits {
			place := usual[h]
			if rng.Float64() < 0.1 {
				place = toyPlaceOf(rng, habit.category, places)
			}
			local := start.AddDate(0, 0, day).Add(time.Duration(habit.hour)*time.Hour +
				time.Duration(rng.IntN(40*60))*time.Second)
			user.Visits = append(user.Visits, poi.Visit{POI: place, Traj: traj, Intent: true,
				TimeMS: local.UnixMilli() - toyOffset*60_000, OffsetMin: toyOffset})
		}
	}
	return user
}

// toyPlaceOf draws a place of a category, which are dealt out in turn.
func toyPlaceOf(rng *rand.Rand, category, places int) int32 {
	step := len(toyCategories)
	n := (places - category + step - 1) / step
	return int32(category + step*rng.IntN(n))
}

// tagByTime cuts all visits in time order at 80 % and 90 %.
func tagByTime(d *poi.Dataset) {
	var all []*poi.Visit
	for u := range d.Users {
		for i := range d.Users[u].Visits {
			all = append(all, &d.Users[u].Visits[i])
		}
	}
	sort.SliceStable(all, func(i, j int) bool { return all[i].TimeMS < all[j].TimeMS })
	for i, v := range all {
		switch {
		case i >= len(all)*9/10:
			v.Tag = poi.Test
		case i >= len(all)*8/10:
			v.Tag = poi.Validation
		}
	}
}

// toyTargets lists the targets of each tag.
func toyTargets(d *poi.Dataset) {
	for u := range d.Users {
		visits := d.Users[u].Visits
		trained := make(map[int32]bool)
		for i := 1; i < len(visits); i++ {
			v := visits[i]
			sameTraj := visits[i-1].Traj == v.Traj
			last := i+1 == len(visits) || visits[i+1].Traj != v.Traj
			switch {
			case v.Tag == poi.Train && sameTraj:
				trained[v.POI] = true
			case v.Tag == poi.Train || !last || !trained[v.POI]:
				continue
			}
			d.Targets[v.Tag] = append(d.Targets[v.Tag], poi.Target{User: int32(u), Pos: int32(i)})
		}
	}
}

// fingerprint hashes what makes two toy data sets different.
func fingerprint(d *poi.Dataset) string {
	h := sha256.New()
	fmt.Fprintln(h, d.Name, d.Protocol, d.Types)
	for _, p := range d.Places {
		fmt.Fprintf(h, "%+v\n", p)
	}
	for _, u := range d.Users {
		fmt.Fprintf(h, "%s %+v\n", u.ID, u.Profile)
		for _, v := range u.Visits {
			// A Visit has only fixed-size fields, and a hash never fails to write.
			_ = binary.Write(h, binary.LittleEndian, v)
		}
	}
	fmt.Fprintln(h, d.Targets)
	return hex.EncodeToString(h.Sum(nil))
}
