package ranker

import (
	"fmt"
	"hash/fnv"
	"strings"

	"github.com/whereto/whereto/geo"
	"github.com/whereto/whereto/poi"
)

// Fields of a request, in the order of the request array.
const (
	fieldUser = iota
	fieldGender
	fieldAge
	fieldOccupation
	fieldTag        // profileTags of them
	fieldHour       = fieldTag + profileTags
	fieldWeekday    = fieldHour + 1
	fieldHere       = fieldWeekday + 1 // block of the person
	requestFields   = fieldHere + 1
	profileTags     = 3
	categoryLevels  = 3
	distanceBuckets = 16
	countBuckets    = 6
)

// Fields of an option, in the order of the option array.
const (
	fieldPlace    = iota
	fieldCategory // categoryLevels of them
	fieldBlock    = fieldCategory + categoryLevels
	fieldDistance = fieldBlock + 1
	fieldPosition = fieldDistance + 1
	fieldCross    = fieldPosition + 1 // leaf category x hour x weekend
	fieldCount    = fieldCross + 1    // the person's visits to the place
	optionFields  = fieldCount + 1
)

// fields maps values to rows of the one embedding table. Each value set has its
// own range of rows, whose first row stands for a missing value.
type fields struct {
	rows int // V
	c    Config
	grid geo.Grid

	user, place, block     []int32   // by dense id; block is a place's own
	category               [][]int32 // by place, [categoryLevels]
	leaf                   []int32   // by place: number of its deepest category, 0 for none
	gender, age, job, tags *valueSet
	hour, weekday          int32 // first rows of ranges
	here, distance, slot   int32
	cross, count, action   int32
	types                  int
}

// valueSet numbers the strings of one profile field or category level.
type valueSet struct {
	first int32
	of    map[string]int32
}

func (v *valueSet) add(s string) {
	if _, ok := v.of[s]; s != "" && !ok {
		v.of[s] = int32(len(v.of)) + 1
	}
}

// row returns the row of s, that of a missing value for one not known.
func (v *valueSet) row(s string) int32 { return v.first + v.of[s] }

// newFields lays out the table for a data set.
func newFields(d *poi.Dataset, c Config) *fields {
	f := &fields{rows: 1, c: c, grid: geo.Grid{SizeKM: c.BlockKM}, types: len(d.Types)}
	take := func(values int) int32 { // a range with a row for missing
		first := f.rows
		f.rows += values + 1
		return int32(first)
	}
	sets := []*valueSet{{}, {}, {}, {}}
	for _, s := range sets {
		s.of = map[string]int32{}
	}
	f.gender, f.age, f.job, f.tags = sets[0], sets[1], sets[2], sets[3]
	users, places := take(c.UserTable-1), take(c.PlaceTable-1)
	for _, u := range d.Users {
		f.user = append(f.user, users+hashed(u.ID, c.UserTable))
		f.gender.add(u.Profile.Gender)
		f.age.add(u.Profile.AgeBand)
		f.job.add(u.Profile.Occupation)
		for _, tag := range u.Profile.Tags {
			f.tags.add(tag)
		}
	}
	for _, s := range sets {
		s.first = take(len(s.of))
	}
	f.here = take(c.GeoTable - 1)
	f.categories(d.Places, take)
	for _, p := range d.Places {
		f.place = append(f.place, places+hashed(p.ID, c.PlaceTable))
		f.block = append(f.block, f.blockRow(p.Lat, p.Lng))
	}
	f.hour, f.weekday, f.distance, f.slot = take(24), take(7), take(distanceBuckets), take(positions)
	f.cross, f.count, f.action = take(c.CrossTable-1), take(countBuckets), take(f.types)
	return f
}

// categories numbers the levels of all category paths: a level's value is the
// path down to it, so that equal names below different parents stay apart.
func (f *fields) categories(places []poi.Place, take func(int) int32) {
	levels := make([]*valueSet, categoryLevels)
	for l := range levels {
		levels[l] = &valueSet{of: map[string]int32{}}
	}
	leaves := &valueSet{of: map[string]int32{}}
	paths := make([][]string, len(places))
	for p, place := range places {
		paths[p] = prefixes(place.Category)
		for l, path := range paths[p] {
			levels[l].add(path)
		}
		if n := len(paths[p]); n > 0 {
			leaves.add(paths[p][n-1])
		}
	}
	for _, level := range levels {
		level.first = take(len(level.of))
	}
	for _, path := range paths {
		rows := make([]int32, categoryLevels)
		for l := range rows {
			rows[l] = levels[l].first
			if l < len(path) {
				rows[l] = levels[l].row(path[l])
			}
		}
		f.category = append(f.category, rows)
		leaf := int32(0)
		if len(path) > 0 {
			leaf = leaves.of[path[len(path)-1]]
		}
		f.leaf = append(f.leaf, leaf)
	}
}

// prefixes returns the paths down to each level of a category, at most
// categoryLevels of them.
func prefixes(category string) []string {
	var out []string
	path := ""
	for _, name := range strings.SplitN(category, ">", categoryLevels) {
		if name = strings.TrimSpace(name); name == "" {
			continue
		}
		path += " > " + name
		out = append(out, path)
	}
	return out
}

// hashed maps an id to 1..size-1.
func hashed(id string, size int) int32 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(id)) // a hash never fails
	return 1 + int32(h.Sum64()%uint64(size-1))
}

// blockRow is the row of the block that holds a point.
func (f *fields) blockRow(lat, lng float64) int32 {
	return f.here + 1 + geo.HashCell(0, uint64(f.grid.Block(lat, lng)), f.c.GeoTable-1)
}

// crossRow is the row of a leaf category at an hour of a weekday or weekend.
func (f *fields) crossRow(leaf int32, hour int, weekend bool) int32 {
	if leaf == 0 {
		return f.cross
	}
	cell := uint64(leaf)*48 + uint64(hour)*2
	if weekend {
		cell++
	}
	return f.cross + 1 + geo.HashCell(1, cell, f.c.CrossTable-1)
}

// distanceRow buckets a distance in metres, each bucket 1.6 times as far as the
// one before, from 50 m to about 57 km; negative is unknown.
func (f *fields) distanceRow(metres float64) int32 {
	if metres < 0 {
		return f.distance
	}
	b, edge := int32(1), 50.0
	for ; b < distanceBuckets && metres >= edge; b++ {
		edge *= 1.6
	}
	return f.distance + b
}

// countRow buckets visits: 0, 1, 2, 3 and 4, 5 to 9, 10 and more.
func (f *fields) countRow(n int) int32 {
	b := int32(1)
	for _, least := range []int{1, 2, 3, 5, 10} {
		if n >= least {
			b++
		}
	}
	return f.count + b
}

// check verifies that every number of a request points into the data set.
func (f *fields) check(d *poi.Dataset, r *poi.Request) error {
	switch {
	case r.User < 0 || int(r.User) >= len(d.Users):
		return fmt.Errorf("user %d of %d: %w", r.User, len(d.Users), poi.ErrUnknownUser)
	case r.Pos < 0 || int(r.Pos) > len(d.Users[r.User].Visits):
		return fmt.Errorf("position %d among %d visits: %w", r.Pos, len(d.Users[r.User].Visits), poi.ErrBadInput)
	case len(r.Options) > MaxOptions:
		return fmt.Errorf("%d options, at most %d: %w: ask in several requests", len(r.Options), MaxOptions, poi.ErrBadInput)
	}
	for j, o := range r.Options {
		if o.POI < 0 || int(o.POI) >= len(d.Places) {
			return fmt.Errorf("option %d is POI %d of %d: %w", j, o.POI, len(d.Places), poi.ErrUnknownPOI)
		}
	}
	return nil
}
