// Package mobility measures the laws of a log of actions, and how far two logs
// are apart: how long trips are, how often people return, how their week goes.
// It is how a simulated city is held against a real one.
//
// Vocabulary. A stay is an action that puts the person at the POI; searches,
// clicks and favourites are none. A gap is the time between two stays of a
// person that follow each other; a trip is the way between two such stays at
// different POIs with a gap of at most MaxGap, so that both lie in one
// trajectory. The radius of gyration of a person is the root mean square
// distance of his stays from their centre. A Dist is a distribution kept in bins
// of constant relative width.
//
// Promises. Laws are a pure function of the stays: neither the order of people
// nor that of one person's actions matters (but for the last bits of sums), nor
// the names of users and POIs. A Collector takes one person at a time, and what it keeps grows with people and
// POIs (some 30 bytes each), not with actions. Nothing here is ever NaN.
//
// Failure. Errors wrap poi.ErrBadInput for an action that cannot be, and
// poi.ErrEmpty where no stay is left.
package mobility

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/whereto/whereto/geo"
	"github.com/whereto/whereto/poi"
)

// MaxGap parts trajectories: a longer gap makes no trip.
const MaxGap = 24 * time.Hour

// Limits of what is kept of one log.
const (
	// maxGroups is the most category groups counted apart; later ones are "other".
	maxGroups = 1024
	// Other is the group of actions without a category and of those over the limit.
	Other = "other"
)

// notStays are the action types that happen away from the POI.
var notStays = []string{"search", "click", "favourite"}

// IsStay reports whether an action of the type puts the person at the POI.
func IsStay(actionType string) bool { return !slices.Contains(notStays, actionType) }

// Group returns the first level of a category path, or Other if it is empty.
func Group(category string) string {
	top, _, _ := strings.Cut(category, " > ")
	if top = strings.TrimSpace(top); top == "" {
		return Other
	}
	return top
}

// OfDataset measures the visits of a data set, all parts of its split together.
func OfDataset(d *poi.Dataset) (*Laws, error) {
	c := NewCollector()
	var buffer []poi.Action
	for u := range d.Users {
		buffer = buffer[:0]
		for i, v := range d.Users[u].Visits {
			if int(v.POI) >= len(d.Places) || v.POI < 0 {
				return nil, fmt.Errorf("mobility: visit %d of user %s is at POI %d of %d: %w", i, d.Users[u].ID, v.POI, len(d.Places), poi.ErrUnknownPOI)
			}
			p := &d.Places[v.POI]
			a := poi.Action{User: d.Users[u].ID, POI: p.ID, Category: p.Category, Lat: p.Lat, Lng: p.Lng,
				TimeMS: v.TimeMS, OffsetMin: v.OffsetMin, Seq: int64(i)}
			if int(v.Type) < len(d.Types) {
				a.Type = d.Types[v.Type]
			}
			buffer = append(buffer, a)
		}
		if err := c.Add(buffer); err != nil {
			return nil, err
		}
	}
	return c.Laws(d.Name)
}

// OfActions measures a log in any order; it sorts positions, not the actions.
func OfActions(ctx context.Context, name string, actions []poi.Action) (*Laws, error) {
	byUser := map[string][]int32{}
	for i := range actions {
		byUser[actions[i].User] = append(byUser[actions[i].User], int32(i))
	}
	users := make([]string, 0, len(byUser))
	for u := range byUser {
		users = append(users, u)
	}
	slices.Sort(users) // sums of floats depend on their order in the last bit
	c := NewCollector()
	var buffer []poi.Action
	for n, u := range users {
		if n%1024 == 0 && ctx.Err() != nil {
			return nil, fmt.Errorf("mobility: stopped before person %d of %d: %w", n, len(users), ctx.Err())
		}
		buffer = buffer[:0]
		for _, i := range byUser[u] {
			buffer = append(buffer, actions[i])
		}
		if err := c.Add(buffer); err != nil {
			return nil, err
		}
	}
	return c.Laws(name)
}

// check returns what makes the actions impossible as those of one person.
func check(actions []poi.Action) error {
	for i := range actions {
		a := &actions[i]
		if a.User != actions[0].User {
			return fmt.Errorf("mobility: actions of %q and %q are given as one person's; add people one by one: %w", actions[0].User, a.User, poi.ErrBadInput)
		}
		if a.POI == "" {
			return fmt.Errorf("mobility: action %d of user %q has no POI: %w", i, a.User, poi.ErrBadInput)
		}
		if err := geo.Valid(a.Lat, a.Lng); err != nil {
			return fmt.Errorf("mobility: POI %q: %w: %w", a.POI, err, poi.ErrBadInput)
		}
	}
	return nil
}

// chronological returns the stays among the actions in order of time.
func chronological(dst, actions []poi.Action) []poi.Action {
	for i := range actions {
		if IsStay(actions[i].Type) {
			dst = append(dst, actions[i])
		}
	}
	byTime := func(a, b poi.Action) int {
		return cmp.Or(cmp.Compare(a.TimeMS, b.TimeMS), cmp.Compare(a.Seq, b.Seq), cmp.Compare(a.POI, b.POI))
	}
	if !slices.IsSortedFunc(dst, byTime) { // most logs are, and actions are large
		slices.SortStableFunc(dst, byTime)
	}
	return dst
}
